"""The outermost ASGI middleware: checks Host, Origin, body size and caller of every request.

Only `/healthz` and `/readyz` need no caller. Dash's own routes, its WebSocket and the assets are guarded too.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api.responses import problem_response
from backend.api.security.authenticator import RECHECK_S, Authenticator
from backend.api.security.login import Login, scheme_of
from backend.api.security.permissions import Caller, caller
from backend.store.database import Unreachable

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
MAX_BODY_BYTES = 2 * 2**20
IMPORT_PATH = "/api/v1/imports"


def list_allowed_hosts(host: str, port: int, more: Iterable[str] = ()) -> frozenset[str]:
    """Return the accepted Host headers: the server's address, loopback names, and `more`."""
    names = {host, "127.0.0.1", "localhost", "[::1]"}
    return frozenset(f"{name}:{port}" for name in names) | frozenset(more)


class BodyTooLarge(Exception):
    """A body without a declared length exceeded the limit."""


class Guard:
    """Passes a request on if Host, Origin, body size and caller are valid, and answers it otherwise."""

    def __init__(
        self, app: ASGIApp, *, authenticator: Authenticator, login: Login, hosts: Iterable[str], import_bytes: int = 0
    ) -> None:
        self._app, self._authenticator, self._login, self._hosts = app, authenticator, login, frozenset(hosts)
        self._import_bytes = import_bytes
        self.policy = make_content_security_policy()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        send_secured = self._with_headers(send, scope["path"]) if scope["type"] == "http" else send
        answer = await self._authenticate(scope)
        if isinstance(answer, Response):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 4403})
                return
            await answer(scope, receive, send_secured)
            return
        reset_token = caller.set(answer)
        try:
            if scope["type"] == "http":
                await self._serve_http(scope, receive, send_secured)
            else:
                await self._serve_websocket(answer, scope, receive, send)
        finally:
            caller.reset(reset_token)

    async def _serve_websocket(self, who: Caller | None, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a WebSocket until its caller's token or session is no longer valid."""
        serving = asyncio.ensure_future(self._app(scope, receive, send))
        try:
            while not serving.done():
                await asyncio.wait({serving}, timeout=RECHECK_S)
                if who is not None and not serving.done() and await self._authenticator.ended([who]):
                    await send({"type": "websocket.close", "code": 4401})
                    return
            serving.result()
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    async def _serve_http(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; answer 413 if a body without a declared length exceeds the limit."""
        limit = self._body_limit(scope["path"])
        received_bytes, started = 0, False

        async def count_and_receive() -> Message:
            nonlocal received_bytes
            message = await receive()
            received_bytes += len(message.get("body", b""))
            if received_bytes > limit:
                raise BodyTooLarge
            return message

        async def send_unless_cut_off(message: Message) -> None:
            nonlocal started
            # The application's response to a truncated body is dropped.
            if received_bytes <= limit or started:
                started = True
                await send(message)

        with contextlib.suppress(BodyTooLarge):
            await self._app(scope, count_and_receive, send_unless_cut_off)
        if received_bytes > limit and not started:
            await _too_large(limit, "more")(scope, receive, send)

    def _body_limit(self, path: str) -> int:
        return self._import_bytes if path == IMPORT_PATH else MAX_BODY_BYTES

    async def _authenticate(self, scope: Scope) -> Caller | Response | None:
        """Return the caller (None for open paths), or the response that refuses the request."""
        headers, scheme = Headers(scope=scope), scheme_of(scope)
        host = headers.get("host", "")
        if host not in self._hosts:
            expected = ", ".join(sorted(self._hosts))
            return problem_response(403, "Foreign Host", f"the Host header must be one of {expected}, got {host!r}")
        origin = headers.get("origin")
        if origin is not None and origin not in {f"{scheme}://{name}" for name in self._hosts}:
            return problem_response(
                403, "Foreign Origin", f"requests from {origin!r} are refused; use {scheme}://{host}"
            )
        # Browsers that send no Origin (for links and images) still send Sec-Fetch-Site.
        if scope["type"] == "http" and headers.get("sec-fetch-site") == "cross-site" and scope["method"] != "GET":
            return problem_response(403, "Foreign Origin", "requests from another site are refused")
        length, limit = headers.get("content-length", "0"), self._body_limit(scope["path"])
        if not (length.isascii() and length.isdigit()) or len(length) > 15 or int(length) > limit:
            return _too_large(limit, length[:20])
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            return problem_response(400, "Not understood", "the URL must not contain NUL (%00); leave it out")
        if scope["path"] in OPEN_PATHS:
            return None
        try:
            return await self._login.identify(scope, headers)
        except Unreachable:
            detail = (
                "the database cannot be used just now, so that tokens and sessions cannot be looked up; server.log in "
                "the data directory says what happened and what to do"
            )
            return problem_response(503, "The store cannot be used", detail)

    def _with_headers(self, send: Send, path: str) -> Send:
        headers = [*HEADERS, (b"content-security-policy", self.policy)]
        if path.startswith("/assets/"):
            # Revalidated by ETag, so that no page runs an outdated script after an upgrade.
            headers.append((b"cache-control", b"no-cache"))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *headers]
            await send(message)

        return send_with_headers


def _too_large(limit: int, length: str) -> Response:
    return problem_response(
        413, "Body too large", f"a request body may have {limit} bytes here, got {length}; send less"
    )


HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)


def make_content_security_policy(script_hashes: Iterable[str] = ()) -> bytes:
    """Return the policy: scripts of this server, and inline ones with a given hash.

    Inline styles are allowed because Plotly and Mantine create style elements whose hashes are not known beforehand.
    """
    scripts = " ".join(script_hashes)
    return (
        f"default-src 'self'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; worker-src 'self' blob:; connect-src 'self'; frame-ancestors 'none'; "
        "base-uri 'self'; form-action 'self'; object-src 'none'"
    ).encode()
