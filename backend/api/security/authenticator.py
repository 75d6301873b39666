"""Finds out who asks, from a token or from a browser's cookie.

A cookie holds a session id with a signature, never a token. Ids and tokens are random and long: a cookie without our
signature costs no look into the database, and is no attempt to guess one either, since a browser sends by itself what
another server at the same address once gave it.
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

from backend.api.security.callers import Caller
from backend.store import sessions, tokens
from backend.store.clock import now
from backend.store.database import Store, Unreachable
from backend.store.scopes import OWNER

log = logging.getLogger("collapse.access")

BELIEVED_S = 0.4
"""How long a look-up is believed; what another program revoked is refused after that at the latest."""
CHECK_S = 0.4
"""How often the callers of open streams and WebSockets are looked up again."""


class Authenticator:
    """Knows the server's own token, those in the store, and sessions; what was looked up is believed for a moment."""

    def __init__(self, token: str, store: Store) -> None:
        if not token:
            raise ValueError("a guard needs a token")
        self._token, self._store = token, store
        self._token_digest = tokens.hash_secret(token)
        self._signer = itsdangerous.Signer(
            sessions.signing_key(store), salt="session", key_derivation="hmac", digest_method=hashlib.sha256
        )
        self._believed: OrderedDict[tuple[str, str], tuple[float, Caller | None]] = OrderedDict()

    async def of_token(self, given: str) -> Caller | None:
        """Return whose token this is, or None."""
        if secrets.compare_digest(given.encode(), self._token.encode()):
            return Caller(OWNER, "admin")

        async def look_up() -> Caller | None:
            row = await asyncio.to_thread(tokens.find, self._store, given)
            return None if row is None else Caller(row.name, row.scope, row.id, ends_at=row.expires_at)

        return await self._lookup(("token", tokens.hash_secret(given)), look_up)

    async def of_cookie(self, cookie: str) -> Caller | None:
        """Return whose session a cookie names, or None where it is not signed by us or has ended."""
        session = self._session_digest(cookie)
        if session is None:
            return None

        async def look_up() -> Caller | None:
            row = (await asyncio.to_thread(sessions.find_open, self._store, [session])).get(session)
            if row is not None and row.used_at < sessions.ago(sessions.USE_RESOLUTION):
                await self._note_use([session])
            return self._of_session(row)

        return await self._lookup(("session", session), look_up)

    async def log_in(self, who: Caller, token: str, cookie: str | None) -> str:
        """Begin a session of a token that is `who`'s; return the new cookie. The session of the old one ends."""
        old = None if cookie is None else self._session_digest(cookie)
        if old is not None:
            await self.log_out(old)
        secret = await asyncio.to_thread(sessions.create, self._store, tokens.hash_secret(token), who.token_id)
        return self._signer.sign(secret).decode()

    async def log_out(self, session: str) -> None:
        """End a session, by its digest."""
        await asyncio.to_thread(sessions.end, self._store, session)
        self.forget()

    async def ended(self, callers: Iterable[Caller]) -> set[Caller]:
        """Return which callers of open connections are to be let go; that the others go on counts as use."""
        asked = set(callers)
        ending = {who for who in asked if _is_over(who)}
        # While the database is away, nobody is let go but those whose time is over.
        with contextlib.suppress(*Unreachable):
            ending |= await self._ended_sessions({who.session: who for who in asked if who.session is not None})
            ending |= await self._ended_tokens([who for who in asked if who.session is None])
        return ending

    async def _ended_sessions(self, callers: Mapping[str, Caller]) -> set[Caller]:
        if not callers:
            return set()
        rows = await asyncio.to_thread(sessions.find_open, self._store, list(callers))
        stale = [key for key, row in rows.items() if row.used_at < sessions.ago(sessions.USE_RESOLUTION)]
        if stale:
            await self._note_use(stale)
        return {who for key, who in callers.items() if self._of_session(rows.get(key)) is None}

    async def _ended_tokens(self, callers: Iterable[Caller]) -> set[Caller]:
        by_token = {who.token_id: who for who in callers if who.token_id is not None}
        valid = await asyncio.to_thread(tokens.valid_ids, self._store, list(by_token)) if by_token else set()
        return {who for token_id, who in by_token.items() if token_id not in valid}

    def forget(self) -> None:
        """Look everybody up again: a token was revoked, or a session ended."""
        self._believed.clear()

    def _session_digest(self, cookie: str) -> str | None:
        try:
            return tokens.hash_secret(self._signer.unsign(cookie).decode())
        except (itsdangerous.BadSignature, UnicodeDecodeError):
            return None

    def _of_session(self, row: sa.Row[Any] | None) -> Caller | None:
        if row is None:
            return None
        ends_at = sessions.latest_end(row.created_at)
        if row.token_id is not None:
            return Caller(row.name, row.scope, row.token_id, row.digest, min(ends_at, row.expires_at or ends_at))
        # Opened with the server's own token: that of today, not one that it had before.
        is_own = secrets.compare_digest(row.token_digest, self._token_digest)
        return Caller(OWNER, "admin", None, row.digest, ends_at) if is_own else None

    async def _lookup(self, key: tuple[str, str], look_up: Callable[[], Awaitable[Caller | None]]) -> Caller | None:
        held = self._believed.get(key)
        if held is None or time.monotonic() - held[0] >= BELIEVED_S:
            asked = time.monotonic()
            held = (asked, await look_up())
            self._believed[key] = held
            while len(self._believed) > 1000:
                self._believed.popitem(last=False)
        who = held[1]
        return None if who is None or _is_over(who) else who

    async def _note_use(self, digests: list[str]) -> None:
        try:
            await asyncio.to_thread(sessions.record_use, self._store, digests)
        except Unreachable as error:
            # Reading works: the request is answered, and the use is noted with the next one.
            log.warning("the use of a session could not be stored: %s", error)


def _is_over(who: Caller) -> bool:
    return who.ends_at is not None and who.ends_at <= now()
