"""The order in which queued runs start."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from backend.store.database import Store
from backend.store.errors import Conflict, Invalid
from backend.store.models import pulse, run, run_folder
from backend.store.runs import get

QUEUE_ORDER = (run.c.priority.desc(), run.c.position, run.c.created_at, run.c.id)


def list_startable(store: Store) -> list[sa.Row[Any]]:
    """Return id and requested device of the queued runs that may start here, in the order of their start.

    A run whose files are in another data directory continues there, because its checkpoints are there.
    """
    device = run.c.config["device"].as_string().label("device")
    folders = sa.select(run_folder.c.directory_id).where(run_folder.c.run_id == run.c.id)
    startable = sa.or_(~folders.exists(), folders.where(run_folder.c.directory_id == store.directory_id).exists())
    query = sa.select(run.c.id, device).where(run.c.status == "queued", run.c.deleted_at.is_(None), startable)
    with store.reading() as connection:
        return list(connection.execute(query.order_by(*QUEUE_ORDER)))


def list_waiting(store: Store, limit: int) -> list[sa.Row[Any]]:
    """Return the rows of the next `limit` queued runs, in the order of their start."""
    query = sa.select(run).where(run.c.status == "queued", run.c.deleted_at.is_(None))
    with store.reading() as connection:
        return list(connection.execute(query.order_by(*QUEUE_ORDER).limit(limit)))


def move_before(store: Store, run_id: str, before: str | None) -> None:
    """Move a queued run before another one, taking its priority, or to the end of the queue."""
    get(store, run_id)
    with store.writing() as connection:
        query = (
            sa.select(run.c.id, run.c.priority, run.c.position).where(run.c.status == "queued").order_by(*QUEUE_ORDER)
        )
        waiting = list(connection.execute(query))
        ids = [row.id for row in waiting]
        if run_id not in ids:
            raise Conflict(f"run {run_id} is not queued: only queued runs have a place in the queue")
        if before is not None and before not in ids:
            raise Invalid(f"`before` must name a queued run, got {before!r}")
        if before == run_id:
            return
        rest = [row for row in waiting if row.id != run_id]
        index = len(rest) if before is None else [row.id for row in rest].index(before)
        last = rest[-1].priority if rest else 0
        priority = last if before is None else rest[index].priority
        ordered = [*((row.id, row.priority) for row in rest[:index]), (run_id, priority)]
        ordered += [(row.id, row.priority) for row in rest[index:]]
        current = {row.id: (row.priority, row.position) for row in waiting}
        first = min(row.position for row in waiting)
        for position, (moved, its_priority) in enumerate(ordered, first):
            if current[moved] != (its_priority, position):
                values = {"priority": its_priority, "position": position}
                connection.execute(sa.update(run).where(run.c.id == moved).values(**values))


def write_probe(store: Store) -> None:
    """Update one small row; a call that takes long shows that the database holds writers up."""
    with store.writing() as connection:
        connection.execute(sa.update(pulse).values(beats=pulse.c.beats + 1))
