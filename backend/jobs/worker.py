"""The worker: `python -m backend.jobs.worker RUN ATTEMPT`, the only place where the engine meets the store.

It writes what the engine says: arrays as files, facts as events, an epoch's facts and its checkpoint in one
transaction. It stops when the user wants it to, and at once when another attempt owns the run (the fence). A crash at
any moment loses at most what came after the newest checkpoint; the next attempt repeats it, and facts that are already
stored are not stored twice. While the database is away (restarting, removed) training goes on and facts are kept in a
local file (`jobs.outbox`), delivered when the database is back.

A second thread beats the heart between the engine's events, which may be minutes apart, hears there what the user
wants, and notes now and then what the process takes of the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from backend.jobs.heartbeat import FENCED, Pulse
from backend.jobs.launcher import Reading
from backend.jobs.outbox import Batch, Ending, Outbox
from backend.settings import datasets_dir
from backend.store import artifacts, event_log, run_attempts, run_folders, runs
from backend.store.curves import Folder
from backend.store.database import Store, Unreachable, open_store, reason_of
from backend.store.errors import CollapseError, Fenced
from backend.store.event_log import Bucket, Entry
from backend.store.event_payloads import require_valid
from ncengine.events import (
    CheckpointSaved,
    DataProgressed,
    EpochMeasured,
    Event,
    FeaturesKept,
    GeometryCaptured,
    LogLine,
    Resumed,
    RunFinished,
    RunStarted,
    SamplesPictured,
    StepMeasured,
)

Result = TypeVar("Result")

FLUSH_S = 0.1
KEPT_CHECKPOINTS = 2
PATIENCE_S = 300.0
"""How long a worker waits for a database that is away, where it cannot go on without."""
RETRY_S = 1.0
"""How long after an append that failed the next one is tried, while facts are kept in the local file."""


class Delivery:
    """Stores an attempt's batches, or keeps them in its outbox while the database is away."""

    def __init__(self, store: Store, run_id: str, number: int) -> None:
        self._store, self._run_id, self._number = store, run_id, number
        self._outbox = Outbox(store, run_id, number)
        self._retry_at = 0.0

    @property
    def is_behind(self) -> bool:
        """Whether facts wait in the local file."""
        return not self._outbox.is_empty()

    def send(self, batch: Batch) -> str | None:
        """Store a batch after those that wait; return what the user wants, or None where it was kept.

        Raises Fenced where another attempt owns the run, and the database's error where the disk is full.
        """
        if not self.is_behind:
            try:
                return batch.store(self._store, self._run_id, self._number).want
            except Unreachable as error:
                self._failed(error)
                reason, where = reason_of(error), self._outbox.path
                print(f"the database cannot be written ({reason}); events are kept in {where}", file=sys.stderr)
        patiently(lambda: self._outbox.append(batch))
        return self.deliver() if time.monotonic() >= self._retry_at else None

    def deliver(self) -> str | None:
        """Try to store what waits; return what the user wants, or None where the database is still away."""
        try:
            heard = self._outbox.deliver()
        except Unreachable as error:
            self._failed(error)
            return None
        print("the database can be written again; the kept events are stored", file=sys.stderr)
        return None if heard is None else heard.want

    def _failed(self, error: Exception) -> None:
        if is_full(error):
            raise error
        self._retry_at = time.monotonic() + RETRY_S

    def finish(self) -> None:
        """Deliver the end of the attempt, waiting for the database a while; what is left the supervisor delivers."""
        deadline = time.monotonic() + PATIENCE_S
        while self.is_behind and time.monotonic() < deadline:
            self.deliver()
            time.sleep(RETRY_S)
        if self.is_behind:
            print(f"the database is still away; {self._outbox.path} is delivered when it is back", file=sys.stderr)


