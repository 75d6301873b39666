"""A local file of the events that a worker cannot store while the database is unreachable, delivered in order later.

The file `runs/ID/undelivered-aN.jsonl` of attempt N has one batch of events per line, with the number of the event that
it follows. An interrupted delivery can therefore be repeated: batches that the database has already are skipped. The
worker delivers; if it has ended, the supervisor that finds its attempt does.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import orjson
import sqlalchemy as sa

from backend.store import artifacts, event_log, run_attempts
from backend.store.artifacts import WrittenArtifact
from backend.store.clock import now
from backend.store.database import Store, Unreachable, reason_of
from backend.store.errors import Fenced
from backend.store.event_log import AppendResult, Bucket, NewEvent
from backend.store.models import run
from backend.store.run_status import TRANSITIONS


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """The end of an attempt: its event, which decides the status of the run, and its description."""

    entry: NewEvent
    error: str | None = None
    before: Sequence[NewEvent] = ()
    outcome: str | None = None

    @property
    def entries(self) -> list[NewEvent]:
        """All events of the end, in order."""
        return [*self.before, self.entry]


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Events of one transaction, after the event number `follows`; or the end of the attempt.

    The names of the fields are the keys of the stored JSON.
    """

    follows: int
    entries: Sequence[NewEvent] = ()
    patch: Mapping[str, Any] | None = None
    buckets: Sequence[Bucket] = ()
    ending: AttemptEnd | None = None

    @property
    def last_seq(self) -> int:
        """Number of the last event of the batch."""
        return self.follows + len(self.entries) + (len(self.ending.entries) if self.ending else 0)

    def store(self, store: Store, run_id: str, number: int) -> AppendResult:
        """Append the batch as the owner of the attempt; raises Fenced where another attempt owns the run."""
        if self.ending is None:
            return event_log.append(
                store, run_id, number, self.entries, self.patch, buckets=self.buckets, follows=self.follows
            )
        end = self.ending
        if not run_attempts.end_attempt(
            store, run_id, number, end.entry, error=end.error, before=end.before, outcome=end.outcome
        ):
            raise Fenced(f"attempt {number} no longer owns run {run_id}")
        return AppendResult(self.last_seq, "run")

    def to_json(self) -> bytes:
        """Return the batch as a line of JSON, with NaN and infinities as strings, and a time for each event."""
        fields = asdict(self)
        ending = fields["ending"]
        for event in [*fields["entries"], *([*ending["before"], ending["entry"]] if ending else [])]:
            event["at"] = event["at"] or now()
        if ending is not None:
            ending["status"] = TRANSITIONS["running"][ending["entry"]["type"]]
        return orjson.dumps(event_log.encode_numbers(fields))

    @classmethod
    def from_json(cls, line: bytes) -> EventBatch:
        """Parse a batch from a line of JSON."""
        fields = orjson.loads(line)
        ending = fields["ending"]
        if ending is not None:
            before = [_event(each) for each in ending["before"]]
            ending = AttemptEnd(_event(ending["entry"]), ending["error"], before, ending["outcome"])
        return cls(
            fields["follows"],
            [_event(each) for each in fields["entries"]],
            fields["patch"],
            [Bucket(*each) for each in fields["buckets"]],
            ending,
        )


def _event(fields: dict[str, Any]) -> NewEvent:
    written = fields["written"]
    return NewEvent(fields["type"], fields["payload"], WrittenArtifact(**written) if written else None, fields["at"])


MAX_WAIT_S = 300.0
"""How long a worker waits for an unreachable database where it cannot continue without it."""
RETRY_S = 1.0
"""Interval between attempts to deliver the local file."""
Result = TypeVar("Result")


