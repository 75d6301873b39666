"""Progress in the terminal: training, long writes, checks of the store."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from backend.store import run_status

if TYPE_CHECKING:
    from backend.client.service import Service
    from backend.store.database import Store
    from ncengine.config import RunConfig

CANCEL_TIMEOUT_S = 15.0
EXIT_INTERRUPTED = 130


def progress_bars() -> Progress:
    """Return progress bars with a field `facts` beside the counts."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[facts]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def format_scalars(scalars: dict[str, dict[str, Any]]) -> str:
    """Return the main metrics of an epoch, for the text beside a progress bar."""
    train, test = scalars.get("train", {}), scalars.get("test", {})
    parts = [
        f"{label} {float(split[key]):{form}}"
        for label, split, key, form in (
            ("NC1", train, "nc1", ".3g"),
            ("NC3", train, "nc3", ".3g"),
            ("train", train, "top1", ".1%"),
            ("test", test, "top1", ".1%"),
        )
        if key in split
    ]
    return "  ".join(parts)


def format_data_progress(event: dict[str, Any]) -> str:
    """Return the progress of a download or of reading a data set."""
    done, total, unit = event["done"], event["total"], event["unit"]
    scale, unit = (1e6, "MB") if unit == "bytes" else (1, unit)
    of = "" if total is None else f" of {total / scale:,.0f}"
    return f"{event['what']}: {done / scale:,.0f}{of} {unit}"


def train(
    service: Service, configs: Sequence[RunConfig], name: str, group: str | None, mirror: str | None = None
) -> bool:
    """Run configs one after another with progress; return whether any failed. Ctrl-C exits with 130."""
    console = Console(stderr=True)
    server = service.server_url()
    if server:
        console.print(f"The server at {server} runs it; watch it there.", highlight=False)
    has_failed = False
    for config in configs:
        with service.launch(config, name=name, group=group, mirror=mirror) as run_id:
            console.print(f"run {run_id}{service.location}")
            with interrupts() as interrupted:
                has_failed |= _follow(service, run_id, config.epochs, interrupted)
            if interrupted:
                _stop_following(service, run_id, console)
                raise SystemExit(EXIT_INTERRUPTED)
    return has_failed


@contextlib.contextmanager
def interrupts() -> Iterator[list[int]]:
    """Yield a list that is no longer empty after Ctrl-C.

    A KeyboardInterrupt could arrive in the middle of a transaction and leave a lock held.
    """
    received: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: received.append(number))
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, before)


def _follow(service: Service, run_id: str, epochs: int, interrupted: list[int]) -> bool:
    """Show a run's progress until it ends or Ctrl-C is pressed; return whether it failed."""
    last_seq = 0
    with progress_bars() as bars:
        task = bars.add_task("queued", total=epochs, facts="")
        while not interrupted:
            run = service.run(run_id)
            for event in service.events(run_id, last_seq):
                last_seq = event["seq"]
                if event["type"] == "EpochMeasured":
                    bars.update(task, completed=event["epoch"], facts=format_scalars(event["scalars"]))
                elif event["type"] == "DataProgressed":
                    bars.update(task, facts=format_data_progress(event))
                elif event["type"] == "LogLine" and run.status == "running":
                    bars.console.print(event["text"])
                elif event["type"] == "AttemptFailed":
                    bars.console.print(f"attempt {event['attempt']}: {event['reason']}")
            bars.update(task, description=run.status)
            if run.status in run_status.ENDED and last_seq >= run.last_seq:
                if run.error:
                    bars.console.print(f"[red]failed: {run.error}")
                return run.status != "finished"
            time.sleep(service.poll_s)
    return False


def _stop_following(service: Service, run_id: str, console: Console) -> None:
    """After Ctrl-C, cancel a run of this process and wait for its end; a server continues its own."""
    if not service.cancels_on_interrupt:
        console.print(f"run {run_id} continues{service.location}")
        return
    console.print("stopping …")
    if service.run(run_id).status in run_status.ENDED:
        return
    service.bulk_action("cancel", [run_id])
    deadline = time.monotonic() + CANCEL_TIMEOUT_S
    while time.monotonic() < deadline and service.run(run_id).status not in run_status.ENDED:
        time.sleep(service.poll_s)
    console.print(f"run {run_id} is {service.run(run_id).status}; its numbers so far are kept")


def write_chunks(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a file completely or not at all, showing its size so far."""
    partial = path.with_name(path.name + ".partial")
    try:
        with Console(stderr=True).status(f"writing {path}") as status, partial.open("wb") as stream:
            for chunk in chunks:
                stream.write(chunk)
                status.update(f"writing {path}: {stream.tell() / 1e6:,.1f} MB")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_chunks(path: Path) -> Iterator[bytes]:
    """Read a file in chunks, showing how much was read."""
    from backend.store.archive.writer import file_chunks

    size, sent = path.stat().st_size, 0
    with Console(stderr=True).status(f"sending {path}") as status:
        for chunk in file_chunks(path):
            yield chunk
            sent += len(chunk)
            status.update(f"sending {path}: {sent / 1e6:,.1f} of {size / 1e6:,.1f} MB")


def check_store(store: Store) -> bool:
    """Check the whole store with progress; print every fault and return whether there is none."""
    from backend.store import integrity, runs

    faults = 0
    ids = runs.list_ids(store)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=Console(stderr=True)
    ) as bar:
        task = bar.add_task("database", total=len(ids))
        for run_id in (None, *ids):
            problems = (
                integrity.find_database_problems(store) if run_id is None else integrity.find_problems(store, run_id)
            )
            for fault in problems:
                faults += 1
                print(f"{fault.run_id or 'store'}: {fault.description}")
            if run_id is not None:
                bar.update(task, advance=1, description=f"run {run_id}")
    print(f"{len(ids)} runs looked through: " + (f"{faults} things are wrong" if faults else "all is as it should be"))
    return not faults
