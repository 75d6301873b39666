"""Progress and tables in the terminal, for runs here or on a server."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from backend.api import wire
from backend.client import Client, calls
from backend.jobs.launcher import DataAccess
from backend.jobs.supervisor import Supervisor
from backend.store import data_directory, event_log, integrity, run_status, runs
from backend.store.database import Store
from backend.store.errors import Unusable
from ncengine.config import RunConfig
from ncengine.data import resolve_config

POLL_S = 0.2
Result = TypeVar("Result")


def remote(server: str, token: str | None, work: Callable[[Client], Result]) -> Result:
    """Work with a server, saying so while it has too much to do; raises Unusable where it cannot be reached."""
    console = Console(stderr=True)
    try:
        with Client(
            server,
            token,
            verify=os.environ.get("COLLAPSE_CERTIFICATE") or True,
            on_wait=lambda wait: console.print(str(wait), highlight=False),
        ) as client:
            return work(client)
    except httpx.TransportError as error:
        raise Unusable(
            f"the server at {server} cannot be reached ({error}); is it running, and the tunnel open?"
        ) from error


def bars() -> Progress:
    """Return bars of epochs or runs, with numbers beside them and the time that is left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[facts]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def facts_of(scalars: dict[str, dict[str, Any]]) -> str:
    """Return the line of numbers beside a progress bar."""
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


def progress_words(payload: dict[str, Any]) -> str:
    """Return how far a download or a reading is, in words."""
    done, total, unit = payload["done"], payload["total"], payload["unit"]
    scale, unit = (1e6, "MB") if unit == "bytes" else (1, unit)
    of = "" if total is None else f" of {total / scale:,.0f}"
    return f"{payload['what']}: {done / scale:,.0f}{of} {unit}"


def run_here(
    store: Store, configs: Sequence[RunConfig], name: str, group: str | None, reading: DataAccess | None = None
) -> bool:
    """Run configs one after another on this data directory; return whether any failed.

    Where a server holds the data directory its supervisor takes the runs from the queue; otherwise one is started here.
    """
    served = data_directory.server_lock_holder(store.data_dir)
    console = Console(stderr=True)
    failed = False
    if served:
        console.print(f"The server at {served.get('url', '?')} runs it; watch it there.")
    for config in map(resolve_config, configs):
        run_id, _ = runs.create(store, config, name=name, group=group)
        supervisor = None if served else Supervisor(store, warm=False, only=(run_id,), data_access=reading)
        console.print(f"run {run_id}")
        try:
            if supervisor is not None:
                supervisor.start()
            with interrupts() as asked:
                failed |= _follow(store, run_id, config, asked)
            if asked:
                _cancel(store, run_id, console)
                raise SystemExit(130)
        finally:
            if supervisor is not None:
                supervisor.close()
    return failed


@contextlib.contextmanager
def interrupts() -> Iterator[list[int]]:
    """Give a list that is no longer empty once Ctrl-C was pressed.

    A KeyboardInterrupt would come anywhere, in the middle of a transaction too, and could leave a lock held for good.
    """
    asked: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: asked.append(number))
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


def _follow(store: Store, run_id: str, config: RunConfig, asked: list[int]) -> bool:
    """Show a run's progress to its end, or until Ctrl-C; return whether it failed."""
    seen = 0
    with bars() as progress:
        task = progress.add_task("queued", total=config.epochs, facts="")
        while not asked:
            row = runs.get(store, run_id)
            for event in event_log.after(store, run_id, seen, 1000):
                seen = event.seq
                if event.type == "EpochMeasured":
                    facts = facts_of(event.payload["scalars"])
                    progress.update(task, completed=event.payload["epoch"], facts=facts)
                elif event.type == "DataProgressed":
                    progress.update(task, facts=progress_words(event.payload))
                elif event.type == "LogLine" and row.status == "running":
                    progress.console.print(event.payload["text"])
                elif event.type == "AttemptFailed":
                    progress.console.print(f"attempt {event.payload['attempt']}: {event.payload['reason']}")
            progress.update(task, description=row.status)
            if row.status in run_status.ENDED and seen >= row.last_seq:
                if row.error:
                    progress.console.print(f"[red]failed: {row.error}")
                return bool(row.status != "finished")
            time.sleep(POLL_S)
    return False


