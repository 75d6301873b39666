"""What a worker could not store while the database was away, in a local file, in order, delivered when it is back.

The file `runs/ID/undelivered-aN.jsonl` of attempt N has one batch of events a line, with the number of the event that
it follows, so that a delivery that was cut off can be repeated: what the database has already is passed over. The
worker delivers; where it is gone, the supervisor that finds its attempt does.
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
    """How an attempt ended: the state that the run goes over to, its event, and what is told of it."""

    entry: NewEvent
    error: str | None = None
    before: Sequence[NewEvent] = ()
    outcome: str | None = None

    @property
    def entries(self) -> list[NewEvent]:
        """The events that the end consists of."""
        return [*self.before, self.entry]


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Events that belong into one transaction, after event `follows`; or the end of the attempt."""

    follows: int
    entries: Sequence[NewEvent] = ()
    patch: Mapping[str, Any] | None = None
    buckets: Sequence[Bucket] = ()
    ending: AttemptEnd | None = None

    @property
    def last_seq(self) -> int:
        """The number of its last event."""
        return self.follows + len(self.entries) + (len(self.ending.entries) if self.ending else 0)

    def store(self, store: Store, run_id: str, number: int) -> AppendResult:
        """Append it as the owner of the attempt; raises Fenced where another attempt owns the run."""
        if self.ending is None:
            return event_log.append(
                store, run_id, number, self.entries, self.patch, buckets=self.buckets, follows=self.follows
            )
        end = self.ending
        if not run_attempts.end(
            store, run_id, number, end.entry, error=end.error, before=end.before, outcome=end.outcome
        ):
            raise Fenced(f"attempt {number} no longer owns run {run_id}")
        return AppendResult(self.last_seq, "run")

    def to_json(self) -> bytes:
        """Return it as a line of JSON; NaN and infinities are spelled as in the store, and events have a time."""
        found = asdict(self)
        ending = found["ending"]
        for event in [*found["entries"], *([*ending["before"], ending["entry"]] if ending else [])]:
            event["at"] = event["at"] or now()
        if ending is not None:
            ending["status"] = TRANSITIONS["running"][ending["entry"]["type"]]
        return orjson.dumps(event_log.encode_numbers(found))

    @classmethod
    def from_json(cls, line: bytes) -> EventBatch:
        """Return the batch of a line of JSON."""
        found = orjson.loads(line)
        ending = found["ending"]
        if ending is not None:
            before = [_event(each) for each in ending["before"]]
            ending = AttemptEnd(_event(ending["entry"]), ending["error"], before, ending["outcome"])
        return cls(
            found["follows"],
            [_event(each) for each in found["entries"]],
            found["patch"],
            [Bucket(*each) for each in found["buckets"]],
            ending,
        )


def _event(found: dict[str, Any]) -> NewEvent:
    written = found["written"]
    return NewEvent(found["type"], found["payload"], WrittenArtifact(**written) if written else None, found["at"])


MAX_WAIT_S = 300.0
"""How long a worker waits for a database that is away, where it cannot go on without."""
RETRY_S = 1.0
"""How long after an append that failed the next one is tried, while facts are kept in the local file."""
Result = TypeVar("Result")


class Outbox:
    """The file of one attempt's undelivered batches."""

    def __init__(self, store: Store, run_id: str, number: int) -> None:
        self._store, self._run_id, self._number = store, run_id, number
        self.path: Path = artifacts.resolve(store, f"runs/{run_id}/undelivered-a{number}.jsonl")

    def is_empty(self) -> bool:
        """Whether nothing waits to be delivered."""
        return not self.path.exists()

    def grew_within(self, seconds: float) -> bool:
        """Whether the worker added to the file of late: it is alive, whatever its heartbeat in the database says."""
        try:
            return time.time() - self.path.stat().st_mtime < seconds
        except FileNotFoundError:
            return False

    def append(self, batch: EventBatch) -> None:
        """Add a batch, durably; raises OSError where the disk cannot be written."""
        with self.path.open("ab") as stream:
            start = stream.tell()
            try:
                stream.write(batch.to_json() + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
            except OSError:
                # No half line before the next one.
                with contextlib.suppress(OSError):
                    os.truncate(self.path, start)
                raise

    def deliver(self) -> AppendResult | None:
        """Store all batches and remove the file; return what the last one's append result, None where there was none.

        Raises Fenced where another attempt owns the run, or the database is a copy that lacks earlier events: the file
        stays then. Raises an error of the database while that is away.
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
                    # A worker that was killed while it wrote leaves half a line, of which nothing was promised.
                    if line.endswith(b"\n"):
                        yield EventBatch.from_json(line)
        except FileNotFoundError:
            return

    def _stored(self) -> int:
        query = sa.select(run.c.last_seq).where(run.c.id == self._run_id, run.c.attempt == self._number)
        with self._store.reading() as connection:
            found = connection.execute(query).scalar_one_or_none()
        if found is None:
            raise Fenced(f"attempt {self._number} no longer owns run {self._run_id}; {self.path} is kept")
        return int(found)


class EventDelivery:
    """Stores an attempt's batches, or keeps them in its outbox while the database is away."""

    def __init__(self, store: Store, run_id: str, number: int) -> None:
        self._store, self._run_id, self._number = store, run_id, number
        self._outbox = Outbox(store, run_id, number)
        self._retry_at = 0.0

    @property
    def is_behind(self) -> bool:
        """Whether facts wait in the local file."""
        return not self._outbox.is_empty()

    def send(self, batch: EventBatch) -> str | None:
        """Store a batch after those that wait; return what the user wants, or None where it was kept.

        Raises Fenced where another attempt owns the run, and the database's error where the disk is full.
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
        """Try to store what waits; return what the user wants, or None where the database is still away."""
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
        """Deliver the end of the attempt, waiting for the database a while; what is left the supervisor delivers."""
        deadline = time.monotonic() + MAX_WAIT_S
        while self.is_behind and time.monotonic() < deadline:
            self.deliver()
            time.sleep(RETRY_S)
        if self.is_behind:
            print(f"the database is still away; {self._outbox.path} is delivered when it is back", file=sys.stderr)


def retry(work: Callable[[], Result]) -> Result:
    """Do something with the database or the disk, waiting while it cannot be written; the last error is raised.

    A full disk is no matter of waiting: it is raised at once.
    """
    deadline = time.monotonic() + MAX_WAIT_S
    while True:
        try:
            return work()
        except (*Unreachable, OSError) as error:
            waitable = isinstance(error, Unreachable) or getattr(error, "errno", None) == errno.EROFS
            if not waitable or is_full(error) or time.monotonic() > deadline:
                raise
            print(f"nothing can be written ({reason_of(error)}); waiting", file=sys.stderr)
            time.sleep(0.5)


def is_full(error: BaseException) -> bool:
    """Whether an error says that the disk is full, be it a file's or the database's."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    text = str(getattr(error, "orig", ""))
    return isinstance(error, Unreachable) and ("disk is full" in text or "No space left" in text)
