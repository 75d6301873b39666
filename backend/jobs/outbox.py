"""What a worker could not store while the database was away, in a local file, in order, delivered when it is back.

The file `runs/ID/undelivered-aN.jsonl` of attempt N has one batch of events a line, with the number of the event that
it follows, so that a delivery that was cut off can be repeated: what the database has already is passed over. The
worker delivers; where it is gone, the supervisor that finds its attempt does.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa

from backend.store import artifacts, event_log, run_attempts
from backend.store.artifacts import Written
from backend.store.clock import now
from backend.store.database import Store
from backend.store.errors import Fenced
from backend.store.event_log import Bucket, Entry, Heard
from backend.store.models import run


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended: the state that the run goes over to, its event, and what is told of it."""

    status: str
    entry: Entry
    error: str | None = None
    before: Sequence[Entry] = ()
    outcome: str | None = None

    @property
    def entries(self) -> list[Entry]:
        """The events that the end consists of."""
        return [*self.before, self.entry]


@dataclass(frozen=True, slots=True)
class Batch:
    """Events that belong into one transaction, after event `follows`; or the end of the attempt."""

    follows: int
    entries: Sequence[Entry] = ()
    patch: Mapping[str, Any] | None = None
    buckets: Sequence[Bucket] = ()
    ending: Ending | None = None

    @property
    def last_seq(self) -> int:
        """The number of its last event."""
        return self.follows + len(self.entries) + (len(self.ending.entries) if self.ending else 0)

    def store(self, store: Store, run_id: str, number: int) -> Heard:
        """Append it as the owner of the attempt; raises Fenced where another attempt owns the run."""
        if self.ending is None:
            return event_log.append(
                store, run_id, number, self.entries, self.patch, buckets=self.buckets, follows=self.follows
            )
        end = self.ending
        if not run_attempts.end(
            store, run_id, number, end.status, end.entry, error=end.error, before=end.before, outcome=end.outcome
        ):
            raise Fenced(f"attempt {number} no longer owns run {run_id}")
        return Heard(self.last_seq, "run")

    def to_json(self) -> bytes:
        """Return it as a line of JSON; NaN and infinities are spelled as in the store, and events have a time."""
        found = asdict(self)
        ending = found["ending"]
        for entry in [*found["entries"], *([*ending["before"], ending["entry"]] if ending else [])]:
            entry["at"] = entry["at"] or now()
        return orjson.dumps(event_log.encode_numbers(found))

    @classmethod
    def from_json(cls, line: bytes) -> Batch:
        """Return the batch of a line of JSON."""
        found = orjson.loads(line)
        ending = found["ending"]
        if ending is not None:
            before = [_entry(each) for each in ending["before"]]
            ending = Ending(**ending | {"entry": _entry(ending["entry"]), "before": before})
        return cls(
            found["follows"],
            [_entry(each) for each in found["entries"]],
            found["patch"],
            [Bucket(*each) for each in found["buckets"]],
            ending,
        )


def _entry(found: dict[str, Any]) -> Entry:
    written = found["written"]
    return Entry(found["type"], found["payload"], Written(**written) if written else None, found["at"])


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

    def append(self, batch: Batch) -> None:
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

    def deliver(self) -> Heard | None:
        """Store all batches and remove the file; return what the last one's append heard, None where there was none.

        Raises Fenced where another attempt owns the run, or the database is a copy that lacks earlier events: the file
        stays then. Raises an error of the database while that is away.
        """
        heard = None
        for batch in self._batches():
            stored = self._stored()
            if stored < batch.follows:
                raise Fenced(
                    f"the database has {stored} events of run {self._run_id} and {self.path} goes on after event "
                    f"{batch.follows}: the database is an older copy; the file is kept"
                )
            if batch.last_seq > stored:
                heard = batch.store(self._store, self._run_id, self._number)
        self.path.unlink(missing_ok=True)
        return heard

    def _batches(self) -> Iterator[Batch]:
        try:
            with self.path.open("rb") as stream:
                for line in stream:
                    # A worker that was killed while it wrote leaves half a line, of which nothing was promised.
                    if line.endswith(b"\n"):
                        yield Batch.from_json(line)
        except FileNotFoundError:
            return

    def _stored(self) -> int:
        query = sa.select(run.c.last_seq).where(run.c.id == self._run_id, run.c.attempt == self._number)
        with self._store.reading() as connection:
            found = connection.execute(query).scalar_one_or_none()
        if found is None:
            raise Fenced(f"attempt {self._number} no longer owns run {self._run_id}; {self.path} is kept")
        return int(found)
