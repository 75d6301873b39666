"""The guard around everything: exact Host, exact Origin, and a token, as pure ASGI so that nothing slips past it.

A browser comes with `/?token=…` once and gets an HttpOnly, SameSite=Strict cookie; scripts send a Bearer header. Only
`/healthz` and `/readyz` answer without. Dash's own routes, its WebSocket and the assets are inside the guard.

Whoever is let in is a *caller*, with a name and a scope. Pages change things through the same API as scripts, inside
the process; the caller travels there in a context variable, so that `Permission`, which stands around the API, refuses
a reading token's changes whichever way they come, and writes down who changed what.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.store import tokens
from backend.store.database import Store, Unreachable

log = logging.getLogger("collapse.access")

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
READING = frozenset({"GET", "HEAD", "OPTIONS"})
ASKING_PATHS = frozenset({"/api/v1/config/check", "/api/v1/config/estimate", "/api/v1/figures/origin"})
"""What is sent by POST and changes nothing."""
MAX_BODY_BYTES = 2 * 2**20
IMPORT_PATH = "/api/v1/imports"
KNOWN_FOR_S = 1.0
"""How long a token that was looked up is believed; a revoked one is refused after that at the latest."""
WRONG_TOKENS, WRONG_S = 20, 60.0
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
REFUSED_PAGE = """<!doctype html><meta charset="utf-8"><title>Collapse Lab</title>
<p style="font:16px sans-serif;margin:4em auto;max-width:34em">This page needs the token of its server. Open the address
that <code>collapse serve</code> printed, the one with <code>?token=</code>.</p>"""


def content_security_policy(script_hashes: Iterable[str] = ()) -> bytes:
    """Return the policy: scripts from here and those of the page's own that are named by their hash.

    Plotly and Mantine write style elements of their own, which no hash can name beforehand: inline styles stay allowed.
    """
    scripts = " ".join(script_hashes)
    return (
        f"default-src 'self'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; worker-src 'self' blob:; connect-src 'self'; frame-ancestors 'none'; "
        "base-uri 'self'; form-action 'self'; object-src 'none'"
    ).encode()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who was let in: a name for the audit, whether they may change things, the token's id unless the server's own."""

    name: str
    may_change: bool
    token_id: str | None = None


caller: ContextVar[Caller | None] = ContextVar("caller", default=None)
"""Who asks, wherever in the process the question has got to."""
OWNER = Caller("owner", may_change=True)


class Authority:
    """Knows tokens: the server's own, and those in the store, which are believed for a moment once looked up."""

    def __init__(self, token: str, store: Store) -> None:
        if not token:
            raise ValueError("a guard needs a token")
        self._token, self._store = token, store
        self._known: OrderedDict[str, tuple[float, Caller | None]] = OrderedDict()

    async def caller(self, given: str) -> Caller | None:
        """Return whose token this is, or None."""
        if secrets.compare_digest(given.encode(), self._token.encode()):
            return OWNER
        key = tokens.digest(given)
        held = self._known.get(key)
        if held is not None and time.monotonic() - held[0] < KNOWN_FOR_S:
            return held[1]
        row = await asyncio.to_thread(tokens.find, self._store, given)
        found = None if row is None else Caller(row.name, row.scope == "admin", row.id)
        self._known[key] = (time.monotonic(), found)
        while len(self._known) > 1000:
            self._known.popitem(last=False)
        return found

    def forget(self) -> None:
        """Look every token up again: one was revoked."""
        self._known.clear()


class WrongTokens:
    """Counts wrong tokens by the address they come from, over the last minute."""

    def __init__(self) -> None:
        self._moments: OrderedDict[str, deque[float]] = OrderedDict()

    def add(self, address: str) -> None:
        self._moments.setdefault(address, deque(maxlen=WRONG_TOKENS)).append(time.monotonic())
        self._moments.move_to_end(address)
        while len(self._moments) > 1000:
            self._moments.popitem(last=False)

    def too_many(self, address: str) -> bool:
        held = self._moments.get(address)
        return held is not None and len(held) == WRONG_TOKENS and time.monotonic() - held[0] < WRONG_S


def allowed_hosts(host: str, port: int, more: Iterable[str] = ()) -> frozenset[str]:
    """Return the Host headers that mean this server: its own address, this machine's loopback, and `more` as given."""
    names = {host, "127.0.0.1", "localhost", "[::1]"}
    return frozenset(f"{name}:{port}" for name in names) | frozenset(more)


class TooLarge(Exception):
    """A body without a declared length went on beyond what may be sent."""


