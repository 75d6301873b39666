"""The append-only event log: per run numbered 1, 2, 3 … without gaps, written only by the attempt that owns the run.

One statement assigns the numbers, records the heartbeat, checks the ownership (the fence) and reads the user's request:
`UPDATE run SET last_seq = last_seq + n … WHERE id = r AND attempt = a AND status = 'running' RETURNING last_seq, want`.
No row returned means that the attempt does not own the run any more.

A writer may pass the number of the last event it knows (`follows`). Its append can then be repeated after a connection
was lost during a commit: where the events are stored already, nothing is stored twice.
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
    """An event to append: its type, its payload, and the artifact that it describes, if any."""

    type: str
    payload: Mapping[str, Any]
    written: WrittenArtifact | None = None
    at: str | None = None
    """When it happened, if it is stored later."""


def encode_numbers(value: Any) -> Any:
    """Return JSON-able data in which NaN, inf and −inf are the strings "NaN", "Infinity", "-Infinity".

    JSON has no such numbers; JavaScript's Number() and Python's float() both parse these strings.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {key: encode_numbers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode_numbers(item) for item in value]
    return value


class AppendResult(NamedTuple):
    """Result of an append: the number of the run's last event, and the user's request (`run`, `pause` or `cancel`)."""

    last_seq: int
    requested: str


class Bucket(NamedTuple):
    """A row of aggregated metrics, see `curves`."""

    kind: str
    level: int
    number: int
    payload: Mapping[str, Any]


def append(
    store: Store,
    run_id: str,
    attempt: int,
    events: Sequence[NewEvent],
    patch: Mapping[str, Any] | None = None,
    *,
    buckets: Sequence[Bucket] = (),
    follows: int | None = None,
) -> AppendResult:
    """Append events as the owner of the running `attempt`, with changes to the run's row and its aggregated curves.

    With `follows`, the number of the last event that the writer knows, the call can be repeated after a failure without
    storing events twice. Raises Fenced, and writes nothing, where another attempt owns the run or it is not running.
    """
    is_owner = [run.c.id == run_id, run.c.attempt == attempt, run.c.status == "running"]
    statement = (
        sa.update(run)
        .where(*is_owner, *([run.c.last_seq == follows] if follows is not None else []))
        .values(last_seq=run.c.last_seq + len(events), heartbeat=run.c.heartbeat + 1, **_encoded(patch))
        .returning(run.c.last_seq, run.c.want)
    )
    with store.writing() as connection:
        row = connection.execute(statement).one_or_none()
        if row is None:
            stored = connection.execute(sa.select(run.c.last_seq, run.c.want).where(*is_owner)).one_or_none()
            if stored is None or follows is None or stored.last_seq != follows + len(events):
                raise Fenced(f"attempt {attempt} no longer owns run {run_id}")
            return AppendResult(stored.last_seq, stored.want)
        insert_events(connection, run_id, row.last_seq, events)
        if buckets:
            rows = [{"run_id": run_id, **each._asdict(), "payload": encode_numbers(each.payload)} for each in buckets]
            connection.execute(bucket.insert(), rows)
    return AppendResult(row.last_seq, row.want)


def record_heartbeat(store: Store, run_id: str, attempt: int, running_s: float) -> str | None:
    """Record a heartbeat and the running time; return the user's request, None if the attempt does not own the run."""
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


def insert_events(connection: Connection, run_id: str, last_seq: int, events: Sequence[NewEvent]) -> None:
    """Insert events, the last of which has the number `last_seq`, and the rows of their files, in this transaction."""
    if not events:
        return
    first, at = last_seq - len(events) + 1, now()
    connection.execute(
        event.insert(),
        [
            {"run_id": run_id, "seq": first + i, "type": e.type, "at": e.at or at, "payload": encode_numbers(e.payload)}
            for i, e in enumerate(events)
        ],
    )
    files = [
        {
            "run_id": run_id,
            "kind": each.written.kind,
            "step": each.written.step,
            "seq": first + i,
            "path": each.written.path,
            "sha256": each.written.sha256,
            "size_bytes": each.written.size_bytes,
            "directory_id": each.written.directory_id,
        }
        for i, each in enumerate(events)
        if each.written is not None
    ]
    if files:
        connection.execute(artifact.insert(), files)
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_notify(CHANNEL, run_id)))


def list_events(
    store: Store, run_id: str, seq: int, limit: int, types: Iterable[str] | None = None
) -> list[sa.Row[Any]]:
    """Return up to `limit` events of a run with numbers above `seq`, in order."""
    query = sa.select(event).where(event.c.run_id == run_id, event.c.seq > seq)
    if types is not None:
        query = query.where(event.c.type.in_(list(types)))
    with store.reading() as connection:
        return list(connection.execute(query.order_by(event.c.seq).limit(limit)))


def list_events_of_runs(store: Store, seqs: Mapping[str, int], limit: int) -> dict[str, list[sa.Row[Any]]]:
    """Return up to `limit` events of each run with numbers above the one given, in order; one query for many runs."""
    rows_by_run: dict[str, list[sa.Row[Any]]] = {}
    remaining = iter(seqs.items())
    with store.reading() as connection:
        while some := list(islice(remaining, MAX_RUNS_PER_QUERY)):
            parts = [
                sa.select(event).where(event.c.run_id == run_id, event.c.seq > seq).order_by(event.c.seq).limit(limit)
                for run_id, seq in some
            ]
            # SQLite allows ORDER BY and LIMIT only inside a subquery.
            query = sa.union_all(*(sa.select(part.subquery()) for part in parts))
            for row in connection.execute(query):
                rows_by_run.setdefault(row.run_id, []).append(row)
    return {run_id: sorted(rows, key=lambda row: int(row.seq)) for run_id, rows in rows_by_run.items()}


def find_newest_event(store: Store, run_id: str, type_: str) -> sa.Row[Any] | None:
    """Return the newest event of a type, or None."""
    return next(iter(list_newest_events(store, run_id, type_, 1)), None)


def list_newest_events(store: Store, run_id: str, type_: str, limit: int) -> list[sa.Row[Any]]:
    """Return the newest events of a type, at most `limit`, newest first."""
    query = sa.select(event).where(event.c.run_id == run_id, event.c.type == type_)
    with store.reading() as connection:
        return list(connection.execute(query.order_by(event.c.seq.desc()).limit(limit)))


MAX_RUNS_PER_QUERY = 100
"""SQLite allows 500 terms in a compound SELECT."""
