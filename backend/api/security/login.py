"""What a request shows to say who asks: a Bearer token, a session's cookie, or once the token in the address."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Scope

from backend.api.problems import problem
from backend.api.security.authenticator import Authenticator
from backend.api.security.callers import Caller
from backend.api.security.rate_limit import ATTEMPTS, FailedLogins, is_loopback
from backend.store import audit, sessions
from backend.store.database import Store

log = logging.getLogger("collapse.access")

REFUSED_PAGE = """<!doctype html><meta charset="utf-8"><title>Collapse Lab</title>
<p style="font:16px sans-serif;margin:4em auto;max-width:34em">This page needs the token of its server. Open the address
that <code>collapse serve</code> printed, the one with <code>?token=</code>.</p>"""


def scheme_of(scope: Scope) -> str:
    """Return http or https: how the browser asked, also through a trusted proxy."""
    return "https" if scope["scheme"] in ("https", "wss") else "http"


class Login:
    """Identifies callers, logs browsers in, and makes those wait who send wrong tokens."""

    def __init__(self, authenticator: Authenticator, store: Store, cookie: str) -> None:
        self._authenticator, self._store, self._cookie = authenticator, store, cookie
        self._failed = FailedLogins()

    async def identify(self, scope: Scope, headers: Headers) -> Caller | Response:
        """Return who asks, or the answer: a redirect with a new session's cookie, or a refusal.

        An address that sent too many wrong tokens has no token looked at for a minute; its browsers that are logged in
        go on. On loopback, which all users of a machine share, right tokens go on too.
        """
        address = (scope.get("client") or ("unknown", 0))[0]
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        logging_in = scope["type"] == "http" and scope["method"] == "GET"
        given = next((value for key, value in query if key == "token"), None) if logging_in else None
        bearer = headers.get("authorization", "")
        cookie = self._cookie_in(headers)
        wait_s = self._failed.wait_s(address)
        if wait_s == 0 or is_loopback(address):
            if given is not None and (found := await self._authenticator.of_token(given)) is not None:
                rest = [(key, value) for key, value in query if key != "token"]
                return await self._logged_in(scope, found, given, cookie, rest)
            if bearer.startswith("Bearer "):
                found = await self._authenticator.of_token(bearer.removeprefix("Bearer ").strip())
                if found is not None:
                    return found
        guessed = bool(given or bearer)
        if guessed and not wait_s:
            # Counted beside a valid cookie too: who may only read does not get to guess another token.
            self._failed.add(address)
            log.warning("a wrong token", extra={"facts": {"address": address, "path": scope["path"]}})
        if cookie is not None and (found := await self._authenticator.of_cookie(cookie)) is not None:
            return found
        if guessed and wait_s:
            return _wait(wait_s)
        return _refused(headers, shown=guessed or bool(headers.get("cookie")))

    def _cookie_in(self, headers: Headers) -> str | None:
        with contextlib.suppress(CookieError):
            held = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
            return None if held is None else held.value
        return None

    async def _logged_in(
        self, scope: Scope, who: Caller, token: str, cookie: str | None, query: list[tuple[str, str]]
    ) -> Response:
        """Swap the token in the address for a session's cookie, so that it stays in no history and no log."""
        value = await self._authenticator.log_in(who, token, cookie)
        await asyncio.to_thread(audit.record, self._store, who.name, who.token_id, "log in", 303)
        local = "/" + scope["path"].lstrip("/\\")
        response = RedirectResponse(local + (f"?{urlencode(query)}" if query else ""), status_code=303)
        response.set_cookie(
            self._cookie,
            value,
            httponly=True,
            samesite="strict",
            secure=scheme_of(scope) == "https",
            path="/",
            max_age=int(sessions.LIFETIME.total_seconds()),
        )
        return response


def _wait(seconds: float) -> Response:
    detail = f"{ATTEMPTS} wrong tokens came from this address within a minute; wait a minute and use the right one"
    response = problem(429, "Too many wrong tokens", detail)
    response.headers["retry-after"] = str(math.ceil(seconds))
    return response


def _refused(headers: Headers, *, shown: bool) -> Response:
    if "text/html" in headers.get("accept", ""):
        return HTMLResponse(REFUSED_PAGE, status_code=401)
    said = "the token is not this server's, or the session has ended" if shown else "this request carries no token"
    response = problem(401, "Not logged in", f"{said}; send `Authorization: Bearer TOKEN` with the printed token")
    response.headers["www-authenticate"] = "Bearer"
    return response
