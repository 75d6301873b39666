"""Runs: creating them, and the legal moves between their states.

    queued → running → finished | failed | cancelled | paused;   running → queued (a failed attempt is tried again)
    queued → paused | cancelled;   paused → queued (resume) | cancelled;   failed | cancelled → queued (retry)

Every move is one conditional UPDATE with its event in the same transaction, so that two movers cannot both win.
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from backend.store.clock import now
from backend.store.database import Store
from backend.store.errors import Conflict, Invalid, NotFound
from backend.store.event_log import Entry, insert
from backend.store.models import attempt, run, run_folder
from ncengine import __version__
from ncengine.config import RunConfig

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
ENDED = ("finished", "cancelled", "failed")
STATUSES = ("queued", "running", "paused", *ENDED)
HEADLINE = ("loss", "top1", "nc1", "nc2_equiangular_means", "nc3", "nc4_ncc_mismatch")
"""The metrics that a run's row keeps once more in short, as `SPLIT.KEY`, for sorting and filtering many runs."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A run that is to be queued."""

    config: RunConfig
    name: str | None = None
    tags: Sequence[str] = ()
    group: str | None = None
    priority: int = 0
    time_limit_s: float | None = None
    demonstration: bool = False
    cloned_from: str | None = None

    def row(self, run_id: str, position: int, idempotency_key: str | None) -> dict[str, Any]:
        """Return the row of the queued run."""
        return {
            "id": run_id,
            "name": self.name or f"{self.config.data.name}-{self.config.head.name.removesuffix('-etf')}",
            "status": "queued",
            "group": self.group,
            "tags": list(self.tags),
            "config": self.config.model_dump(mode="json"),
            "config_hash": self.config.hash(),
            "code_version": __version__,
            "created_at": now(),
            "last_seq": 1,
            "summary": {},
            "headline": {},
            "demonstration": self.demonstration,
            "idempotency_key": idempotency_key,
            "priority": self.priority,
            "position": position,
            "time_limit_s": self.time_limit_s,
            "cloned_from": self.cloned_from,
        }


def new_id() -> str:
    """Return a fresh run id."""
    return "".join(secrets.choice(ALPHABET) for _ in range(10))


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
    draft = Draft(config, name=name, tags=tags, group=group, demonstration=demonstration)
    (run_id,), new = create_all(store, [draft], idempotency_key)
    return run_id, new


def create_all(store: Store, drafts: Sequence[Draft], idempotency_key: str | None = None) -> tuple[list[str], bool]:
    """Queue runs in this order, all or none; return their ids and whether they are new.

    Raises Conflict where the idempotency key was used for other configs.
    """
    keys = [None if idempotency_key is None else _key(idempotency_key, i) for i in range(len(drafts))]
    try:
        with store.writing() as connection:
            held = _held(connection, drafts, keys)
            if held is not None:
                return held, False
            last = connection.execute(sa.select(sa.func.max(run.c.position))).scalar_one() or 0
            rows = [d.row(new_id(), last + 1 + i, key) for i, (d, key) in enumerate(zip(drafts, keys, strict=True))]
            connection.execute(run.insert(), rows)
            for row in rows:
                insert(connection, row["id"], 1, [Entry("RunQueued", {"config_hash": row["config_hash"]})])
        return [row["id"] for row in rows], True
    except sa.exc.IntegrityError:
        # Somebody with the same key was quicker by a moment, which only databases with several writers can see.
        with store.reading() as connection:
            held = _held(connection, drafts, keys)
        if held is None:
            raise
        return held, False


def _key(idempotency_key: str, index: int) -> str:
    return idempotency_key if index == 0 else f"{idempotency_key}#{index}"


