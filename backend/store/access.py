"""Access to a server: tokens beside its own, sessions of logged-in browsers, and the audit log.

A token is named, has one scope, can be revoked and may expire. A session ends 12 h after the last use and 7 days after
log-in. Only hashes of secrets are stored.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from backend.store.clock import ago, format_timestamp, now
from backend.store.database import Store
from backend.store.errors import Invalid, NotFound
from backend.store.models import audit, session, token
from backend.store.models import store as store_table
from backend.store.runs import make_run_id
from backend.store.scopes import TokenScope


def hash_secret(secret: str) -> str:
    """Return the SHA-256 under which a secret is stored; secrets are long and random, so a plain hash suffices."""
    return hashlib.sha256(secret.encode()).hexdigest()


def is_valid_token() -> sa.ColumnElement[bool]:
    """Return the SQL condition for a token that is neither revoked nor expired."""
    return sa.and_(token.c.revoked_at.is_(None), sa.or_(token.c.expires_at.is_(None), token.c.expires_at > now()))


def create_token(store: Store, name: str, scope: TokenScope, expires_at: str | None = None) -> tuple[sa.Row[Any], str]:
    """Create a token; return its row and its secret, which cannot be read again."""
    secret = secrets.token_urlsafe(24)
    with store.writing() as connection:
        values = {"id": make_run_id(), "name": name, "digest": hash_secret(secret), "scope": scope, "created_at": now()}
        inserting = token.insert().values(**values, expires_at=expires_at).returning(token)
        row = connection.execute(inserting).one()
    return row, secret


def list_tokens(store: Store) -> list[sa.Row[Any]]:
    """Return all tokens, newest first, including revoked and expired ones."""
    with store.reading() as connection:
        return list(connection.execute(sa.select(token).order_by(token.c.created_at.desc(), token.c.id)))


def revoke_token(store: Store, token_id: str) -> None:
    """Revoke a token for good and end its sessions."""
    with store.writing() as connection:
        revoking = sa.update(token).where(token.c.id == token_id, token.c.revoked_at.is_(None))
        if not connection.execute(revoking.values(revoked_at=now())).rowcount:
            raise NotFound(f"there is no token {token_id!r} that could be revoked; `collapse token list` shows them")
        connection.execute(sa.delete(session).where(session.c.token_id == token_id))


def find_token(store: Store, secret: str) -> sa.Row[Any] | None:
    """Return the row of a valid token by its secret, or None."""
    with store.reading() as connection:
        query = sa.select(token).where(token.c.digest == hash_secret(secret), is_valid_token())
        return connection.execute(query).one_or_none()


def find_valid_token_ids(store: Store, token_ids: Iterable[str]) -> set[str]:
    """Return which of these tokens are valid now."""
    with store.reading() as connection:
        query = sa.select(token.c.id).where(token.c.id.in_(list(token_ids)), is_valid_token())
        return set(connection.execute(query).scalars())


SESSION_IDLE, SESSION_LIFETIME = timedelta(hours=12), timedelta(days=7)
USE_RESOLUTION = timedelta(minutes=1)
"""The recorded time of use is updated when it is older than this, not at every request."""
MAX_SESSIONS_PER_TOKEN = 1000
"""Number of sessions of one token; beyond it the oldest are ended."""


def latest_session_end(created_at: str) -> str:
    """Return when a session that was created at this time ends at the latest."""
    return format_timestamp(datetime.fromisoformat(created_at) + SESSION_LIFETIME)


def _is_open_session() -> sa.ColumnElement[bool]:
    return sa.and_(session.c.used_at > ago(SESSION_IDLE), session.c.created_at > ago(SESSION_LIFETIME))


def read_signing_key(store: Store) -> str:
    """Return the key that signs session ids; it is created with the store and survives restarts."""
    with store.reading() as connection:
        return str(connection.execute(sa.select(store_table.c.signing_key)).scalar_one())


def create_session(store: Store, token_digest: str, token_id: str | None) -> str:
    """Create a session for a token; return its id, which cannot be read again. Removes the sessions that have ended."""
    secret, created_at = secrets.token_urlsafe(32), now()
    with store.writing() as connection:
        connection.execute(sa.delete(session).where(sa.not_(_is_open_session())))
        values = {"digest": hash_secret(secret), "token_digest": token_digest, "token_id": token_id}
        connection.execute(session.insert().values(**values, created_at=created_at, used_at=created_at))
        of_token = sa.select(session.c.digest).where(session.c.token_digest == token_digest)
        newest = of_token.order_by(session.c.created_at.desc(), session.c.digest).limit(MAX_SESSIONS_PER_TOKEN)
        kept = session.c.digest.in_(sa.select(newest.subquery().c.digest))
        connection.execute(sa.delete(session).where(session.c.token_digest == token_digest, sa.not_(kept)))
    return secret


def find_open_sessions(store: Store, digests: Collection[str]) -> dict[str, sa.Row[Any]]:
    """Return those of the sessions that are open, by digest, each with its token's `name`, `scope` and `expires_at`.

    A session of a revoked or expired token is not open. The three are null for a session of the server's own token,
    whose digest the caller has to compare.
    """
    of_valid_token = sa.and_(token.c.id.is_not(None), is_valid_token())
    query = (
        sa.select(session, token.c.name, token.c.scope, token.c.expires_at)
        .join_from(session, token, token.c.id == session.c.token_id, isouter=True)
        .where(session.c.digest.in_(digests), _is_open_session(), sa.or_(session.c.token_id.is_(None), of_valid_token))
    )
    with store.reading() as connection:
        return {row.digest: row for row in connection.execute(query)}


def record_session_use(store: Store, digests: Collection[str]) -> None:
    """Record that sessions are in use, each at most once a minute."""
    with store.writing() as connection:
        stale = session.c.used_at < ago(USE_RESOLUTION)
        connection.execute(sa.update(session).where(session.c.digest.in_(digests), stale).values(used_at=now()))


def end_session(store: Store, session_digest: str) -> None:
    """End a session."""
    with store.writing() as connection:
        connection.execute(sa.delete(session).where(session.c.digest == session_digest))


def record_action(
    store: Store, who: str, token_id: str | None, action: str, status: int, *, run_id: str | None = None
) -> None:
    """Record an action and the HTTP status of its answer; `token_id` distinguishes tokens of equal names."""
    with store.writing() as connection:
        values = {"at": now(), "who": who, "token_id": token_id, "action": action, "run_id": run_id, "status": status}
        connection.execute(audit.insert().values(**values))


def list_audit_entries(store: Store, run_id: str | None, before: int | None, limit: int) -> list[sa.Row[Any]]:
    """Return entries, newest first, of one run or of all; `before` is the last number of the page before."""
    query = sa.select(audit).order_by(audit.c.number.desc()).limit(limit)
    if run_id is not None:
        query = query.where(audit.c.run_id == run_id)
    if before is not None:
        query = query.where(audit.c.number < before)
    with store.reading() as connection:
        return list(connection.execute(query))


MAX_TOKEN_LIFETIME = timedelta(days=3650)
LIFETIME_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def parse_expiry(text: str) -> str:
    """Parse `30d`, `12h`, `2w`, or an ISO date or time to an expiry; a date means the end of that day in UTC.

    Raises Invalid.
    """
    given = text.strip()
    if match := re.fullmatch(r"([0-9]{1,6})([hdw])", given):
        return format_expiry(datetime.now(UTC) + min(int(match[1]) * LIFETIME_UNITS[match[2]], 2 * MAX_TOKEN_LIFETIME))
    try:
        moment = datetime.fromisoformat(given)
    except ValueError as error:
        raise Invalid(f"the end must be such as 30d, 12h, 2w or 2027-01-31, got {text!r}") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", given):
        moment = moment.replace(hour=23, minute=59, second=59)
    return format_expiry(moment)


def format_expiry(moment: datetime) -> str:
    """Return an expiry in the store's format; raises Invalid if it is past or beyond MAX_LIFETIME."""
    now = datetime.now(UTC)
    if not now < moment <= now + MAX_TOKEN_LIFETIME:
        raise Invalid(
            f"the end must be in the future and at most {MAX_TOKEN_LIFETIME.days} days away, got {moment.isoformat()}; "
            "leave it out for a token without an end"
        )
    return format_timestamp(moment.astimezone(UTC))
