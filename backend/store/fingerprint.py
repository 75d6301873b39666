"""A hash of the current state of runs: a result that was computed from them is valid while it does not change."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import sqlalchemy as sa

from backend.store import runs
from backend.store.database import Store
from backend.store.models import artifact, run

FIELDS = ("id", "last_seq", "name", "status", "group", "tags", "notes", "config_hash", "attempt", "epoch", "error")


def fingerprint(store: Store, run_ids: Sequence[str]) -> str:
    """Return a hash of the runs' rows, the numbers of their last events, and their files; raises NotFound."""
    rows = sa.select(*(run.c[name] for name in FIELDS)).where(run.c.id.in_(run_ids), run.c.deleted_at.is_(None))
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
            raise runs.not_found(run_id)
    return hashlib.sha256(repr(([row_by_id[run_id] for run_id in run_ids], file_counts)).encode()).hexdigest()
