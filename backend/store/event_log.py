"""The append-only log: per run numbered 1, 2, 3 … without gaps, fenced by the attempt that owns the run.

One statement gives the numbers, beats the heart, holds the fence and hears what the user wants:
`UPDATE run SET last_seq = last_seq + n … WHERE id = r AND attempt = a AND status = 'running' RETURNING last_seq, want`.
No row back means that the run is somebody else's now.

A writer that knows the number it left off at says so (`follows`). Its append may then be tried again after a connection
broke in the middle of a commit: where the events are stored already, that is what it hears, and nothing is doubled.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from backend.store.artifacts import WrittenArtifact
from backend.store.clock import now
from backend.store.database import CHANNEL, Store
from backend.store.errors import Fenced
from backend.store.models import artifact, bucket, event, run


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to append: its type, its payload, and the file it speaks of, where there is one."""

    type: str
    payload: Mapping[str, Any]
    written: WrittenArtifact | None = None
    at: str | None = None
    """When it happened, where that was earlier than the moment in which it is stored."""


def encode_numbers(value: Any) -> Any:
    """Return JSON-able data in which NaN, inf and −inf are the strings "NaN", "Infinity", "-Infinity".

    JSON has no such numbers; these strings are how JavaScript's Number() and Python's float() both read them.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {key: encode_numbers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode_numbers(item) for item in value]
    return value


class AppendResult(NamedTuple):
    """What an owner hears when it writes: the run's last number, and what the user wants (`run`, `pause`, `cancel`)."""

    last_seq: int
    requested: str


class Bucket(NamedTuple):
    """A row of folded metrics, see `curves`."""

    kind: str
    level: int
    number: int
    payload: Mapping[str, Any]


def append(
    store: Store,
    run_id: str,
    attempt: int,
    entries: Sequence[NewEvent],
    patch: Mapping[str, Any] | None = None,
    *,
    buckets: Sequence[Bucket] = (),
    follows: int | None = None,
) -> AppendResult:
    """Append as the owner of the running `attempt`, with changes to the run's row and its folded curves.

    With `follows`, the number of the last event that the writer knows of, the same call may be repeated after a failure
    without doubling. Raises Fenced where another attempt owns the run or it is not running; nothing is written then.
    """
    owned = [run.c.id == run_id, run.c.attempt == attempt, run.c.status == "running"]
    statement = (
        sa.update(run)
        .where(*owned, *([run.c.last_seq == follows] if follows is not None else []))
        .values(last_seq=run.c.last_seq + len(entries), heartbeat=run.c.heartbeat + 1, **_encoded(patch))
        .returning(run.c.last_seq, run.c.want)
    )
    with store.writing() as connection:
        row = connection.execute(statement).one_or_none()
        if row is None:
            stored = connection.execute(sa.select(run.c.last_seq, run.c.want).where(*owned)).one_or_none()
            if stored is None or follows is None or stored.last_seq != follows + len(entries):
                raise Fenced(f"attempt {attempt} no longer owns run {run_id}")
            return AppendResult(stored.last_seq, stored.want)
        insert_events(connection, run_id, row.last_seq, entries)
        if buckets:
            rows = [{"run_id": run_id, **held._asdict(), "payload": encode_numbers(held.payload)} for held in buckets]
            connection.execute(bucket.insert(), rows)
    return AppendResult(row.last_seq, row.want)


def record_heartbeat(store: Store, run_id: str, attempt: int, running_s: float) -> str | None:
    """Say that the owner is alive and how long the run has run; return what the user wants, None where it is fenced."""
    statement = (
        sa.update(run)
        .where(run.c.id == run_id, run.c.attempt == attempt, run.c.status == "running")
        .values(heartbeat=run.c.heartbeat + 1, running_s=running_s)
        .returning(run.c.want)
    )
    with store.writing() as connection:
        requested = connection.execute(statement).scalar_one_or_none()
    return None if requested is None else str(requested)


def _encoded(patch: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key: encode_numbers(value) for key, value in (patch or {}).items()}


def insert_events(connection: Connection, run_id: str, last_seq: int, entries: Sequence[NewEvent]) -> None:
    """Insert events that end at `last_seq`, and the rows of their files, in the caller's transaction."""
    if not entries:
        return
    first, at = last_seq - len(entries) + 1, now()
    connection.execute(
        event.insert(),
        [
            {"run_id": run_id, "seq": first + i, "type": e.type, "at": e.at or at, "payload": encode_numbers(e.payload)}
            for i, e in enumerate(entries)
        ],
    )
    files = [
        {
            "run_id": run_id,
            "kind": entry.written.kind,
            "step": entry.written.step,
            "seq": first + i,
            "path": entry.written.path,
            "sha256": entry.written.sha256,
            "size_bytes": entry.written.size_bytes,
            "directory_id": entry.written.directory_id,
        }
        for i, entry in enumerate(entries)
        if entry.written is not None
    ]
    if files:
        connection.execute(artifact.insert(), files)
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_notify(CHANNEL, run_id)))


def after(store: Store, run_id: str, seq: int, limit: int, types: Iterable[str] | None = None) -> list[sa.Row[Any]]:
    """Return up to `limit` events of a run with numbers above `seq`, in order."""
    query = sa.select(event).where(event.c.run_id == run_id, event.c.seq > seq)
    if types is not None:
        query = query.where(event.c.type.in_(list(types)))
    with store.reading() as connection:
        return list(connection.execute(query.order_by(event.c.seq).limit(limit)))


def after_each(store: Store, seqs: Mapping[str, int], limit: int) -> dict[str, list[sa.Row[Any]]]:
    """Return up to `limit` events of each run with numbers above the one given, in order; one query for many runs."""
    found: dict[str, list[sa.Row[Any]]] = {}
    wanted = iter(seqs.items())
    with store.reading() as connection:
        while some := list(islice(wanted, MAX_RUNS_PER_QUERY)):
            parts = [
                sa.select(event).where(event.c.run_id == run_id, event.c.seq > seq).order_by(event.c.seq).limit(limit)
                for run_id, seq in some
            ]
            # SQLite takes an order and a limit only inside of a subquery.
            query = sa.union_all(*(sa.select(part.subquery()) for part in parts))
            for row in connection.execute(query):
                found.setdefault(row.run_id, []).append(row)
    return {run_id: sorted(rows, key=lambda row: int(row.seq)) for run_id, rows in found.items()}


def newest_event(store: Store, run_id: str, type_: str) -> sa.Row[Any] | None:
    """Return the newest event of a type, or None."""
    return next(iter(newest_events(store, run_id, type_, 1)), None)


def newest_events(store: Store, run_id: str, type_: str, limit: int) -> list[sa.Row[Any]]:
    """Return the newest events of a type, at most so many, the newest first."""
    query = sa.select(event).where(event.c.run_id == run_id, event.c.type == type_)
    with store.reading() as connection:
        return list(connection.execute(query.order_by(event.c.seq.desc()).limit(limit)))


MAX_RUNS_PER_QUERY = 100
"""Runs that one query reads: SQLite takes 500."""
