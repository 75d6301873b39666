"""Integrity check of a store: what `collapse doctor --check` runs, and what must hold after any fault.

Per run: event numbers without a gap, every epoch once and in order, only legal transitions of the status, a file with
the right hash for every row, no row without its run. The check changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import sqlalchemy as sa

from backend.store import artifacts
from backend.store.database import Store
from backend.store.models import artifact, attempt, bucket, event, reading, run
from backend.store.run_status import RunStatus, next_status

PAGE = 5000


class IntegrityProblem(NamedTuple):
    """A problem of a run, or of the store as a whole (`run_id` is None)."""

    run_id: str | None
    description: str


def find_problems(store: Store, run_id: str | None = None) -> Iterator[IntegrityProblem]:
    """Check one run, or the database and all runs; yield the problems."""
    query = sa.select(run.c.id) if run_id is None else sa.select(run.c.id).where(run.c.id == run_id)
    with store.reading() as connection:
        ids = list(connection.execute(query).scalars())
    if run_id is None:
        yield from find_database_problems(store)
    for each in ids:
        yield from (IntegrityProblem(each, problem) for problem in _event_problems(store, each))
        yield from (IntegrityProblem(each, problem) for problem in _file_problems(store, each))


def find_database_problems(store: Store) -> Iterator[IntegrityProblem]:
    """Check the database itself: its file is whole, and every row belongs to a run."""
    with store.reading() as connection:
        if store.is_sqlite:
            for (answer,) in connection.exec_driver_sql("PRAGMA integrity_check"):
                if answer != "ok":
                    yield IntegrityProblem(None, f"the database file: {answer}")
        for table in (event, artifact, attempt, bucket, reading):
            orphans = sa.select(sa.func.count()).select_from(table)
            count = connection.execute(orphans.where(table.c.run_id.not_in(sa.select(run.c.id)))).scalar_one()
            if count:
                yield IntegrityProblem(None, f"{count} rows of {table.name} belong to no run")


def _event_problems(store: Store, run_id: str) -> Iterator[str]:
    # The row and its newest event in one statement: a running run has more events by the next one.
    newest = sa.select(sa.func.max(event.c.seq)).where(event.c.run_id == run.c.id).scalar_subquery().label("newest")
    with store.reading() as connection:
        query = sa.select(run.c.status, run.c.last_seq, run.c.epoch, newest).where(run.c.id == run_id)
        row = connection.execute(query).one_or_none()
    if row is None:
        return  # removed while other runs were checked

    def stored_events() -> Iterator[tuple[int, str, dict[str, Any]]]:
        seq = 0
        of_run = sa.select(event.c.seq, event.c.type, event.c.payload).where(event.c.run_id == run_id)
        with store.reading() as connection:
            while seq < (row.newest or 0):
                query = of_run.where(event.c.seq > seq, event.c.seq <= row.newest).order_by(event.c.seq).limit(PAGE)
                page = list(connection.execute(query))
                yield from ((each.seq, each.type, each.payload) for each in page)
                if not page:
                    return
                seq = page[-1].seq

    yield from check_events(row.status, row.last_seq, row.epoch, stored_events())


def check_events(
    status: str, last_seq: int, epoch: int, events: Iterable[tuple[int, str, dict[str, Any]]]
) -> Iterator[str]:
    """Yield the problems of a run's events (number, type, payload), also compared with the columns of its row."""
    current: RunStatus | None = None
    expected, measured, capture = 1, 0, -1
    for seq, type_, payload in events:
        if seq != expected:
            yield f"event {expected} is missing; the next is {seq}"
        expected = seq + 1
        after = next_status(current, type_)
        if after is None:
            yield f"event {seq}, {type_}, cannot follow the status {current or 'new'}"
        current = after or current
        position = payload.get({"EpochMeasured": "epoch", "GeometryCaptured": "step"}.get(type_, ""))
        if type_ == "EpochMeasured":
            if not isinstance(position, int) or position <= measured:
                yield f"event {seq} measures epoch {position} after epoch {measured}"
            else:
                measured = position
        if type_ == "GeometryCaptured":
            if not isinstance(position, int) or position <= capture:
                yield f"event {seq} captures step {position} after step {capture}"
            else:
                capture = position
    if last_seq != expected - 1:
        yield f"the last event of the run is {expected - 1}, and its row has {last_seq}"
    if status != current and not (current == "queued" and status == "running"):
        yield f"the status of the run is {status}, and its events result in {current or 'none'}"
    if epoch != measured:
        yield f"the last epoch in the events is {measured}, and the row of the run has {epoch}"


def _file_problems(store: Store, run_id: str) -> Iterator[str]:
    same_event = sa.and_(event.c.run_id == artifact.c.run_id, event.c.seq == artifact.c.seq)
    query = sa.select(artifact, event.c.type.label("event_type")).outerjoin(event, same_event)
    with store.reading() as connection:
        rows = list(connection.execute(query.where(artifact.c.run_id == run_id)))
    for row in rows:
        name = f"the {row.kind} at step {row.step}"
        if row.event_type is None:
            yield f"{name} belongs to event {row.seq}, which does not exist"
        if not artifacts.is_local(store, row):
            continue  # checked by a server of that directory
        problem = _file_problem(store, row)
        # A running run removes old checkpoints, the row first: the problem counts only while the row exists.
        if problem and any(current.path == row.path for current in artifacts.list_rows(store, run_id, row.kind)):
            yield f"{name} {problem}"


def _file_problem(store: Store, row: sa.Row[Any]) -> str | None:
    """Return the problem of an artifact's file; None where it is as it was written."""
    try:
        size = artifacts.resolve_path(store, row.path).stat().st_size
    except FileNotFoundError:
        return f"is missing: {row.path}"
    if size != row.size_bytes:
        return f"has {size} bytes and should have {row.size_bytes}: {row.path}"
    if artifacts.verified_path(store, row) is None:
        return f"is not what was written, its hash differs: {row.path}"
    return None