class Recorder:
    """Turns engine events into stored ones, skipping what an earlier attempt has stored already."""

    def __init__(self, store: Store, run_id: str, number: int, pulse: Pulse) -> None:
        self._store, self._run_id, self._number, self._pulse = store, run_id, number, pulse
        self._delivery = Delivery(store, run_id, number)
        self._pending: list[Entry] = []
        self._buckets: list[Bucket] = []
        self._patch: dict[str, Any] = {}
        self._flushed = time.monotonic()
        self._seq = int(runs.get(store, run_id, deleted=True).last_seq)
        self._epochs, self._steps = (Folder.resumed(store, run_id, kind) for kind in ("epoch", "step"))
        self._epoch_stored = self._newest(EpochMeasured.type, "epoch")
        self._step_stored = self._newest(StepMeasured.type, "step")
        self._capture_stored = self._newest(GeometryCaptured.type, "step")
        self._features_stored = self._newest(FeaturesKept.type, "step")
        self._checkpoints_stored = {row.step for row in artifacts.rows(store, run_id, "checkpoint")}
        self._pictured = bool(artifacts.steps(store, run_id, "samples"))
        self._started = event_log.newest(store, run_id, RunStarted.type) is not None

    def _newest(self, type_: str, key: str) -> int:
        row = event_log.newest(self._store, self._run_id, type_)
        return -1 if row is None else int(row.payload[key])

    def record(self, event: Event) -> str:
        """Take one event; return what the user wants (`run`, `pause` or `cancel`)."""
        written = None
        payload = storable(event)
        if isinstance(event, EpochMeasured):
            if event.epoch <= self._epoch_stored:
                return self._pulse.want
            self._patch |= {"epoch": event.epoch, "summary": event.scalars, "headline": runs.headline(event.scalars)}
            self._buckets += self._epochs.add(payload)
        elif isinstance(event, StepMeasured):
            if event.step <= self._step_stored:
                return self._pulse.want
            self._buckets += self._steps.add(payload)
        elif isinstance(event, GeometryCaptured):
            if event.step <= self._capture_stored:
                return self._pulse.want
            written = self._write("geometry", event.step, event.arrays, {})
        elif isinstance(event, SamplesPictured):
            if self._pictured:
                return self._pulse.want
            written = self._write("samples", 0, event.arrays, {})
        elif isinstance(event, FeaturesKept):
            if event.step <= self._features_stored:
                return self._pulse.want
            written = self._write("features", event.step, event.arrays, {"epoch": event.epoch})
        elif isinstance(event, CheckpointSaved):
            if event.step in self._checkpoints_stored:
                return self._pulse.want
            written = self._write("checkpoint", event.step, event.tensors, event.state)
        elif isinstance(event, RunStarted) and self._started:
            return self._pulse.want
        self._pending.append(Entry(event.type, payload, written))
        if isinstance(event, CheckpointSaved):
            wanted = self.flush()
            if not self._delivery.is_behind:
                # Where the database goes away just now, the next checkpoint's turn comes.
                with contextlib.suppress(*Unreachable):
                    artifacts.prune(self._store, self._run_id, "checkpoint", KEPT_CHECKPOINTS)
            return wanted
        # An epoch's facts wait for its geometry and checkpoint, which come at once; the rest goes ten times a second.
        if isinstance(event, EpochMeasured) or time.monotonic() - self._flushed < FLUSH_S:
            return self._pulse.want
        return self.flush()

    def _write(self, kind: str, step: int, arrays: Any, state: Any) -> artifacts.Written:
        write = artifacts.write
        return patiently(lambda: write(self._store, self._run_id, kind, step, self._number, arrays, state))

    def pass_over(self, checkpoint: sa.Row[Any]) -> None:
        """Forget a checkpoint that is damaged or missing, and say so."""
        text = f"the checkpoint at step {checkpoint.step} is damaged or missing; falling back to the one before"
        self._pending.append(Entry(LogLine.type, {"text": text}))
        self.flush()
        patiently(lambda: artifacts.forget(self._store, checkpoint))
        self._checkpoints_stored.discard(checkpoint.step)

    def flush(self) -> str:
        """Append what is pending in one transaction, or keep it while the database is away; return what is wanted."""
        self._flushed = time.monotonic()
        patch = self._patch | {"running_s": self._pulse.running_s()}
        batch = Batch(self._seq, self._pending, patch, self._buckets)
        want = self._delivery.send(batch)
        self._pending, self._buckets, self._patch, self._seq = [], [], {}, batch.last_seq
        return self._pulse.want if want is None else self._pulse.hear(want)

    def end(self, status: str, entry: Entry, *, error: str | None = None, outcome: str | None = None) -> None:
        """Store the end of the attempt, after what is pending."""
        self.flush()
        self._end(status, entry, error=error, outcome=outcome)

    def fail(self, error: str, log: str) -> None:
        """Store that the run cannot go on, with the reason in one line and the log beside it."""
        # What came before is not lost; where just that could not be stored, the reason still is.
        with contextlib.suppress(SQLAlchemyError):
            self.flush()
        self._end("failed", Entry("RunFailed", {"error": error}), error=error, before=[Entry("LogLine", {"text": log})])

    def give_up(self, reason: str) -> None:
        """Store that this attempt ends here and the run is to be tried again."""
        with contextlib.suppress(SQLAlchemyError):
            self.flush()
        crashes = run_attempts.crashes(self._store, self._run_id) + 1
        failed = {"attempt": self._number, "reason": reason, "tries_left": max(0, run_attempts.MAX_CRASHES - crashes)}
        if crashes < run_attempts.MAX_CRASHES:
            self._end("queued", Entry("AttemptFailed", failed), outcome=reason)
        else:
            self._end(
                "failed",
                Entry("RunFailed", {"error": reason}),
                error=reason,
                before=[Entry("AttemptFailed", failed)],
            )

    def _end(
        self,
        status: str,
        entry: Entry,
        *,
        error: str | None = None,
        outcome: str | None = None,
        before: Sequence[Entry] = (),
    ) -> None:
        self._pulse.rest()
        batch = Batch(self._seq, ending=Ending(status, entry, error, before, outcome))
        self._delivery.send(batch)
        self._seq = batch.last_seq
        self._delivery.finish()


