"""The append-only log: per run numbered 1, 2, 3 … without gaps, fenced by the attempt that owns the run.

One statement gives the numbers, beats the heart, holds the fence and hears what the user wants:
`UPDATE run SET last_seq = last_seq + n … WHERE id = r AND attempt = a AND status = 'running' RETURNING last_seq, want`.
No row back means that the run is somebody else's now.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from backend.errors import Fenced
from backend.store.artifacts import Written
from backend.store.database import Store, now
from backend.store.models import artifact, event, run


@dataclass(frozen=True, slots=True)
class Entry:
    """An event to append: its type, its payload, and the file it speaks of, where there is one."""

    type: str
    payload: Mapping[str, Any]
    written: Written | None = None


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


def append(
    store: Store, run_id: str, attempt: int, entries: Sequence[Entry], patch: Mapping[str, Any] | None = None
) -> str:
    """Append as the owner of the running `attempt`, with changes to the run's row; return what the user wants.

    Raises Fenced where another attempt owns the run or it is not running; nothing is written then.
    """
    statement = (
        sa.update(run)
        .where(run.c.id == run_id, run.c.attempt == attempt, run.c.status == "running")
        .values(last_seq=run.c.last_seq + len(entries), heartbeat=run.c.heartbeat + 1, **_encoded(patch))
        .returning(run.c.last_seq, run.c.want)
    )
    with store.writing() as connection:
        row = connection.execute(statement).one_or_none()
        if row is None:
            raise Fenced(f"attempt {attempt} no longer owns run {run_id}")
        insert(connection, run_id, row.last_seq, entries)
    return str(row.want)


def _encoded(patch: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key: encode_numbers(value) for key, value in (patch or {}).items()}


def insert(connection: Connection, run_id: str, last_seq: int, entries: Sequence[Entry]) -> None:
    """Insert events that end at `last_seq`, and the rows of their files, in the caller's transaction."""
    if not entries:
        return
    first, at = last_seq - len(entries) + 1, now()
    connection.execute(
        event.insert(),
        [
            {"run_id": run_id, "seq": first + i, "type": e.type, "at": at, "payload": encode_numbers(e.payload)}
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
        }
        for i, entry in enumerate(entries)
        if entry.written is not None
    ]
    if files:
        connection.execute(artifact.insert(), files)


def after(store: Store, run_id: str, seq: int, limit: int, types: Iterable[str] | None = None) -> list[sa.Row[Any]]:
    """Return up to `limit` events of a run with numbers above `seq`, in order."""
    query = sa.select(event).where(event.c.run_id == run_id, event.c.seq > seq)
    if types is not None:
        query = query.where(event.c.type.in_(list(types)))
    with store.reading() as connection:
        return list(connection.execute(query.order_by(event.c.seq).limit(limit)))


def newest(store: Store, run_id: str, type_: str) -> sa.Row[Any] | None:
    """Return the newest event of a type, or None."""
    query = sa.select(event).where(event.c.run_id == run_id, event.c.type == type_)
    with store.reading() as connection:
        return connection.execute(query.order_by(event.c.seq.desc()).limit(1)).one_or_none()
