"""Runs: creating, listing, and the legal moves between their states.

    queued → running → finished | failed | cancelled;   running → queued (a failed attempt is tried again)
    queued → cancelled;   failed | cancelled → queued (retry)

Every move is one conditional UPDATE with its event in the same transaction, so that two movers cannot both win.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from backend.errors import Conflict, NotFound
from backend.store.database import Store, now
from backend.store.event_log import Entry, insert
from backend.store.models import attempt, run
from ncengine import __version__
from ncengine.config import RunConfig

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
ENDED = ("finished", "cancelled", "failed")
STATUSES = ("queued", "running", "paused", *ENDED)


def create(
    store: Store,
    config: RunConfig,
    *,
    name: str | None = None,
    tags: Sequence[str] = (),
    group: str | None = None,
    idempotency_key: str | None = None,
    demonstration: bool = False,
) -> tuple[str, bool]:
    """Queue a run; return its id and whether it is new (False where the idempotency key was used before)."""
    run_id = "".join(secrets.choice(ALPHABET) for _ in range(10))
    with store.writing() as connection:
        if idempotency_key is not None:
            query = sa.select(run.c.id, run.c.config_hash).where(run.c.idempotency_key == idempotency_key)
            held = connection.execute(query).one_or_none()
            if held is not None:
                if held.config_hash != config.hash():
                    raise Conflict("this Idempotency-Key was used for another config; send a new key")
                return held.id, False
        connection.execute(
            run.insert().values(
                id=run_id,
                name=name or f"{config.data.name}-{config.head.name.removesuffix('-etf')}",
                status="queued",
                group=group,
                tags=list(tags),
                config=config.model_dump(mode="json"),
                config_hash=config.hash(),
                code_version=__version__,
                created_at=now(),
                last_seq=1,
                summary={},
                demonstration=demonstration,
                idempotency_key=idempotency_key,
            )
        )
        insert(connection, run_id, 1, [Entry("RunQueued", {"config_hash": config.hash()})])
    return run_id, True


def get(store: Store, run_id: str, *, deleted: bool = False) -> sa.Row[Any]:
    """Return a run's row; raises NotFound, also for a deleted run unless `deleted` is asked for."""
    with store.reading() as connection:
        row = connection.execute(sa.select(run).where(run.c.id == run_id)).one_or_none()
    if row is None or (row.deleted_at is not None and not deleted):
        raise NotFound(f"there is no run {run_id!r}; `collapse runs` or GET /api/v1/runs lists them")
    return row


def config_of(row: sa.Row[Any]) -> RunConfig:
    """Return the validated config of a run's row."""
    return RunConfig.model_validate(row.config)


def listing(
    store: Store, *, status: str | None = None, words: str = "", cursor: str | None = None, limit: int = 100
) -> tuple[list[sa.Row[Any]], str | None, int]:
    """Return a page of runs, newest first, the cursor of the next page, and how many match in all."""
    matching: list[sa.ColumnElement[bool]] = [run.c.deleted_at.is_(None)]
    if status is not None:
        matching.append(run.c.status == status)
    for word in words.lower().split():
        matching.append(
            sa.func.lower(run.c.name + " " + sa.cast(run.c.config, sa.Text)).contains(word, autoescape=True)
        )
    page = sa.select(run).where(*matching).order_by(run.c.created_at.desc(), run.c.id.desc()).limit(limit + 1)
    if cursor is not None:
        created_at, _, last_id = cursor.partition("~")
        page = page.where(
            sa.tuple_(run.c.created_at, run.c.id) < sa.tuple_(sa.literal(created_at), sa.literal(last_id))
        )
    with store.reading() as connection:
        total = connection.execute(sa.select(sa.func.count()).select_from(run).where(*matching)).scalar_one()
        found = list(connection.execute(page))
    more = len(found) > limit
    found = found[:limit]
    return found, f"{found[-1].created_at}~{found[-1].id}" if more else None, int(total)


def is_empty(store: Store) -> bool:
    """Whether no run was ever created here."""
    with store.reading() as connection:
        return connection.execute(sa.select(run.c.id).limit(1)).one_or_none() is None


def rename(store: Store, run_id: str, changes: Mapping[str, Any]) -> None:
    """Change name, tags or group."""
    get(store, run_id)
    with store.writing() as connection:
        connection.execute(sa.update(run).where(run.c.id == run_id).values(**changes))


def claim(store: Store, run_id: str, device: str) -> int | None:
    """Take a queued run for a new attempt; return the attempt's number, or None where somebody else took it."""
    statement = (
        sa.update(run)
        .where(run.c.id == run_id, run.c.status == "queued", run.c.deleted_at.is_(None))
        .values(status="running", attempt=run.c.attempt + 1, started_at=sa.func.coalesce(run.c.started_at, now()))
        .returning(run.c.attempt)
    )
    with store.writing() as connection:
        number = connection.execute(statement).scalar_one_or_none()
        if number is None:
            return None
        connection.execute(attempt.insert().values(run_id=run_id, number=number, device=device, claimed_at=now()))
    return int(number)