class Guard:
    """Lets a request through where Host, Origin and token are right, and answers it otherwise."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        authority: Authority,
        hosts: Iterable[str],
        cookie: str,
        scheme: str = "http",
        import_bytes: int = 0,
    ) -> None:
        self._app, self._authority, self._hosts, self._cookie = app, authority, frozenset(hosts), cookie
        self._scheme, self._import_bytes = scheme, import_bytes
        self._wrong = WrongTokens()
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
                await self._app(scope, receive, send)
        finally:
            caller.reset(known)

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
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if host not in self._hosts:
            expected = ", ".join(sorted(self._hosts))
            return _problem(403, "Foreign Host", f"the Host header must be one of {expected}, got {host!r}")
        origin = headers.get("origin")
        if origin is not None and origin not in {f"{self._scheme}://{name}" for name in self._hosts}:
            detail = f"requests from {origin!r} are refused; use {self._scheme}://{host}"
            return _problem(403, "Foreign Origin", detail)
        # A browser that sends no Origin (a plain link or image) still says where the request was made.
        if scope["type"] == "http" and headers.get("sec-fetch-site") == "cross-site" and scope["method"] != "GET":
            return _problem(403, "Foreign Origin", "requests from another site are refused")
        length, limit = headers.get("content-length", "0"), self._limit(scope["path"])
        if not length.isdigit() or len(length) > 15 or int(length) > limit:
            return _too_large(limit, length[:20])
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            return _problem(400, "Not understood", "an address holds no NUL character; leave it out")
        if scope["path"] in OPEN_PATHS:
            return None
        try:
            return await self._known(scope, headers)
        except Unreachable:
            return _problem(
                503, "The store cannot be used", "tokens cannot be looked up just now; try again in a moment"
            )

    async def _known(self, scope: Scope, headers: Headers) -> Caller | Response:
        address = (scope.get("client") or ("unknown", 0))[0]
        limited = self._wrong.too_many(address)
        # Everybody on this machine shares its loopback address: there only wrong tokens are refused.
        if limited and not _is_loopback(address):
            return _slow_down()
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = next((value for key, value in query if key == "token"), None)
        if given is not None and scope["type"] == "http" and scope["method"] == "GET":
            found = await self._authority.caller(given)
            if found is not None:
                return self._welcome(given, scope["path"], [(key, value) for key, value in query if key != "token"])
        bearer = headers.get("authorization", "")
        if bearer.startswith("Bearer "):
            found = await self._authority.caller(bearer.removeprefix("Bearer ").strip())
            if found is not None:
                return found
        with contextlib.suppress(CookieError):
            held = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
            found = None if held is None else await self._authority.caller(held.value)
            if found is not None:
                return found
        # An old cookie is no guess: a browser sends it by itself.
        guessed = bool(given or bearer)
        if guessed:
            self._wrong.add(address)
            if limited:
                return _slow_down()
        if "text/html" in headers.get("accept", ""):
            return HTMLResponse(REFUSED_PAGE, status_code=401)
        detail = (
            "the token is not this server's" if guessed or headers.get("cookie") else "this request carries no token"
        )
        return _problem(401, "Not signed in", f"{detail}; send `Authorization: Bearer TOKEN` with the printed token")

    def _welcome(self, token: str, path: str, query: list[tuple[str, str]]) -> Response:
        """Swap the token in the address for a cookie, so that it stays in no history and no log."""
        local = "/" + path.lstrip("/\\")
        response = RedirectResponse(local + (f"?{urlencode(query)}" if query else ""), status_code=303)
        response.set_cookie(
            self._cookie,
            token,
            httponly=True,
            samesite="strict",
            secure=self._scheme == "https",
            path="/",
            max_age=30 * 24 * 3600,
        )
        return response

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


class Permission:
    """Stands around the API: readers change nothing, and every change is written down with who made it."""

    def __init__(self, app: ASGIApp, store: Store, observe: Callable[[str, int, float], None]) -> None:
        self._app, self._store, self._observe = app, store, observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/api/"):
            await self._app(scope, receive, send)
            return
        who, began = caller.get(), time.perf_counter()
        answered: int | None = None
        changes = scope["method"] not in READING and scope["path"] not in ASKING_PATHS
        if changes and (who is None or not who.may_change):
            name = "nobody" if who is None else who.name
            detail = f"the token of {name!r} may only read; ask the server's owner for one that may change things"
            await _problem(403, "Reading only", detail)(scope, receive, send)
            return

        async def noting(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = message["status"]
                # Before the answer: whoever has it finds their change in the audit.
                await note(message["status"])
            await send(message)

        async def note(status: int) -> None:
            if changes and who is not None:
                await asyncio.to_thread(self._note, who.name, scope["method"], scope["path"], status)

        try:
            await self._app(scope, receive, noting)
        finally:
            took_s, status = time.perf_counter() - began, answered or 500
            self._observe(scope["method"], status, took_s)
            facts = {"method": scope["method"], "path": scope["path"], "status": status, "ms": round(1000 * took_s, 1)}
            log.info("request", extra={"facts": {**facts, "who": who.name if who else None}})
            if answered is None:
                await note(status)

    def _note(self, who: str, method: str, path: str, status: int) -> None:
        named = re.match(r"/api/v1/runs/([0-9a-z]{1,16})(/|$)", path)
        try:
            tokens.note(self._store, who, f"{method} {path[:200]}", named[1] if named else None, status)
        except Unreachable as error:
            log.warning("who did what could not be stored: %s", error, extra={"facts": {"who": who, "path": path}})


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def _too_large(limit: int, length: str) -> Response:
    return _problem(413, "Body too large", f"a request body may have {limit} bytes here, got {length}; send less")


def _slow_down() -> Response:
    detail = f"{WRONG_TOKENS} wrong tokens came from this address within a minute; wait a minute and use the right one"
    response = _problem(429, "Too many wrong tokens", detail)
    response.headers["retry-after"] = str(int(WRONG_S))
    return response


def _problem(status: int, title: str, detail: str) -> Response:
    content = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    headers = {"www-authenticate": "Bearer"} if status == 401 else None
    return JSONResponse(content, status_code=status, headers=headers, media_type="application/problem+json")
