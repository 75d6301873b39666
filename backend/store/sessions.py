"""Sessions of logged-in browsers. They end 12 h after the last use and 7 days after log-in; only hashes are stored."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from backend.store.clock import format_timestamp, now
from backend.store.database import Store
from backend.store.models import session, token
from backend.store.models import store as store_table
from backend.store.tokens import hash_secret, is_valid

IDLE, LIFETIME = timedelta(hours=12), timedelta(days=7)
USE_RESOLUTION = timedelta(minutes=1)
"""The recorded time of use is updated when it is older than this, not at every request."""
MAX_PER_TOKEN = 1000
"""Number of sessions of one token; beyond it the oldest are ended."""


def ago(age: timedelta) -> str:
    """Return the timestamp of the moment `age` ago."""
    return format_timestamp(datetime.now(UTC) - age)


def latest_end(created_at: str) -> str:
    """Return when a session that was created at this time ends at the latest."""
    return format_timestamp(datetime.fromisoformat(created_at) + LIFETIME)


def _is_open() -> sa.ColumnElement[bool]:
    return sa.and_(session.c.used_at > ago(IDLE), session.c.created_at > ago(LIFETIME))


def signing_key(store: Store) -> str:
    """Return the key that signs session ids; it is created with the store and survives restarts."""
    with store.reading() as connection:
        return str(connection.execute(sa.select(store_table.c.signing_key)).scalar_one())


def create(store: Store, token_digest: str, token_id: str | None) -> str:
    """Create a session for a token; return its id, which cannot be read again. Removes the sessions that have ended."""
    secret, created_at = secrets.token_urlsafe(32), now()
    with store.writing() as connection:
        connection.execute(sa.delete(session).where(sa.not_(_is_open())))
        values = {"digest": hash_secret(secret), "token_digest": token_digest, "token_id": token_id}
        connection.execute(session.insert().values(**values, created_at=created_at, used_at=created_at))
        of_token = sa.select(session.c.digest).where(session.c.token_digest == token_digest)
        newest = of_token.order_by(session.c.created_at.desc(), session.c.digest).limit(MAX_PER_TOKEN)
        kept = session.c.digest.in_(sa.select(newest.subquery().c.digest))
        connection.execute(sa.delete(session).where(session.c.token_digest == token_digest, sa.not_(kept)))
    return secret


def find_open(store: Store, digests: Collection[str]) -> dict[str, sa.Row[Any]]:
    """Return those of the sessions that are open, by digest, each with its token's `name`, `scope` and `expires_at`.

    A session of a revoked or expired token is not open. The three are null for a session of the server's own token,
    whose digest the caller has to compare.
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
    """Record that sessions are in use, each at most once a minute."""
    with store.writing() as connection:
        stale = session.c.used_at < ago(USE_RESOLUTION)
        connection.execute(sa.update(session).where(session.c.digest.in_(digests), stale).values(used_at=now()))


def end(store: Store, session_digest: str) -> None:
    """End a session."""
    with store.writing() as connection:
        connection.execute(sa.delete(session).where(session.c.digest == session_digest))