def _held(connection: Connection, drafts: Sequence[Draft], keys: Sequence[str | None]) -> list[str] | None:
    """Return the runs that the keys were used for, or None where they are new."""
    if keys[0] is None:
        return None
    query = sa.select(run.c.id, run.c.config_hash, run.c.idempotency_key).where(run.c.idempotency_key.in_(keys))
    found = {row.idempotency_key: row for row in connection.execute(query)}
    if not found:
        return None
    hashes = [found[key].config_hash if key in found else None for key in keys]
    if hashes != [draft.config.hash() for draft in drafts]:
        raise Conflict("this Idempotency-Key was used for another config; send a new key")
    return [found[key].id for key in keys]


def get(store: Store, run_id: str, *, deleted: bool = False) -> sa.Row[Any]:
    """Return a run's row; raises NotFound, also for a deleted run unless `deleted` is asked for."""
    with store.reading() as connection:
        row = connection.execute(sa.select(run).where(run.c.id == run_id)).one_or_none()
    if row is None or (row.deleted_at is not None and not deleted):
        raise missing(run_id)
    return row


def last_seqs(store: Store, run_ids: Collection[str]) -> dict[str, int]:
    """Return the number of the last event of each run; runs that are not there, or deleted, are left out."""
    query = sa.select(run.c.id, run.c.last_seq).where(run.c.id.in_(run_ids), run.c.deleted_at.is_(None))
    with store.reading() as connection:
        return {row.id: row.last_seq for row in connection.execute(query)}


def missing(run_id: str) -> NotFound:
    """Return the error of a run that is not there."""
    return NotFound(f"there is no run {run_id!r}; `collapse runs` or GET /api/v1/runs lists them")


def config_of(row: sa.Row[Any]) -> RunConfig:
    """Return the validated config of a run's row."""
    return _validated(orjson.dumps(row.config))


@functools.lru_cache(maxsize=1000)
def _validated(config: bytes) -> RunConfig:
    # Every page of runs shows the same configs again; to check a hundred takes a fifth of the page's time.
    return RunConfig.model_validate_json(config)


