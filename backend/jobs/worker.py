"""The worker: `python -m backend.jobs.worker RUN ATTEMPT`, the only place where the engine meets the store.

It runs one attempt of a run and records the engine's events (`jobs.recorder`). It stops when the user requests it, and
at once when another attempt owns the run. A crash at any moment loses at most what followed the newest checkpoint; the
next attempt repeats it, and events that are stored already are not stored twice. While the database is unreachable,
training goes on and events are kept in a local file (`jobs.outbox`).

A second thread records the heartbeat and the resource use, and reads the user's request (`jobs.heartbeat`), because the
engine's events may be minutes apart.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import select
import signal
import sys
import traceback
from collections.abc import Generator
from importlib import import_module
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from backend.jobs.heartbeat import FENCED_EXIT_STATUS, Heartbeat
from backend.jobs.launcher import DataAccess
from backend.jobs.outbox import is_full, retry
from backend.jobs.recorder import EventRecorder, make_payload
from backend.settings import datasets_dir, load_named_plugins
from backend.store import artifacts, run_folders, runs
from backend.store.database import Store, open_store
from backend.store.errors import CollapseError, Fenced
from backend.store.event_log import NewEvent
from ncengine.events import (
    CheckpointSaved,
    DataProgressed,
    Event,
    Resumed,
    RunFinished,
    StepMeasured,
)

FULL = "the disk of the data directory is full; the run continues from its checkpoint when there is space again"


def load_newest_checkpoint(store: Store, run_id: str, recorder: EventRecorder) -> CheckpointSaved | None:
    """Return the newest checkpoint whose file is whole; damaged ones are skipped, with an event."""
    for row in retry(lambda: artifacts.list_rows(store, run_id, "checkpoint")):
        loaded = artifacts.read(store, row)
        if loaded is not None:
            state = loaded.state
            return CheckpointSaved(epoch=state["epoch"], step=state["step"], tensors=loaded.arrays, state=state)
        recorder.skip_checkpoint(row)
    return None


def execute(store: Store, run_id: str, number: int, device: str, data_access: DataAccess) -> int:
    """Run one attempt to its end; return the process's exit status."""
    row = retry(lambda: runs.get(store, run_id, deleted=True))
    log_path = artifacts.worker_log_path(store, run_id)
    with Heartbeat(store, run_id, number, row.running_s, log_path).running() as heartbeat:
        recorder = retry(lambda: EventRecorder(store, run_id, number, heartbeat))
        try:
            from ncengine.config import with_overrides
            from ncengine.data.paths import DataPaths
            from ncengine.data.resolve import require_paths_inside
            from ncengine.training.loop import run as train

            config = runs.parse_config(row)
            config.require_known_components()
            datasets = datasets_dir(store.data_dir)
            if data_access.confined:
                # Symbolic links may have changed since the run was launched.
                require_paths_inside(config, (datasets, *data_access.roots))
            resume = load_newest_checkpoint(store, run_id, recorder)
            placed = config if config.device == device else with_overrides(config, {"device": device})
            data_paths = DataPaths(directory=datasets, mirror=data_access.mirror)
            return _drain(train(placed, resume=resume, data_paths=data_paths), recorder, heartbeat, row.time_limit_s)
        except Fenced as error:
            print(error, file=sys.stderr)
            return FENCED_EXIT_STATUS
        except Exception as error:
            traceback.print_exc()
            try:
                if is_full(error):
                    recorder.give_up(FULL)
                else:
                    recorder.fail(_reason(error), traceback.format_exc()[-8000:])
            except (CollapseError, SQLAlchemyError) as second:
                # The supervisor finds that this process has ended, and records it when the database can be written.
                print(second, file=sys.stderr)
            return 1


def _drain(
    events: Generator[Event, str | None, None],
    recorder: EventRecorder,
    heartbeat: Heartbeat,
    time_limit_s: float | None,
) -> int:
    """Record events until the run ends, is cancelled, paused, or exceeds its time limit; return the exit status."""
    epoch, answer = 0.0, None
    while True:
        event = next(events) if answer is None else events.send(answer)
        if isinstance(event, RunFinished):
            recorder.end(NewEvent(event.type, make_payload(event)))
            return 0
        epoch, answer = getattr(event, "epoch", epoch), None
        requested = recorder.record(event)
        if requested == "cancel":
            recorder.end(NewEvent("RunCancelled", {"epoch": int(epoch)}))
            return 0
        is_over_time = time_limit_s is not None and heartbeat.running_s() >= time_limit_s
        if requested != "pause" and not is_over_time:
            continue
        if isinstance(event, StepMeasured):
            answer = "checkpoint"
        elif isinstance(event, CheckpointSaved | DataProgressed | Resumed) and requested == "pause":
            # Everything that was trained is saved.
            recorder.end(NewEvent("Paused", {"epoch": int(epoch)}))
            return 0
        elif isinstance(event, CheckpointSaved | DataProgressed | Resumed):
            error = (
                f"the time limit of {time_limit_s:g} s is used up; raise time_limit_s and retry: "
                "the run continues where it stopped"
            )
            recorder.end(NewEvent("RunFailed", {"error": error}), error=error)
            return 0


def _reason(error: Exception) -> str:
    """Return the message of an error in one line, with the remedy where one is known."""
    text = str(error).strip() or type(error).__name__
    if isinstance(error, MemoryError) and "out of memory" not in text:
        text = f"out of memory: {text}; set a smaller batch_size or backbone"
    return text.splitlines()[0][:500]


def main() -> int:
    """Read the attempt from the command line, or, warm, import first and read it from standard input."""
    parser = argparse.ArgumentParser(prog="worker", description="Run one attempt of one run.")
    parser.add_argument("run", nargs="?")
    parser.add_argument("attempt", nargs="?", type=int)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--data-root", action="append", default=[], type=Path)
    parser.add_argument("--mirror")
    parser.add_argument("--confined", action="store_true")
    parser.add_argument("--warm", action="store_true")
    parser.add_argument("--memory", type=int, help="bytes of private memory that may be had")
    given = parser.parse_args()
    load_named_plugins()
    if given.memory is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (given.memory, given.memory))
    # Ctrl-C is for the parent process; a run is stopped through the store.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    run_id, number, device = given.run, given.attempt, given.device
    if given.warm:
        _import_everything()
        line = sys.stdin.readline()
        if not line:
            return 0
        attempt = json.loads(line)
        run_id, number, device = attempt["run"], attempt["attempt"], attempt["device"]
    store = open_store(given.data, os.environ.get("COLLAPSE_DATABASE_URL"))
    retry(lambda: run_folders.register(store, run_id))
    log_path = artifacts.worker_log_path(store, run_id)
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    try:
        return execute(store, run_id, number, device, DataAccess(tuple(given.data_root), given.mirror, given.confined))
    finally:
        store.close()


def _import_everything() -> None:
    """Import what every run needs; import torchvision, which only some need, unless an attempt is waiting."""
    import torch

    import ncengine.training.loop  # noqa: F401

    torch.nn.functional.conv2d(torch.zeros(2, 1, 8, 8), torch.zeros(1, 1, 3, 3))  # initialises the first kernels
    if not select.select([sys.stdin], [], [], 0)[0]:
        import_module("torchvision")


if __name__ == "__main__":
    sys.exit(main())
