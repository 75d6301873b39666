"""Record the events of the engine in the store: rows of the event log, aggregated curves, and files of arrays."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from backend.jobs.heartbeat import Heartbeat
from backend.jobs.outbox import AttemptEnd, EventBatch, EventDelivery, retry
from backend.store import artifacts, event_log, run_attempts, runs
from backend.store.curves import CurveAggregator
from backend.store.database import Store, Unreachable
from backend.store.event_log import Bucket, NewEvent
from backend.store.event_payloads import require_valid
from ncengine.events import (
    CheckpointSaved,
    EpochMeasured,
    Event,
    FeaturesKept,
    GeometryCaptured,
    LogLine,
    RunStarted,
    SamplesPictured,
    StepMeasured,
)

FLUSH_S = 0.1
KEPT_CHECKPOINTS = 2


class EventRecorder:
    """Records the events of an attempt, except those that an earlier attempt has stored already.

    Events are stored in batches; an epoch's events and its checkpoint are stored in one transaction.
    """

    def __init__(self, store: Store, run_id: str, number: int, heartbeat: Heartbeat) -> None:
        self._store, self._run_id, self._number, self._heartbeat = store, run_id, number, heartbeat
        self._delivery = EventDelivery(store, run_id, number)
        self._pending: list[NewEvent] = []
        self._buckets: list[Bucket] = []
        self._patch: dict[str, Any] = {}
        self._flushed = time.monotonic()
        self._seq = int(runs.get(store, run_id, deleted=True).last_seq)
        self._epochs, self._steps = (CurveAggregator.resumed(store, run_id, kind) for kind in ("epoch", "step"))
        self._last_epoch = self._last_value(EpochMeasured.type, "epoch")
        self._last_step = self._last_value(StepMeasured.type, "step")
        self._last_capture = self._last_value(GeometryCaptured.type, "step")
        self._last_features = self._last_value(FeaturesKept.type, "step")
        self._checkpoint_steps = {row.step for row in artifacts.list_rows(store, run_id, "checkpoint")}
        self._has_samples = bool(artifacts.list_steps(store, run_id, "samples"))
        self._has_started = event_log.find_newest_event(store, run_id, RunStarted.type) is not None

    def _last_value(self, type_: str, key: str) -> int:
        row = event_log.find_newest_event(self._store, self._run_id, type_)
        return -1 if row is None else int(row.payload[key])

    def record(self, event: Event) -> str:
        """Record one event; return the user's request (`run`, `pause` or `cancel`)."""
        payload = make_payload(event)
        if self._is_stored(event):
            return self._heartbeat.requested
        if isinstance(event, EpochMeasured):
            self._patch |= {
                "epoch": event.epoch,
                "summary": event.scalars,
                "headline": runs.extract_headline(event.scalars),
            }
            self._buckets += self._epochs.add(payload)
        elif isinstance(event, StepMeasured):
            self._buckets += self._steps.add(payload)
        self._pending.append(NewEvent(event.type, payload, self._write_artifact(event)))
        if isinstance(event, CheckpointSaved):
            requested = self.flush()
            if not self._delivery.is_behind:
                # If the database becomes unreachable here, old checkpoints are removed after the next one.
                with contextlib.suppress(*Unreachable):
                    artifacts.prune(self._store, self._run_id, "checkpoint", KEPT_CHECKPOINTS)
            return requested
        # An epoch's metrics wait for its geometry and checkpoint, which follow at once; others are stored every 0.1 s.
        if isinstance(event, EpochMeasured) or time.monotonic() - self._flushed < FLUSH_S:
            return self._heartbeat.requested
        return self.flush()

    def _is_stored(self, event: Event) -> bool:
        """Return whether an earlier attempt stored the event, which a resumed run yields again."""
        match event:
            case EpochMeasured():
                return event.epoch <= self._last_epoch
            case StepMeasured():
                return event.step <= self._last_step
            case GeometryCaptured():
                return event.step <= self._last_capture
            case FeaturesKept():
                return event.step <= self._last_features
            case CheckpointSaved():
                return event.step in self._checkpoint_steps
            case SamplesPictured():
                return self._has_samples
            case RunStarted():
                return self._has_started
        return False

    def _write_artifact(self, event: Event) -> artifacts.WrittenArtifact | None:
        """Write the arrays of an event, if it has any."""
        match event:
            case GeometryCaptured():
                return self._write("geometry", event.step, event.arrays, {})
            case SamplesPictured():
                return self._write("samples", 0, event.arrays, {})
            case FeaturesKept():
                return self._write("features", event.step, event.arrays, {"epoch": event.epoch})
            case CheckpointSaved():
                return self._write("checkpoint", event.step, event.tensors, event.state)
        return None

    def _write(self, kind: artifacts.ArtifactKind, step: int, arrays: Any, state: Any) -> artifacts.WrittenArtifact:
        write = artifacts.write
        return retry(lambda: write(self._store, self._run_id, kind, step, self._number, arrays, state))

    def skip_checkpoint(self, checkpoint: sa.Row[Any]) -> None:
        """Remove the row of a damaged or missing checkpoint, and log it."""
        text = f"the checkpoint at step {checkpoint.step} is damaged or missing; falling back to the one before"
        self._pending.append(NewEvent(LogLine.type, {"text": text}))
        self.flush()
        retry(lambda: artifacts.remove_row(self._store, checkpoint))
        self._checkpoint_steps.discard(checkpoint.step)

    def flush(self) -> str:
        """Store the pending events in one transaction, or in the outbox; return the user's request."""
        self._flushed = time.monotonic()
        patch = self._patch | {"running_s": self._heartbeat.running_s()}
        batch = EventBatch(self._seq, self._pending, patch, self._buckets)
        requested = self._delivery.send(batch)
        self._pending, self._buckets, self._patch, self._seq = [], [], {}, batch.last_seq
        return self._heartbeat.requested if requested is None else self._heartbeat.set_requested(requested)

    def end(self, event: NewEvent, *, error: str | None = None, outcome: str | None = None) -> None:
        """Store the pending events, then the end of the attempt."""
        self.flush()
        self._end(event, error=error, outcome=outcome)

    def fail(self, error: str, log: str) -> None:
        """Store that the run failed, with the reason in one line and the traceback as a log line."""
        # The reason is stored even if the pending events cannot be.
        with contextlib.suppress(SQLAlchemyError):
            self.flush()
        self._end(NewEvent("RunFailed", {"error": error}), error=error, before=[NewEvent("LogLine", {"text": log})])

    def give_up(self, reason: str) -> None:
        """End the attempt so that the run is tried again, or fails after `MAX_CRASHES` attempts."""
        with contextlib.suppress(SQLAlchemyError):
            self.flush()
        crashes = run_attempts.count_crashes(self._store, self._run_id) + 1
        failed = {"attempt": self._number, "reason": reason, "tries_left": max(0, run_attempts.MAX_CRASHES - crashes)}
        if crashes < run_attempts.MAX_CRASHES:
            self._end(NewEvent("AttemptFailed", failed), outcome=reason)
        else:
            self._end(
                NewEvent("RunFailed", {"error": reason}),
                error=reason,
                before=[NewEvent("AttemptFailed", failed)],
            )

    def _end(
        self,
        event: NewEvent,
        *,
        error: str | None = None,
        outcome: str | None = None,
        before: Sequence[NewEvent] = (),
    ) -> None:
        self._heartbeat.stop()
        batch = EventBatch(self._seq, ending=AttemptEnd(event, error, before, outcome))
        self._delivery.send(batch)
        self._seq = batch.last_seq
        self._delivery.finish()


def make_payload(event: Event) -> dict[str, Any]:
    """Return the payload of an event as it is stored; raises Invalid where it is not valid for its type."""
    payload: dict[str, Any] = event_log.encode_numbers(event.payload())
    require_valid(event.type, payload)
    return payload
