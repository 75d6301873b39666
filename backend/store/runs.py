"""Create, read and update runs."""

from __future__ import annotations

import functools
import hashlib
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from backend.store.clock import now
from backend.store.database import Store
from backend.store.errors import Conflict, NotFound
from backend.store.event_log import NewEvent, insert_events
from backend.store.models import artifact, run
from ncengine import __version__
from ncengine.components import ALLOW_UNKNOWN
from ncengine.config import RunConfig

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
HEADLINE = ("loss", "top1", "nc1", "nc2_equiangular_means", "nc3", "nc4_ncc_mismatch")
"""Metrics that a run's row has a second time in `headline`, as `SPLIT.KEY`, for sorting and filtering many runs."""


@dataclass(frozen=True, slots=True)
class RunDraft:
    """A run to be queued."""

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


def make_run_id() -> str:
    """Return a random run id."""
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
    draft = RunDraft(config, name=name, tags=tags, group=group, demonstration=demonstration)
    (run_id,), new = create_many(store, [draft], idempotency_key)
    return run_id, new


def create_many(store: Store, drafts: Sequence[RunDraft], idempotency_key: str | None = None) -> tuple[list[str], bool]:
    """Queue runs in this order, all or none; return their ids and whether they are new.

    Raises Conflict where the idempotency key was used for other configs.
    """
    keys = [None if idempotency_key is None else _key(idempotency_key, i) for i in range(len(drafts))]
    try:
        with store.writing() as connection:
            existing = _created_earlier(connection, drafts, keys)
            if existing is not None:
                return existing, False
            last = connection.execute(sa.select(sa.func.max(run.c.position))).scalar_one() or 0
            rows = [
                d.row(make_run_id(), last + 1 + i, key) for i, (d, key) in enumerate(zip(drafts, keys, strict=True))
            ]
            connection.execute(run.insert(), rows)
            for row in rows:
                insert_events(connection, row["id"], 1, [NewEvent("RunQueued", {"config_hash": row["config_hash"]})])
        return [row["id"] for row in rows], True
    except sa.exc.IntegrityError:
        # A concurrent request with the same key committed first; only PostgreSQL has several writers at a time.
        with store.reading() as connection:
            existing = _created_earlier(connection, drafts, keys)
        if existing is None:
            raise
        return existing, False


def _key(idempotency_key: str, index: int) -> str:
    return idempotency_key if index == 0 else f"{idempotency_key}#{index}"


def _created_earlier(
    connection: Connection, drafts: Sequence[RunDraft], keys: Sequence[str | None]
) -> list[str] | None:
    """Return the runs that were created with these keys, or None where the keys are new."""
    if keys[0] is None:
        return None
    query = sa.select(run.c.id, run.c.config_hash, run.c.idempotency_key).where(run.c.idempotency_key.in_(keys))
    row_by_key = {row.idempotency_key: row for row in connection.execute(query)}
    if not row_by_key:
        return None
    hashes = [row_by_key[key].config_hash if key in row_by_key else None for key in keys]
    if hashes != [draft.config.hash() for draft in drafts]:
        raise Conflict("this Idempotency-Key was used for another config; send a new key")
    return [row_by_key[key].id for key in keys]


def get(store: Store, run_id: str, *, deleted: bool = False) -> sa.Row[Any]:
    """Return a run's row; raises NotFound, also for a deleted run unless `deleted` is asked for."""
    with store.reading() as connection:
        row = connection.execute(sa.select(run).where(run.c.id == run_id)).one_or_none()
    if row is None or (row.deleted_at is not None and not deleted):
        raise not_found(run_id)
    return row


def read_last_seqs(store: Store, run_ids: Collection[str]) -> dict[str, int]:
    """Return the number of the last event of each run; missing and deleted runs are left out."""
    query = sa.select(run.c.id, run.c.last_seq).where(run.c.id.in_(run_ids), run.c.deleted_at.is_(None))
    with store.reading() as connection:
        return {row.id: row.last_seq for row in connection.execute(query)}


def not_found(run_id: str) -> NotFound:
    """Return the error for a run that does not exist."""
    return NotFound(f"there is no run {run_id!r}; `collapse runs` or GET /api/v1/runs lists them")


def parse_config(row: sa.Row[Any]) -> RunConfig:
    """Return the validated config of a run's row."""
    return _validated(orjson.dumps(row.config))


@functools.lru_cache(maxsize=1000)
def _validated(config: bytes) -> RunConfig:
    # Consecutive pages of runs have the same configs; validating a hundred takes a fifth of a page's time.
    return RunConfig.model_validate_json(config, context=ALLOW_UNKNOWN)


def extract_headline(summary: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the metrics of a summary by which runs are usually sorted and filtered."""
    return {
        f"{split}.{key}": summary[split][key]
        for split in ("train", "test")
        for key in HEADLINE
        if key in summary.get(split, {})
    }


def is_empty(store: Store) -> bool:
    """Return whether the store has no run."""
    with store.reading() as connection:
        return connection.execute(sa.select(run.c.id).limit(1)).one_or_none() is None


def list_ids(store: Store) -> list[str]:
    """Return the ids of all runs, deleted ones included, oldest first."""
    with store.reading() as connection:
        return list(connection.execute(sa.select(run.c.id).order_by(run.c.created_at, run.c.id)).scalars())


def count_runs(store: Store, status: str) -> int:
    """Return the number of runs with a status."""
    query = sa.select(sa.func.count()).select_from(run).where(run.c.status == status, run.c.deleted_at.is_(None))
    with store.reading() as connection:
        return int(connection.execute(query).scalar_one())


def update(store: Store, run_id: str, changes: Mapping[str, Any]) -> None:
    """Update a run's name, tags, group, notes, priority or time limit."""
    get(store, run_id)
    with store.writing() as connection:
        connection.execute(sa.update(run).where(run.c.id == run_id).values(**changes))


FINGERPRINT_FIELDS = (
    "id",
    "last_seq",
    "name",
    "status",
    "group",
    "tags",
    "notes",
    "config_hash",
    "attempt",
    "epoch",
    "error",
)
"""Columns of a run on which results computed from it may depend."""


def compute_fingerprint(store: Store, run_ids: Sequence[str]) -> str:
    """Return a hash of the current state of runs and their files; raises NotFound.

    A result that was computed from the runs is valid while the hash does not change.
    """
    rows = sa.select(*(run.c[name] for name in FINGERPRINT_FIELDS)).where(
        run.c.id.in_(run_ids), run.c.deleted_at.is_(None)
    )
    files = (
        sa.select(artifact.c.run_id, sa.func.count().label("files"), sa.func.sum(artifact.c.step).label("steps"))
        .where(artifact.c.run_id.in_(run_ids))
        .group_by(artifact.c.run_id)
        .order_by(artifact.c.run_id)
    )
    with store.reading() as connection:
        row_by_id = {row.id: tuple(row) for row in connection.execute(rows)}
        file_counts = [tuple(row) for row in connection.execute(files)]
    for run_id in run_ids:
        if run_id not in row_by_id:
            raise not_found(run_id)
    return hashlib.sha256(repr(([row_by_id[run_id] for run_id in run_ids], file_counts)).encode()).hexdigest()
