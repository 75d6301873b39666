"""The guard around everything: exact Host, exact Origin, and a token, as pure ASGI so that nothing slips past it.

A browser comes with `/?token=…` once and gets an HttpOnly, SameSite=Strict cookie; scripts send a Bearer header. Only
`/healthz` answers without. Dash's own routes, its WebSocket and the assets are inside the guard.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN_PATHS = frozenset({"/healthz"})
MAX_BODY_BYTES = 2 * 2**20
CONTENT_SECURITY_POLICY = (
    # Dash writes inline scripts and compiles clientside callbacks; Plotly writes inline styles. The rest is ours.
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; worker-src 'self' blob:; connect-src 'self'; frame-ancestors 'none'; base-uri 'self'; "
    "form-action 'self'; object-src 'none'"
)
HEADERS = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
REFUSED_PAGE = """<!doctype html><meta charset="utf-8"><title>Collapse Lab</title>
<p style="font:16px sans-serif;margin:4em auto;max-width:34em">This page needs the token of its server. Open the address
that <code>collapse serve</code> printed, the one with <code>?token=</code>.</p>"""


def allowed_hosts(host: str, port: int, more: Iterable[str] = ()) -> frozenset[str]:
    """Return the Host headers that mean this server: its own address, this machine's loopback, and `more` as given."""
    names = {host, "127.0.0.1", "localhost", "[::1]"}
    return frozenset(f"{name}:{port}" for name in names) | frozenset(more)


class Guard:
    """Lets a request through where Host, Origin and token are right, and answers it otherwise."""

    def __init__(self, app: ASGIApp, *, token: str, hosts: Iterable[str], cookie: str) -> None:
        if not token:
            raise ValueError("a guard needs a token")
        self._app, self._token, self._hosts, self._cookie = app, token, frozenset(hosts), cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 4403})
                return
            await refusal(scope, receive, _with_headers(send, scope["path"]))
            return
        await self._app(scope, receive, _with_headers(send, scope["path"]) if scope["type"] == "http" else send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if host not in self._hosts:
            expected = ", ".join(sorted(self._hosts))
            return _problem(403, "Foreign Host", f"the Host header must be one of {expected}, got {host!r}")
        origin = headers.get("origin")
        if origin is not None and origin not in {f"http://{name}" for name in self._hosts}:
            return _problem(403, "Foreign Origin", f"requests from {origin!r} are refused; use http://{host}")
        # A browser that sends no Origin (a plain link or image) still says where the request was made.
        if scope["type"] == "http" and headers.get("sec-fetch-site") == "cross-site" and scope["method"] != "GET":
            return _problem(403, "Foreign Origin", "requests from another site are refused")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            return _problem(413, "Body too large", f"a request body may have {MAX_BODY_BYTES} bytes, got {length}")
        path = scope["path"]
        if path in OPEN_PATHS:
            return None
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = next((value for key, value in query if key == "token"), None)
        if given is not None and scope["type"] == "http" and scope["method"] == "GET" and self._is_token(given):
            return self._welcome(path, [(key, value) for key, value in query if key != "token"])
        bearer = headers.get("authorization", "")
        if bearer.startswith("Bearer ") and self._is_token(bearer.removeprefix("Bearer ").strip()):
            return None
        try:
            held = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            held = None
        if held is not None and self._is_token(held.value):
            return None
        if "text/html" in headers.get("accept", ""):
            return HTMLResponse(REFUSED_PAGE, status_code=401)
        wrong = bool(given or bearer or held)
        detail = "the token is not this server's" if wrong else "this request carries no token"
        return _problem(401, "Not signed in", f"{detail}; send `Authorization: Bearer TOKEN` with the printed token")

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self._token.encode())

    def _welcome(self, path: str, query: list[tuple[str, str]]) -> Response:
        """Swap the token in the address for a cookie, so that it stays in no history and no log."""
        local = "/" + path.lstrip("/\\")
        response = RedirectResponse(local + (f"?{urlencode(query)}" if query else ""), status_code=303)
        response.set_cookie(
            self._cookie, self._token, httponly=True, samesite="strict", path="/", max_age=30 * 24 * 3600
        )
        return response


def _problem(status: int, title: str, detail: str) -> Response:
    content = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    headers = {"www-authenticate": "Bearer"} if status == 401 else None
    return JSONResponse(content, status_code=status, headers=headers, media_type="application/problem+json")


def _with_headers(send: Send, path: str) -> Send:
    # Assets are asked for again by their ETag, so that no page runs yesterday's script after an upgrade.
    more = [*HEADERS, (b"cache-control", b"no-cache")] if path.startswith("/assets/") else HEADERS

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *more]
        await send(message)

    return sending