def headline(summary: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the few numbers of a summary by which runs are mostly sorted and filtered."""
    return {
        f"{split}.{key}": summary[split][key]
        for split in ("train", "test")
        for key in HEADLINE
        if key in summary.get(split, {})
    }


def is_empty(store: Store) -> bool:
    """Whether no run was ever created here."""
    with store.reading() as connection:
        return connection.execute(sa.select(run.c.id).limit(1)).one_or_none() is None


def all_ids(store: Store) -> list[str]:
    """Return the ids of all runs, oldest first; of deleted ones too."""
    with store.reading() as connection:
        return list(connection.execute(sa.select(run.c.id).order_by(run.c.created_at, run.c.id)).scalars())


def count(store: Store, status: str) -> int:
    """Return how many runs are in a state."""
    query = sa.select(sa.func.count()).select_from(run).where(run.c.status == status, run.c.deleted_at.is_(None))
    with store.reading() as connection:
        return int(connection.execute(query).scalar_one())


def change(store: Store, run_id: str, changes: Mapping[str, Any]) -> None:
    """Change a run's name, tags, group, notes, priority or time limit."""
    get(store, run_id)
    with store.writing() as connection:
        connection.execute(sa.update(run).where(run.c.id == run_id).values(**changes))


# ── the queue ───────────────────────────────────────────────────────────────────────────────────────────────────────

IN_ORDER = (run.c.priority.desc(), run.c.position, run.c.created_at, run.c.id)


def queued(store: Store) -> list[sa.Row[Any]]:
    """Return id and wished-for device of the queued runs that may start here, in the order in which they will.

    A run whose files are in another data directory continues there, where its checkpoints are.
    """
    device = run.c.config["device"].as_string().label("device")
    held = sa.select(run_folder.c.directory_id).where(run_folder.c.run_id == run.c.id)
    startable = sa.or_(~held.exists(), held.where(run_folder.c.directory_id == store.directory_id).exists())
    query = sa.select(run.c.id, device).where(run.c.status == "queued", run.c.deleted_at.is_(None), startable)
    with store.reading() as connection:
        return list(connection.execute(query.order_by(*IN_ORDER)))


def waiting(store: Store, limit: int) -> list[sa.Row[Any]]:
    """Return the rows of the next `limit` queued runs, in the order in which they will start."""
    query = sa.select(run).where(run.c.status == "queued", run.c.deleted_at.is_(None))
    with store.reading() as connection:
        return list(connection.execute(query.order_by(*IN_ORDER).limit(limit)))


def move(store: Store, run_id: str, before: str | None) -> None:
    """Move a queued run before another one, taking its priority, or to the end of the queue."""
    get(store, run_id)
    with store.writing() as connection:
        query = sa.select(run.c.id, run.c.priority, run.c.position).where(run.c.status == "queued").order_by(*IN_ORDER)
        waiting = list(connection.execute(query))
        ids = [row.id for row in waiting]
        if run_id not in ids:
            raise Conflict(f"run {run_id} is not queued: only queued runs have a place in the queue")
        if before is not None and before not in ids:
            raise Invalid(f"`before` must name a queued run, got {before!r}")
        if before == run_id:
            return
        rest = [row for row in waiting if row.id != run_id]
        place = len(rest) if before is None else [row.id for row in rest].index(before)
        last = rest[-1].priority if rest else 0
        priority = last if before is None else rest[place].priority
        ordered = [*((row.id, row.priority) for row in rest[:place]), (run_id, priority)]
        ordered += [(row.id, row.priority) for row in rest[place:]]
        held = {row.id: (row.priority, row.position) for row in waiting}
        first = min(row.position for row in waiting)
        for position, (moved, wanted) in enumerate(ordered, first):
            if held[moved] != (wanted, position):
                values = {"priority": wanted, "position": position}
                connection.execute(sa.update(run).where(run.c.id == moved).values(**values))


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


def record_process(
    store: Store, run_id: str, number: int, *, pid: int, process_started: str, boot_id: str, host: str
) -> None:
    """Write down which process runs an attempt, so that a later server can adopt it."""
    with store.writing() as connection:
        connection.execute(
            sa.update(attempt)
            .where(attempt.c.run_id == run_id, attempt.c.number == number)
            .values(pid=pid, process_started=process_started, boot_id=boot_id, host=host)
        )


def attempts(store: Store, run_id: str) -> list[sa.Row[Any]]:
    """Return all attempts of a run, in order."""
    get(store, run_id, deleted=True)
    query = sa.select(attempt).where(attempt.c.run_id == run_id).order_by(attempt.c.number)
    with store.reading() as connection:
        return list(connection.execute(query))


def owned_attempts(store: Store) -> list[sa.Row[Any]]:
    """Return the current attempts of all running runs, with what the user wants of each."""
    query = (
        sa.select(attempt, run.c.want, run.c.last_seq, run.c.heartbeat, run.c.running_s, run.c.time_limit_s)
        .join(run, sa.and_(run.c.id == attempt.c.run_id, run.c.attempt == attempt.c.number))
        .where(run.c.status == "running")
    )
    with store.reading() as connection:
        return list(connection.execute(query))


def probe(store: Store) -> None:
    """Write one small row: whoever waits for long here learns that the database holds its writers up."""
    from backend.store.models import pulse

    with store.writing() as connection:
        connection.execute(sa.update(pulse).values(beats=pulse.c.beats + 1))


# ── moves ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def end(
    store: Store,
    run_id: str,
    number: int,
    status: str,
    entry: Entry,
    *,
    error: str | None = None,
    before: Sequence[Entry] = (),
    outcome: str | None = None,
) -> bool:
    """Move a running attempt to `status` (an end, `paused`, or `queued` to be tried again) with its event.

    `outcome` says in words how the attempt ended, where that is not the event's type. Returns False, and changes
    nothing, where the attempt no longer owns the run.
    """
    entries = [*before, entry]
    values: dict[str, Any] = {"status": status, "error": error, "last_seq": run.c.last_seq + len(entries)}
    # What is delivered late ended earlier.
    at = entry.at or now()
    if status in ENDED:
        values |= {"ended_at": at, "want": "run"}
    elif status == "paused":
        values |= {"want": "run"}
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
            .values(ended_at=at, outcome=outcome or error or entry.type)
        )
    return True