def _cancel(store: Store, run_id: str, console: Console) -> None:
    """Stop a run on Ctrl-C and wait for its end, so that nothing is left half done."""
    console.print("stopping …")
    if runs.get(store, run_id).status in run_status.ENDED:
        return
    run_status.request_cancel(store, run_id)
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline and runs.get(store, run_id).status not in run_status.ENDED:
        time.sleep(POLL_S)
    console.print(f"run {run_id} is {runs.get(store, run_id).status}; its numbers so far are kept")


def run_remote(server: str, token: str | None, configs: Sequence[RunConfig], name: str, group: str | None) -> bool:
    """Run configs on a server and show their progress; return whether any failed. Ctrl-C leaves them running there."""

    def work(client: Client) -> bool:
        failed = False
        for config in configs:
            run = client(calls.launch(config.model_dump(mode="json"), name=name, group=group))
            Console(stderr=True).print(f"run {run.id} on {server}")
            with bars() as progress:
                task = progress.add_task("queued", total=config.epochs, facts="")
                while run.status not in run_status.ENDED:
                    time.sleep(1.0)
                    run = client(calls.run(run.id))
                    facts = facts_of(run.summary)
                    progress.update(task, description=run.status, completed=run.epoch, facts=facts)
            failed |= run.status != "finished"
        return failed

    return remote(server, token, work)


def print_runs(items: Sequence[wire.RunWire]) -> None:
    """Print runs as a table."""
    table = Table(box=None, pad_edge=False)
    for column in ("id", "status", "name", "head", "data", "seed", "epoch", "NC1", "NC3", "train", "test", "created"):
        table.add_column(column)
    for item in items:
        train, test = item.summary.get("train", {}), item.summary.get("test", {})
        table.add_row(
            item.id,
            item.status,
            item.name,
            item.config.head.name,
            item.config.data.name,
            str(item.config.seed),
            f"{item.epoch}/{item.config.epochs}",
            *(f"{float(train[key]):.3g}" if key in train else "" for key in ("nc1", "nc3")),
            *(f"{float(split['top1']):.1%}" if "top1" in split else "" for split in (train, test)),
            item.created_at[:16].replace("T", " "),
        )
    Console(width=None if Console().is_terminal else 160).print(table)


def write_chunks(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a file that is there whole or not at all, saying how far it is."""
    aside = path.with_name(path.name + ".partial")
    try:
        with Console(stderr=True).status(f"writing {path}") as status, aside.open("wb") as stream:
            for chunk in chunks:
                stream.write(chunk)
                status.update(f"writing {path}: {stream.tell() / 1e6:,.1f} MB")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def read_chunks(path: Path) -> Iterator[bytes]:
    """Read a file piece by piece, saying how far it is."""
    from backend.store.archive.writer import file_chunks

    size, sent = path.stat().st_size, 0
    with Console(stderr=True).status(f"sending {path}") as status:
        for chunk in file_chunks(path):
            yield chunk
            sent += len(chunk)
            status.update(f"sending {path}: {sent / 1e6:,.1f} of {size / 1e6:,.1f} MB")


def check_store(store: Store) -> bool:
    """Look through the whole store, saying how far it is; print what is wrong and return whether nothing is."""
    found = 0
    ids = runs.list_ids(store)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=Console(stderr=True)
    ) as bar:
        task = bar.add_task("database", total=len(ids))
        for run_id in (None, *ids):
            faults = (
                integrity.find_database_problems(store) if run_id is None else integrity.find_problems(store, run_id)
            )
            for fault in faults:
                found += 1
                print(f"{fault.run_id or 'store'}: {fault.description}")
            if run_id is not None:
                bar.update(task, advance=1, description=f"run {run_id}")
    print(f"{len(ids)} runs looked through: " + (f"{found} things are wrong" if found else "all is as it should be"))
    return not found
