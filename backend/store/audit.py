"""The audit log: who did what, and the HTTP status of the answer."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from backend.store.clock import now
from backend.store.database import Store
from backend.store.models import audit


def record(
    store: Store, who: str, token_id: str | None, action: str, status: int, *, run_id: str | None = None
) -> None:
    """Record an action and the HTTP status of its answer; `token_id` distinguishes tokens of equal names."""
    with store.writing() as connection:
        values = {"at": now(), "who": who, "token_id": token_id, "action": action, "run_id": run_id, "status": status}
        connection.execute(audit.insert().values(**values))


def entries(store: Store, run_id: str | None, before: int | None, limit: int) -> list[sa.Row[Any]]:
    """Return entries, newest first, of one run or of all; `before` is the last number of the page before."""
    query = sa.select(audit).order_by(audit.c.number.desc()).limit(limit)
    if run_id is not None:
        query = query.where(audit.c.run_id == run_id)
    if before is not None:
        query = query.where(audit.c.number < before)
    with store.reading() as connection:
        return list(connection.execute(query))
