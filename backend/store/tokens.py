"""Access tokens beside the server's own: named, with one scope, revocable, may expire. Only hashes are stored."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from backend.store.clock import now
from backend.store.database import Store
from backend.store.errors import NotFound
from backend.store.models import session, token
from backend.store.runs import new_id
from backend.store.scopes import TokenScope


def hash_secret(secret: str) -> str:
    """Return the SHA-256 under which a secret is stored; secrets are long and random, so a plain hash suffices."""
    return hashlib.sha256(secret.encode()).hexdigest()


def is_valid() -> sa.ColumnElement[bool]:
    """Return the SQL condition for a token that is neither revoked nor expired."""
    return sa.and_(token.c.revoked_at.is_(None), sa.or_(token.c.expires_at.is_(None), token.c.expires_at > now()))


def create(store: Store, name: str, scope: TokenScope, expires_at: str | None = None) -> tuple[sa.Row[Any], str]:
    """Create a token; return its row and its secret, which cannot be read again."""
    secret = secrets.token_urlsafe(24)
    with store.writing() as connection:
        values = {"id": new_id(), "name": name, "digest": hash_secret(secret), "scope": scope, "created_at": now()}
        inserting = token.insert().values(**values, expires_at=expires_at).returning(token)
        row = connection.execute(inserting).one()
    return row, secret


def list_tokens(store: Store) -> list[sa.Row[Any]]:
    """Return all tokens, newest first, including revoked and expired ones."""
    with store.reading() as connection:
        return list(connection.execute(sa.select(token).order_by(token.c.created_at.desc(), token.c.id)))


def revoke(store: Store, token_id: str) -> None:
    """Revoke a token for good and end its sessions."""
    with store.writing() as connection:
        revoking = sa.update(token).where(token.c.id == token_id, token.c.revoked_at.is_(None))
        if not connection.execute(revoking.values(revoked_at=now())).rowcount:
            raise NotFound(f"there is no token {token_id!r} that could be revoked; `collapse token list` shows them")
        connection.execute(sa.delete(session).where(session.c.token_id == token_id))


def find(store: Store, secret: str) -> sa.Row[Any] | None:
    """Return the row of a valid token by its secret, or None."""
    with store.reading() as connection:
        query = sa.select(token).where(token.c.digest == hash_secret(secret), is_valid())
        return connection.execute(query).one_or_none()


def valid_ids(store: Store, token_ids: Iterable[str]) -> set[str]:
    """Return which of these tokens are valid now."""
    with store.reading() as connection:
        query = sa.select(token.c.id).where(token.c.id.in_(list(token_ids)), is_valid())
        return set(connection.execute(query).scalars())
