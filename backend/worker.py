"""The worker: `python -m backend.worker RUN ATTEMPT`, the only place where the engine meets the store.

It writes what the engine says: arrays as files, facts as events, an epoch's facts and its checkpoint in one
transaction. It stops when the user wants it to, and at once when another attempt owns the run (the fence). A crash at
any moment loses at most what came after the newest checkpoint; the next attempt repeats it, and facts that are already
stored are not stored twice.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from backend.errors import CollapseError, Fenced
from backend.jobs.local import Reading
from backend.settings import datasets_dir
from backend.store import artifacts, event_log, runs
from backend.store.database import Store, open_store
from backend.store.event_log import Entry
from ncengine.events import (
    CheckpointSaved,
    EpochMeasured,
    Event,
    FeaturesKept,
    GeometryCaptured,
    RunFinished,
    RunStarted,
    StepMeasured,
)

FLUSH_S = 0.1
KEPT_CHECKPOINTS = 2


class Recorder:
    """Turns engine events into stored ones, skipping what an earlier attempt has stored already."""

    def __init__(self, store: Store, run_id: str, number: int) -> None:
        self._store, self._run_id, self._number = store, run_id, number
        self._pending: list[Entry] = []
        self._patch: dict[str, Any] = {}
        self._flushed = time.monotonic()
        self._epoch_stored = self._newest(EpochMeasured.type, "epoch")
        self._step_stored = self._newest(StepMeasured.type, "step")
        self._capture_stored = self._newest(GeometryCaptured.type, "step")
        self._features_stored = self._newest(FeaturesKept.type, "step")

    def _newest(self, type_: str, key: str) -> int:
        row = event_log.newest(self._store, self._run_id, type_)
        return -1 if row is None else int(row.payload[key])

    def record(self, event: Event) -> str:
        """Take one event; return what the user wants (`run` or `cancel`)."""
        written = None
        if isinstance(event, EpochMeasured):
            if event.epoch <= self._epoch_stored:
                return "run"
            self._patch |= {"epoch": event.epoch, "summary": event.scalars}
        elif isinstance(event, StepMeasured):
            if event.step <= self._step_stored:
                return "run"
        elif isinstance(event, GeometryCaptured):
            if event.step <= self._capture_stored:
                return "run"
            written = self._write("geometry", event.step, event.arrays, {})
        elif isinstance(event, FeaturesKept):
            if event.step <= self._features_stored:
                return "run"
            written = self._write("features", event.step, event.arrays, {"epoch": event.epoch})
        elif isinstance(event, CheckpointSaved):
            if artifacts.row_at(self._store, self._run_id, "checkpoint", event.step) is not None:
                return "run"
            written = self._write("checkpoint", event.step, event.tensors, event.state)
        elif isinstance(event, RunStarted) and event_log.newest(self._store, self._run_id, RunStarted.type):
            return "run"
        self._pending.append(Entry(event.type, event.payload(), written))
        if isinstance(event, CheckpointSaved):
            wanted = self.flush()
            artifacts.prune(self._store, self._run_id, "checkpoint", KEPT_CHECKPOINTS)
            return wanted
        # An epoch's facts wait for its geometry and checkpoint, which come at once; the rest goes ten times a second.
        if isinstance(event, EpochMeasured) or time.monotonic() - self._flushed < FLUSH_S:
            return "run"
        return self.flush()

    def _write(self, kind: str, step: int, arrays: Any, state: Any) -> artifacts.Written:
        return artifacts.write(self._store, self._run_id, kind, step, self._number, arrays, state)

    def flush(self) -> str:
        """Append what is pending in one transaction."""
        self._flushed = time.monotonic()
        pending, self._pending = self._pending, []
        patch, self._patch = self._patch, {}
        return event_log.append(self._store, self._run_id, self._number, pending, patch)

    def finish(self, event: RunFinished) -> None:
        """Store the end of the run."""
        self.flush()
        self._end("finished", Entry(event.type, event.payload()))

    def cancel(self, epoch: int) -> None:
        """Store that the user stopped the run."""
        self.flush()
        self._end("cancelled", Entry("RunCancelled", {"epoch": epoch}))

    def fail(self, error: str, log: str) -> None:
        """Store that the run cannot go on, with the reason in one line and the log beside it."""
        # What came before is not lost; where just that could not be stored, the reason still is.
        with contextlib.suppress(SQLAlchemyError):
            self.flush()
        self._end("failed", Entry("RunFailed", {"error": error}), error, [Entry("LogLine", {"text": log})])

    def _end(self, status: str, entry: Entry, error: str | None = None, before: list[Entry] | None = None) -> None:
        if not runs.end(self._store, self._run_id, self._number, status, entry, error=error, before=before or []):
            raise Fenced(f"attempt {self._number} no longer owns run {self._run_id}")


def newest_checkpoint(store: Store, run_id: str, number: int) -> CheckpointSaved | None:
    """Return the newest checkpoint whose file is whole; a damaged one is passed over, with an event."""
    for row in artifacts.rows(store, run_id, "checkpoint"):
        loaded = artifacts.read(store, row)
        if loaded is not None:
            state = loaded.state
            return CheckpointSaved(epoch=state["epoch"], step=state["step"], tensors=loaded.arrays, state=state)
        text = f"the checkpoint at step {row.step} is damaged or missing; falling back to the one before"
        event_log.append(store, run_id, number, [Entry("LogLine", {"text": text})])
    return None


def execute(store: Store, run_id: str, number: int, device: str, reading: Reading) -> int:
    """Run one attempt to its end; return the process's exit status."""
    recorder = Recorder(store, run_id, number)
    try:
        from ncengine.config import with_overrides
        from ncengine.data.places import Places
        from ncengine.data.settling import require_paths_inside
        from ncengine.train import run as train

        config = runs.config_of(runs.get(store, run_id))
        datasets = datasets_dir(store.data_dir)
        if reading.confined:
            # Links may lead elsewhere since the run was launched.
            require_paths_inside(config, (datasets, *reading.roots))
        resume = newest_checkpoint(store, run_id, number)
        placed = config if config.device == device else with_overrides(config, {"device": device})
        places = Places(directory=datasets, mirror=reading.mirror)
        return _drain(train(placed, resume=resume, places=places), recorder)
    except Fenced as error:
        print(error, file=sys.stderr)
        return 3
    except Exception as error:
        traceback.print_exc()
        try:
            recorder.fail(_reason(error), traceback.format_exc()[-8000:])
        except CollapseError as second:
            print(second, file=sys.stderr)
        return 1