def storable(event: Event) -> dict[str, Any]:
    """Return an event's payload as it is stored; raises Invalid where readers of the store could not rely on it."""
    payload: dict[str, Any] = event_log.encode_numbers(event.payload())
    require_valid(event.type, payload)
    return payload


def patiently(work: Callable[[], Result]) -> Result:
    """Do something with the database or the disk, waiting while it cannot be written; the last error is raised.

    A full disk is no matter of waiting: it is raised at once.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return work()
        except (*Unreachable, OSError) as error:
            waitable = isinstance(error, Unreachable) or getattr(error, "errno", None) == errno.EROFS
            if not waitable or is_full(error) or time.monotonic() > deadline:
                raise
            print(f"nothing can be written ({reason_of(error)}); waiting", file=sys.stderr)
            time.sleep(0.5)


def newest_checkpoint(store: Store, run_id: str, recorder: Recorder) -> CheckpointSaved | None:
    """Return the newest checkpoint whose file is whole; a damaged one is passed over, with an event."""
    for row in patiently(lambda: artifacts.rows(store, run_id, "checkpoint")):
        loaded = artifacts.read(store, row)
        if loaded is not None:
            state = loaded.state
            return CheckpointSaved(epoch=state["epoch"], step=state["step"], tensors=loaded.arrays, state=state)
        recorder.pass_over(row)
    return None


def execute(store: Store, run_id: str, number: int, device: str, reading: Reading) -> int:
    """Run one attempt to its end; return the process's exit status."""
    row = patiently(lambda: runs.get(store, run_id, deleted=True))
    log_path = artifacts.log_path(store, run_id)
    with Pulse(store, run_id, number, row.running_s, log_path).beating() as pulse:
        recorder = patiently(lambda: Recorder(store, run_id, number, pulse))
        try:
            from ncengine.config import with_overrides
            from ncengine.data.places import Places
            from ncengine.data.settling import require_paths_inside
            from ncengine.train import run as train

            config = runs.config_of(row)
            datasets = datasets_dir(store.data_dir)
            if reading.confined:
                # Links may lead elsewhere since the run was launched.
                require_paths_inside(config, (datasets, *reading.roots))
            resume = newest_checkpoint(store, run_id, recorder)
            placed = config if config.device == device else with_overrides(config, {"device": device})
            places = Places(directory=datasets, mirror=reading.mirror)
            return _drain(train(placed, resume=resume, places=places), recorder, pulse, row.time_limit_s)
        except Fenced as error:
            print(error, file=sys.stderr)
            return FENCED
        except Exception as error:
            traceback.print_exc()
            try:
                if is_full(error):
                    recorder.give_up(FULL)
                else:
                    recorder.fail(_reason(error), traceback.format_exc()[-8000:])
            except (CollapseError, SQLAlchemyError) as second:
                # Whoever watches finds this process gone, and says so once the database can be written.
                print(second, file=sys.stderr)
            return 1


def _drain(
    events: Generator[Event, str | None, None], recorder: Recorder, pulse: Pulse, time_limit_s: float | None
) -> int:
    """Record events until the run ends, is stopped, paused, or out of its time; return the exit status."""
    epoch, answer = 0.0, None
    while True:
        event = next(events) if answer is None else events.send(answer)
        if isinstance(event, RunFinished):
            recorder.end("finished", Entry(event.type, storable(event)))
            return 0
        epoch, answer = getattr(event, "epoch", epoch), None
        want = recorder.record(event)
        if want == "cancel":
            recorder.end("cancelled", Entry("RunCancelled", {"epoch": int(epoch)}))
            return 0
        late = time_limit_s is not None and pulse.running_s() >= time_limit_s
        if want != "pause" and not late:
            continue
        if isinstance(event, StepMeasured):
            answer = "checkpoint"
        elif isinstance(event, CheckpointSaved | DataProgressed | Resumed) and want == "pause":
            # Nothing was trained that is not saved.
            recorder.end("paused", Entry("Paused", {"epoch": int(epoch)}))
            return 0
        elif isinstance(event, CheckpointSaved | DataProgressed | Resumed):
            error = (
                f"the time limit of {time_limit_s:g} s is used up; raise time_limit_s and retry: "
                "the run continues where it stopped"
            )
            recorder.end("failed", Entry("RunFailed", {"error": error}), error=error)
            return 0


FULL = "the disk of the data directory is full; the run continues from its checkpoint when there is space again"


def is_full(error: BaseException) -> bool:
    """Whether an error says that the disk is full, be it a file's or the database's."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    text = str(getattr(error, "orig", ""))
    return isinstance(error, Unreachable) and ("disk is full" in text or "No space left" in text)


def _reason(error: Exception) -> str:
    """Return the error in one line, with the remedy where one is known."""
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
    if given.memory is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (given.memory, given.memory))
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
    patiently(lambda: run_folders.register(store, run_id))
    log_path = artifacts.log_path(store, run_id)
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
    if not select.select([sys.stdin], [], [], 0)[0]:
        import_module("torchvision")


if __name__ == "__main__":
    sys.exit(main())