class Outbox:
    """The file of undelivered batches of one attempt."""

    def __init__(self, store: Store, run_id: str, number: int) -> None:
        self._store, self._run_id, self._number = store, run_id, number
        self.path: Path = artifacts.resolve_path(store, f"runs/{run_id}/undelivered-a{number}.jsonl")

    def is_empty(self) -> bool:
        """Return whether there is nothing to deliver."""
        return not self.path.exists()

    def grew_within(self, seconds: float) -> bool:
        """Return whether the worker wrote to the file lately, which shows that it is alive without a heartbeat."""
        try:
            return time.time() - self.path.stat().st_mtime < seconds
        except FileNotFoundError:
            return False

    def append(self, batch: EventBatch) -> None:
        """Append a batch durably; raises OSError where the disk cannot be written."""
        with self.path.open("ab") as stream:
            start = stream.tell()
            try:
                stream.write(batch.to_json() + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
            except OSError:
                # Remove the incomplete line, so that the next one starts on a new line.
                with contextlib.suppress(OSError):
                    os.truncate(self.path, start)
                raise

    def deliver(self) -> AppendResult | None:
        """Store all batches and remove the file; return the result of the last append, None where there was none.

        Raises Fenced, and keeps the file, where another attempt owns the run, or the database is a copy that lacks
        earlier events. Raises an error of `Unreachable` while the database is unreachable.
        """
        result = None
        for batch in self._batches():
            stored = self._stored()
            if stored < batch.follows:
                raise Fenced(
                    f"the database has {stored} events of run {self._run_id} and {self.path} goes on after event "
                    f"{batch.follows}: the database is an older copy; the file is kept"
                )
            if batch.last_seq > stored:
                result = batch.store(self._store, self._run_id, self._number)
        self.path.unlink(missing_ok=True)
        return result

    def _batches(self) -> Iterator[EventBatch]:
        try:
            with self.path.open("rb") as stream:
                for line in stream:
                    # A worker that was killed while writing leaves an incomplete line, which was never acknowledged.
                    if line.endswith(b"\n"):
                        yield EventBatch.from_json(line)
        except FileNotFoundError:
            return

    def _stored(self) -> int:
        query = sa.select(run.c.last_seq).where(run.c.id == self._run_id, run.c.attempt == self._number)
        with self._store.reading() as connection:
            last_seq = connection.execute(query).scalar_one_or_none()
        if last_seq is None:
            raise Fenced(f"attempt {self._number} no longer owns run {self._run_id}; {self.path} is kept")
        return int(last_seq)


class EventDelivery:
    """Stores the batches of an attempt, or keeps them in its outbox while the database is unreachable."""

    def __init__(self, store: Store, run_id: str, number: int) -> None:
        self._store, self._run_id, self._number = store, run_id, number
        self._outbox = Outbox(store, run_id, number)
        self._retry_at = 0.0

    @property
    def is_behind(self) -> bool:
        """Whether there are undelivered events in the local file."""
        return not self._outbox.is_empty()

    def send(self, batch: EventBatch) -> str | None:
        """Store a batch after the undelivered ones; return the user's request, or None where it went into the outbox.

        Raises Fenced where another attempt owns the run, and the error of the database where its disk is full.
        """
        if not self.is_behind:
            try:
                return batch.store(self._store, self._run_id, self._number).requested
            except Unreachable as error:
                self._failed(error)
                reason, where = reason_of(error), self._outbox.path
                print(f"the database cannot be written ({reason}); events are kept in {where}", file=sys.stderr)
        retry(lambda: self._outbox.append(batch))
        return self.deliver() if time.monotonic() >= self._retry_at else None

    def deliver(self) -> str | None:
        """Try to deliver the outbox; return the user's request, or None if the database is still unreachable."""
        try:
            result = self._outbox.deliver()
        except Unreachable as error:
            self._failed(error)
            return None
        print("the database can be written again; the kept events are stored", file=sys.stderr)
        return None if result is None else result.requested

    def _failed(self, error: Exception) -> None:
        if is_full(error):
            raise error
        self._retry_at = time.monotonic() + RETRY_S

    def finish(self) -> None:
        """Deliver the end of the attempt, waiting up to `MAX_WAIT_S`; else the supervisor delivers it."""
        deadline = time.monotonic() + MAX_WAIT_S
        while self.is_behind and time.monotonic() < deadline:
            self.deliver()
            time.sleep(RETRY_S)
        if self.is_behind:
            print(f"the database is still unreachable; {self._outbox.path} is delivered later", file=sys.stderr)


def retry(function: Callable[[], Result]) -> Result:
    """Call a function that uses the database or the disk, again until they can be written; raise the last error.

    The error of a full disk is raised at once.
    """
    deadline = time.monotonic() + MAX_WAIT_S
    while True:
        try:
            return function()
        except (*Unreachable, OSError) as error:
            is_transient = isinstance(error, Unreachable) or getattr(error, "errno", None) == errno.EROFS
            if not is_transient or is_full(error) or time.monotonic() > deadline:
                raise
            print(f"nothing can be written ({reason_of(error)}); waiting", file=sys.stderr)
            time.sleep(0.5)


def is_full(error: BaseException) -> bool:
    """Return whether an error of a file or of the database means that the disk is full."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    text = str(getattr(error, "orig", ""))
    return isinstance(error, Unreachable) and ("disk is full" in text or "No space left" in text)