def _drain(events: Iterator[Event], recorder: Recorder) -> int:
    epoch = 0
    for event in events:
        if isinstance(event, RunFinished):
            recorder.finish(event)
            return 0
        epoch = getattr(event, "epoch", epoch)
        if recorder.record(event) == "cancel":
            recorder.cancel(int(epoch))
            return 0
    raise RuntimeError("the engine stopped without an end")


def _reason(error: Exception) -> str:
    """Return the error in one line, with the remedy where one is known."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            "the disk of the data directory is full; free some space, then retry: the run continues from its checkpoint"
        )
    text = str(error).strip() or type(error).__name__
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
    given = parser.parse_args()
    # Ctrl-C belongs to whoever started us; the user stops a run through the store.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    run_id, number, device = given.run, given.attempt, given.device
    if given.warm:
        _import_everything()
        line = sys.stdin.readline()
        if not line:
            return 0
        order = json.loads(line)
        run_id, number, device = order["run"], order["attempt"], order["device"]
    store = open_store(given.data, os.environ.get("COLLAPSE_DATABASE_URL"))
    log_path = artifacts.resolve(store, f"runs/{run_id}/worker.log")
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    try:
        return execute(store, run_id, number, device, Reading(tuple(given.data_root), given.mirror, given.confined))
    finally:
        store.close()


def _import_everything() -> None:
    """Load what a run needs before there is one; what only some need, only as long as nobody waits."""
    import torch

    import ncengine.train  # noqa: F401

    torch.nn.functional.conv2d(torch.zeros(2, 1, 8, 8), torch.zeros(1, 1, 3, 3))  # the first kernels
    for name in ("sklearn.datasets", "torchvision"):
        if not select.select([sys.stdin], [], [], 0)[0]:
            import_module(name)


if __name__ == "__main__":
    sys.exit(main())
