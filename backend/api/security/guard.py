"""The guard around everything: exact Host, exact Origin, a bounded body, and a caller, so that nothing slips past it.

Only `/healthz` and `/readyz` answer without a caller. Dash's own routes, its WebSocket and the assets are inside.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api.problems import problem
from backend.api.security.authenticator import CHECK_S, Authenticator
from backend.api.security.callers import Caller, caller
from backend.api.security.headers import HEADERS, content_security_policy
from backend.api.security.login import Login, scheme_of
from backend.store.database import Unreachable

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
MAX_BODY_BYTES = 2 * 2**20
IMPORT_PATH = "/api/v1/imports"


def allowed_hosts(host: str, port: int, more: Iterable[str] = ()) -> frozenset[str]:
    """Return the Host headers that mean this server: its own address, this machine's loopback, and `more` as given."""
    names = {host, "127.0.0.1", "localhost", "[::1]"}
    return frozenset(f"{name}:{port}" for name in names) | frozenset(more)


class TooLarge(Exception):
    """A body without a declared length went on beyond what may be sent."""


class Guard:
    """Lets a request through where Host, Origin and caller are right, and answers it otherwise."""

    def __init__(
        self, app: ASGIApp, *, authenticator: Authenticator, login: Login, hosts: Iterable[str], import_bytes: int = 0
    ) -> None:
        self._app, self._authenticator, self._login, self._hosts = app, authenticator, login, frozenset(hosts)
        self._import_bytes = import_bytes
        self.policy = content_security_policy()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        answering = self._with_headers(send, scope["path"]) if scope["type"] == "http" else send
        found = await self._admitted(scope)
        if isinstance(found, Response):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 4403})
                return
            await found(scope, receive, answering)
            return
        known = caller.set(found)
        try:
            if scope["type"] == "http":
                await self._bounded(scope, receive, answering)
            else:
                await self._while_valid(found, scope, receive, send)
        finally:
            caller.reset(known)

    async def _while_valid(self, who: Caller | None, scope: Scope, receive: Receive, send: Send) -> None:
        """Keep a WebSocket open for as long as its caller's token or session is valid."""
        serving = asyncio.ensure_future(self._app(scope, receive, send))
        try:
            while not serving.done():
                await asyncio.wait({serving}, timeout=CHECK_S)
                if who is not None and not serving.done() and await self._authenticator.ended([who]):
                    await send({"type": "websocket.close", "code": 4401})
                    return
            serving.result()
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    async def _bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer, unless the body, whose length nobody said beforehand, goes on for too long."""
        limit = self._limit(scope["path"])
        taken, started = 0, False

        async def receiving() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > limit:
                raise TooLarge
            return message

        async def sending(message: Message) -> None:
            nonlocal started
            # Whatever the application makes of a body that was cut off, that is not the answer.
            if taken <= limit or started:
                started = True
                await send(message)

        with contextlib.suppress(TooLarge):
            await self._app(scope, receiving, sending)
        if taken > limit and not started:
            await _too_large(limit, "more")(scope, receive, send)

    def _limit(self, path: str) -> int:
        return self._import_bytes if path == IMPORT_PATH else MAX_BODY_BYTES

    async def _admitted(self, scope: Scope) -> Caller | Response | None:
        """Return who asks (None where anybody may), or the answer that refuses them."""
        headers, scheme = Headers(scope=scope), scheme_of(scope)
        host = headers.get("host", "")
        if host not in self._hosts:
            expected = ", ".join(sorted(self._hosts))
            return problem(403, "Foreign Host", f"the Host header must be one of {expected}, got {host!r}")
        origin = headers.get("origin")
        if origin is not None and origin not in {f"{scheme}://{name}" for name in self._hosts}:
            return problem(403, "Foreign Origin", f"requests from {origin!r} are refused; use {scheme}://{host}")
        # A browser that sends no Origin (a plain link or image) still says where the request was made.
        if scope["type"] == "http" and headers.get("sec-fetch-site") == "cross-site" and scope["method"] != "GET":
            return problem(403, "Foreign Origin", "requests from another site are refused")
        length, limit = headers.get("content-length", "0"), self._limit(scope["path"])
        if not (length.isascii() and length.isdigit()) or len(length) > 15 or int(length) > limit:
            return _too_large(limit, length[:20])
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            return problem(400, "Not understood", "the URL must not contain NUL (%00); leave it out")
        if scope["path"] in OPEN_PATHS:
            return None
        try:
            return await self._login.identify(scope, headers)
        except Unreachable:
            detail = (
                "the database cannot be used just now, so that tokens and sessions cannot be looked up; server.log in "
                "the data directory says what happened and what to do"
            )
            return problem(503, "The store cannot be used", detail)

    def _with_headers(self, send: Send, path: str) -> Send:
        more = [*HEADERS, (b"content-security-policy", self.policy)]
        if path.startswith("/assets/"):
            # Asked for again by their ETag, so that no page runs yesterday's script after an upgrade.
            more.append((b"cache-control", b"no-cache"))

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *more]
            await send(message)

        return sending


def _too_large(limit: int, length: str) -> Response:
    return problem(413, "Body too large", f"a request body may have {limit} bytes here, got {length}; send less")