def record_process(store: Store, run_id: str, number: int, pid: int, process_started: str, boot_id: str) -> None:
    """Write down which process runs an attempt, so that a later server can adopt it."""
    with store.writing() as connection:
        connection.execute(
            sa.update(attempt)
            .where(attempt.c.run_id == run_id, attempt.c.number == number)
            .values(pid=pid, process_started=process_started, boot_id=boot_id)
        )


def owned_attempts(store: Store) -> list[sa.Row[Any]]:
    """Return the current attempts of all running runs, with what the user wants of each."""
    query = (
        sa.select(attempt, run.c.want, run.c.last_seq, run.c.heartbeat)
        .join(run, sa.and_(run.c.id == attempt.c.run_id, run.c.attempt == attempt.c.number))
        .where(run.c.status == "running")
    )
    with store.reading() as connection:
        return list(connection.execute(query))


def queued(store: Store) -> list[sa.Row[Any]]:
    """Return the queued runs in the order in which they came."""
    query = sa.select(run).where(run.c.status == "queued", run.c.deleted_at.is_(None))
    with store.reading() as connection:
        return list(connection.execute(query.order_by(run.c.created_at, run.c.id)))


def end(
    store: Store,
    run_id: str,
    number: int,
    status: str,
    entry: Entry,
    *,
    error: str | None = None,
    before: Sequence[Entry] = (),
) -> bool:
    """Move a running attempt to `status` (an end, or `queued` to be tried again) with its event.

    Returns False, and changes nothing, where the attempt no longer owns the run.
    """
    entries = [*before, entry]
    values: dict[str, Any] = {"status": status, "error": error, "last_seq": run.c.last_seq + len(entries)}
    if status in ENDED:
        values |= {"ended_at": now(), "want": "run"}
    statement = (
        sa.update(run)
        .where(run.c.id == run_id, run.c.attempt == number, run.c.status == "running")
        .values(**values)
        .returning(run.c.last_seq)
    )
    with store.writing() as connection:
        last_seq = connection.execute(statement).scalar_one_or_none()
        if last_seq is None:
            return False
        insert(connection, run_id, last_seq, entries)
        connection.execute(
            sa.update(attempt)
            .where(attempt.c.run_id == run_id, attempt.c.number == number)
            .values(ended_at=now(), outcome=entry.type if error is None else error)
        )
    return True


def request_cancel(store: Store, run_id: str) -> str:
    """Cancel a queued run at once, or ask a running one to stop; return the status after it."""
    row = get(store, run_id)
    with store.writing() as connection:
        waiting = connection.execute(
            sa.update(run)
            .where(run.c.id == run_id, run.c.status == "queued")
            .values(status="cancelled", ended_at=now(), last_seq=run.c.last_seq + 1)
            .returning(run.c.last_seq)
        ).scalar_one_or_none()
        if waiting is not None:
            insert(connection, run_id, waiting, [Entry("RunCancelled", {"epoch": row.epoch})])
            return "cancelled"
        asked = connection.execute(
            sa.update(run).where(run.c.id == run_id, run.c.status == "running").values(want="cancel")
        )
        if asked.rowcount:
            return "running"
    raise Conflict(f"run {run_id} is {row.status}: only a queued or running run can be cancelled")


def retry(store: Store, run_id: str) -> None:
    """Queue a failed or cancelled run again; it continues from its newest checkpoint."""
    row = get(store, run_id)
    with store.writing() as connection:
        last_seq = connection.execute(
            sa.update(run)
            .where(run.c.id == run_id, run.c.status.in_(("failed", "cancelled")))
            .values(status="queued", want="run", error=None, ended_at=None, last_seq=run.c.last_seq + 1)
            .returning(run.c.last_seq)
        ).scalar_one_or_none()
        if last_seq is None:
            raise Conflict(f"run {run_id} is {row.status}: only a failed or cancelled run can be retried")
        insert(connection, run_id, last_seq, [Entry("RunQueued", {"config_hash": row.config_hash})])


def delete(store: Store, run_id: str) -> None:
    """Hide a run (it can be restored); raises Conflict while it is queued or running."""
    row = get(store, run_id)
    with store.writing() as connection:
        done = connection.execute(
            sa.update(run).where(run.c.id == run_id, run.c.status.in_(ENDED)).values(deleted_at=now())
        )
        if not done.rowcount:
            raise Conflict(f"run {run_id} is {row.status}: cancel it before deleting it")


def restore(store: Store, run_id: str) -> None:
    """Bring a deleted run back."""
    get(store, run_id, deleted=True)
    with store.writing() as connection:
        connection.execute(sa.update(run).where(run.c.id == run_id).values(deleted_at=None))
