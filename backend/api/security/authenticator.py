"""Authentication of callers by token or session cookie.

A cookie holds a signed session id, never a token. A cookie without our signature is refused without a database query,
and does not count as an attempt to guess: browsers also send cookies that another server at the same address has set.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import itsdangerous
import sqlalchemy as sa

from backend.api.security.permissions import Caller
from backend.store import access
from backend.store.clock import ago, now
from backend.store.database import Store, Unreachable
from backend.store.scopes import OWNER

log = logging.getLogger("collapse.access")

CACHE_S = 0.4
"""How long a look-up is cached; a token that another process revokes is refused after that at the latest."""
RECHECK_S = 0.4
"""Interval at which the callers of open streams and WebSockets are looked up again."""


MAX_CACHED = 1000


class Authenticator:
    """Looks up callers by the server's own token, tokens in the store and sessions, with a short cache."""

    def __init__(self, token: str, store: Store) -> None:
        if not token:
            raise ValueError("the server needs a token")
        self._token, self._store = token, store
        self._token_digest = access.hash_secret(token)
        self._signer = itsdangerous.Signer(
            access.read_signing_key(store), salt="session", key_derivation="hmac", digest_method=hashlib.sha256
        )
        self._cache: OrderedDict[tuple[str, str], tuple[float, Caller | None]] = OrderedDict()

    async def of_token(self, given: str) -> Caller | None:
        """Return the caller of a token, or None if it is not valid."""
        if secrets.compare_digest(given.encode(), self._token.encode()):
            return Caller(OWNER, "admin")

        async def look_up() -> Caller | None:
            row = await asyncio.to_thread(access.find_token, self._store, given)
            return None if row is None else Caller(row.name, row.scope, row.id, ends_at=row.expires_at)

        return await self._lookup(("token", access.hash_secret(given)), look_up)

    async def of_cookie(self, cookie: str) -> Caller | None:
        """Return the caller of a session cookie, or None if it is not signed by this server or has ended."""
        session = self._session_digest(cookie)
        if session is None:
            return None

        async def look_up() -> Caller | None:
            row = (await asyncio.to_thread(access.find_open_sessions, self._store, [session])).get(session)
            if row is not None and row.used_at < ago(access.USE_RESOLUTION):
                await self._record_use([session])
            return self._of_session(row)

        return await self._lookup(("session", session), look_up)

    async def log_in(self, who: Caller, token: str, cookie: str | None) -> str:
        """Start a session for a token of the caller `who` and end that of the old cookie; return the new cookie."""
        old = None if cookie is None else self._session_digest(cookie)
        if old is not None:
            await self.log_out(old)
        secret = await asyncio.to_thread(access.create_session, self._store, access.hash_secret(token), who.token_id)
        return self._signer.sign(secret).decode()

    async def log_out(self, session: str) -> None:
        """End a session, by its digest."""
        await asyncio.to_thread(access.end_session, self._store, session)
        self.forget()

    async def ended(self, callers: Iterable[Caller]) -> set[Caller]:
        """Return the callers of open connections that are no longer valid; for the others, record the session's use."""
        open_callers = set(callers)
        ended = {who for who in open_callers if _is_expired(who)}
        # While the database cannot be reached, only expired callers end.
        with contextlib.suppress(*Unreachable):
            ended |= await self._ended_sessions({who.session: who for who in open_callers if who.session is not None})
            ended |= await self._ended_tokens([who for who in open_callers if who.session is None])
        return ended

    async def _ended_sessions(self, callers: Mapping[str, Caller]) -> set[Caller]:
        if not callers:
            return set()
        rows = await asyncio.to_thread(access.find_open_sessions, self._store, list(callers))
        stale = [key for key, row in rows.items() if row.used_at < ago(access.USE_RESOLUTION)]
        if stale:
            await self._record_use(stale)
        return {who for key, who in callers.items() if self._of_session(rows.get(key)) is None}

    async def _ended_tokens(self, callers: Iterable[Caller]) -> set[Caller]:
        by_token = {who.token_id: who for who in callers if who.token_id is not None}
        valid = await asyncio.to_thread(access.find_valid_token_ids, self._store, list(by_token)) if by_token else set()
        return {who for token_id, who in by_token.items() if token_id not in valid}

    def forget(self) -> None:
        """Clear the cache, after a token was revoked or a session ended."""
        self._cache.clear()

    def _session_digest(self, cookie: str) -> str | None:
        try:
            return access.hash_secret(self._signer.unsign(cookie).decode())
        except (itsdangerous.BadSignature, UnicodeDecodeError):
            return None

    def _of_session(self, row: sa.Row[Any] | None) -> Caller | None:
        if row is None:
            return None
        ends_at = access.latest_session_end(row.created_at)
        if row.token_id is not None:
            return Caller(row.name, row.scope, row.token_id, row.digest, min(ends_at, row.expires_at or ends_at))
        # Opened with the server's own token, which must be the current one.
        is_own = secrets.compare_digest(row.token_digest, self._token_digest)
        return Caller(OWNER, "admin", None, row.digest, ends_at) if is_own else None

    async def _lookup(self, key: tuple[str, str], look_up: Callable[[], Awaitable[Caller | None]]) -> Caller | None:
        cached = self._cache.get(key)
        if cached is None or time.monotonic() - cached[0] >= CACHE_S:
            cached = (time.monotonic(), await look_up())
            self._cache[key] = cached
            while len(self._cache) > MAX_CACHED:
                self._cache.popitem(last=False)
        who = cached[1]
        return None if who is None or _is_expired(who) else who

    async def _record_use(self, digests: list[str]) -> None:
        try:
            await asyncio.to_thread(access.record_session_use, self._store, digests)
        except Unreachable as error:
            # The request is answered all the same, and the use is recorded with the next one.
            log.warning("the use of a session could not be stored: %s", error)


def _is_expired(who: Caller) -> bool:
    return who.ends_at is not None and who.ends_at <= now()
