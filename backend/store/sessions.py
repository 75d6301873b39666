"""Browsers that are logged in. A session ends 12 h after its last use and 7 days after the log-in; hashes are kept."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from backend.store.clock import now, text_of
from backend.store.database import Store
from backend.store.models import session, token
from backend.store.models import store as store_table
from backend.store.tokens import hash_secret, is_valid

IDLE, LIFETIME = timedelta(hours=12), timedelta(days=7)
USE_RESOLUTION = timedelta(minutes=1)
"""How old the noted use may become before it is written anew."""
MAX_PER_TOKEN = 1000
"""Sessions of one token; the oldest end where there are more."""


def ago(age: timedelta) -> str:
    """Return the moment that long ago, as the store writes it."""
    return text_of(datetime.now(UTC) - age)


def end_of_life(created_at: str) -> str:
    """Return when a session that began then ends at the latest."""
    return text_of(datetime.fromisoformat(created_at) + LIFETIME)


def _is_open() -> sa.ColumnElement[bool]:
    return sa.and_(session.c.used_at > ago(IDLE), session.c.created_at > ago(LIFETIME))


def signing_key(store: Store) -> str:
    """Return the key that signs session ids; it is made with the store and survives restarts."""
    with store.reading() as connection:
        return str(connection.execute(sa.select(store_table.c.signing_key)).scalar_one())


def create(store: Store, token_digest: str, token_id: str | None) -> str:
    """Begin a session of a token; return its id, which is told this once. Sessions that have ended are removed."""
    secret, begun = secrets.token_urlsafe(32), now()
    with store.writing() as connection:
        connection.execute(sa.delete(session).where(sa.not_(_is_open())))
        values = {"digest": hash_secret(secret), "token_digest": token_digest, "token_id": token_id}
        connection.execute(session.insert().values(**values, created_at=begun, used_at=begun))
        of_token = sa.select(session.c.digest).where(session.c.token_digest == token_digest)
        newest = of_token.order_by(session.c.created_at.desc(), session.c.digest).limit(MAX_PER_TOKEN)
        kept = session.c.digest.in_(sa.select(newest.subquery().c.digest))
        connection.execute(sa.delete(session).where(session.c.token_digest == token_digest, sa.not_(kept)))
    return secret


def find_open(store: Store, digests: Collection[str]) -> dict[str, sa.Row[Any]]:
    """Return the open ones of some sessions by digest, each with its token's `name`, `scope` and `expires_at`.

    A session of a revoked or expired token is not open. Those three are null for a session of the server's own token,
    whose digest the reader has to compare.
    """
    of_valid_token = sa.and_(token.c.id.is_not(None), is_valid())
    query = (
        sa.select(session, token.c.name, token.c.scope, token.c.expires_at)
        .join_from(session, token, token.c.id == session.c.token_id, isouter=True)
        .where(session.c.digest.in_(digests), _is_open(), sa.or_(session.c.token_id.is_(None), of_valid_token))
    )
    with store.reading() as connection:
        return {row.digest: row for row in connection.execute(query)}


def record_use(store: Store, digests: Collection[str]) -> None:
    """Write down that sessions are in use, each at most once a minute."""
    with store.writing() as connection:
        stale = session.c.used_at < ago(USE_RESOLUTION)
        connection.execute(sa.update(session).where(session.c.digest.in_(digests), stale).values(used_at=now()))


def end(store: Store, session_digest: str) -> None:
    """End a session."""
    with store.writing() as connection:
        connection.execute(sa.delete(session).where(session.c.digest == session_digest))