def _move(
    store: Store, run_id: str, origins: Sequence[str], entry: Entry, values: Mapping[str, Any], refusal: str
) -> None:
    """Move a run that is in one of `origins`, with its event; raises Conflict with `refusal` where it is in no such."""
    row = get(store, run_id)
    with store.writing() as connection:
        last_seq = connection.execute(
            sa.update(run)
            .where(run.c.id == run_id, run.c.status.in_(origins))
            .values(last_seq=run.c.last_seq + 1, want="run", **values)
            .returning(run.c.last_seq)
        ).scalar_one_or_none()
        if last_seq is None:
            raise Conflict(f"run {run_id} is {row.status}: {refusal}")
        insert(connection, run_id, last_seq, [entry])


def _ask(store: Store, run_id: str, want: str, unless: str) -> bool:
    """Ask a running run's worker for something, unless it is asked for `unless` already; return whether it runs."""
    with store.writing() as connection:
        asked = connection.execute(
            sa.update(run).where(run.c.id == run_id, run.c.status == "running", run.c.want != unless).values(want=want)
        )
    return bool(asked.rowcount)


def request_cancel(store: Store, run_id: str) -> None:
    """Cancel a waiting run at once, or ask a running one to stop."""
    row = get(store, run_id)
    # A run may start, or end, between two looks at it; what it is in the end decides.
    if _ask(store, run_id, "cancel", unless=""):
        return
    try:
        _move(
            store,
            run_id,
            ("queued", "paused"),
            Entry("RunCancelled", {"epoch": row.epoch}),
            {"status": "cancelled", "ended_at": now()},
            "only a queued, running or paused run can be cancelled",
        )
    except Conflict:
        if not _ask(store, run_id, "cancel", unless=""):
            raise


def request_pause(store: Store, run_id: str) -> None:
    """Hold a queued run back, or ask a running one to save a checkpoint and release its device."""
    row = get(store, run_id)
    if _ask(store, run_id, "pause", unless="cancel"):
        return
    try:
        _move(
            store,
            run_id,
            ("queued",),
            Entry("Paused", {"epoch": row.epoch}),
            {"status": "paused"},
            "only a queued or running run that is not being cancelled can be paused",
        )
    except Conflict:
        if not _ask(store, run_id, "pause", unless="cancel"):
            raise


def resume(store: Store, run_id: str) -> None:
    """Queue a paused run again, at its old place; a run that is only asked to pause goes on."""
    row = get(store, run_id)
    try:
        _move(
            store,
            run_id,
            ("paused",),
            Entry("RunQueued", {"config_hash": row.config_hash}),
            {"status": "queued"},
            "only a paused run, or one that is about to pause, can be resumed",
        )
    except Conflict:
        with store.writing() as connection:
            pausing = sa.update(run).where(run.c.id == run_id, run.c.status == "running", run.c.want == "pause")
            if not connection.execute(pausing.values(want="run")).rowcount:
                raise


def retry(store: Store, run_id: str) -> None:
    """Queue a failed or cancelled run again; it continues from its newest checkpoint."""
    row = get(store, run_id)
    if row.time_limit_s is not None and row.running_s >= row.time_limit_s and row.status in ("failed", "cancelled"):
        raise Conflict(
            f"run {run_id} has used its time limit of {row.time_limit_s:g} s; raise time_limit_s first (PATCH), then "
            "retry"
        )
    _move(
        store,
        run_id,
        ("failed", "cancelled"),
        Entry("RunQueued", {"config_hash": row.config_hash}),
        {"status": "queued", "error": None, "ended_at": None},
        "only a failed or cancelled run can be retried",
    )


def delete(store: Store, run_id: str) -> None:
    """Hide a run (it can be restored for a week); raises Conflict while it is queued, running or paused."""
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
