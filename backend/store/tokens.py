"""Further tokens, beside the server's own: named, for all or for reading alone, and revocable. Only hashes are kept."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from backend.errors import NotFound
from backend.store.clock import now
from backend.store.database import Store
from backend.store.models import audit, token
from backend.store.runs import new_id

SCOPES = ("admin", "read")


def digest(secret: str) -> str:
    """Return what is kept of a token; it is random and long, so that a plain hash suffices."""
    return hashlib.sha256(secret.encode()).hexdigest()


def create(store: Store, name: str, scope: str) -> tuple[sa.Row[Any], str]:
    """Make a token; return its row and the token itself, which is told this once."""
    secret = secrets.token_urlsafe(24)
    with store.writing() as connection:
        values = {"id": new_id(), "name": name, "digest": digest(secret), "scope": scope, "created_at": now()}
        row = connection.execute(token.insert().values(**values).returning(token)).one()
    return row, secret


def listing(store: Store) -> list[sa.Row[Any]]:
    """Return all tokens, newest first; revoked ones too."""
    with store.reading() as connection:
        return list(connection.execute(sa.select(token).order_by(token.c.created_at.desc(), token.c.id)))


def revoke(store: Store, token_id: str) -> None:
    """Make a token worthless, for good."""
    with store.writing() as connection:
        revoking = sa.update(token).where(token.c.id == token_id, token.c.revoked_at.is_(None))
        if not connection.execute(revoking.values(revoked_at=now())).rowcount:
            raise NotFound(f"there is no token {token_id!r} that could be revoked; `collapse token list` shows them")


def find(store: Store, secret: str) -> sa.Row[Any] | None:
    """Return the row of a token that is good, or None."""
    with store.reading() as connection:
        query = sa.select(token).where(token.c.digest == digest(secret), token.c.revoked_at.is_(None))
        return connection.execute(query).one_or_none()


def revoked(store: Store, token_ids: Iterable[str]) -> set[str]:
    """Return which of some tokens are revoked."""
    with store.reading() as connection:
        query = sa.select(token.c.id).where(token.c.id.in_(list(token_ids)), token.c.revoked_at.is_not(None))
        return set(connection.execute(query).scalars())


def note(store: Store, who: str, action: str, run_id: str | None, status: int) -> None:
    """Write down who did what, and how it was answered."""
    with store.writing() as connection:
        values = {"at": now(), "who": who, "action": action, "run_id": run_id, "status": status}
        connection.execute(audit.insert().values(**values))


def noted(store: Store, run_id: str | None, before: int | None, limit: int) -> list[sa.Row[Any]]:
    """Return what was done, newest first, of one run or of all."""
    query = sa.select(audit).order_by(audit.c.number.desc()).limit(limit)
    if run_id is not None:
        query = query.where(audit.c.run_id == run_id)
    if before is not None:
        query = query.where(audit.c.number < before)
    with store.reading() as connection:
        return list(connection.execute(query))
