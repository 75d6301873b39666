"""Authentication of a request: by Bearer token, by session cookie, or once by the token in the URL, which logs in.

Failed log-ins are limited by client address: after twenty in a minute, the address is blocked for a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections import OrderedDict
from http.cookies import CookieError, SimpleCookie
from ipaddress import IPv6Address, ip_address
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Scope

from backend.api.responses import problem_response, render_page
from backend.api.security.authenticator import Authenticator
from backend.api.security.permissions import Caller
from backend.store import access
from backend.store.database import Store

log = logging.getLogger("collapse.access")


def scheme_of(scope: Scope) -> str:
    """Return the scheme of the browser's request, http or https, also behind a trusted proxy."""
    return "https" if scope["scheme"] in ("https", "wss") else "http"


class Login:
    """Identifies callers, logs browsers in, and rate-limits wrong tokens."""

    def __init__(self, authenticator: Authenticator, store: Store, cookie: str) -> None:
        self._authenticator, self._store, self._cookie = authenticator, store, cookie
        self._failed = FailedLogins()

    async def identify(self, scope: Scope, headers: Headers) -> Caller | Response:
        """Return the caller, or the response: a redirect that sets a session cookie, or a refusal.

        After too many wrong tokens from an address, its tokens are not checked for a minute; its sessions remain valid.
        On loopback, which all users of a machine share, valid tokens are still accepted.
        """
        address = (scope.get("client") or ("unknown", 0))[0]
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        logging_in = scope["type"] == "http" and scope["method"] == "GET"
        url_token = next((value for key, value in query if key == "token"), None) if logging_in else None
        bearer = headers.get("authorization", "")
        cookie = self._cookie_in(headers)
        wait_s = self._failed.wait_s(address)
        if wait_s == 0 or is_loopback(address):
            if url_token is not None and (who := await self._authenticator.of_token(url_token)) is not None:
                rest = [(key, value) for key, value in query if key != "token"]
                return await self._logged_in(scope, who, url_token, cookie, rest)
            if bearer.startswith("Bearer "):
                who = await self._authenticator.of_token(bearer.removeprefix("Bearer ").strip())
                if who is not None:
                    return who
        guessed = bool(url_token or bearer)
        if guessed and not wait_s:
            # Counted also with a valid cookie: a read-only session must not be used to guess another token.
            self._failed.add(address)
            log.warning("a wrong token", extra={"facts": {"address": address, "path": scope["path"]}})
        if cookie is not None and (who := await self._authenticator.of_cookie(cookie)) is not None:
            return who
        if guessed and wait_s:
            return _wait(wait_s)
        return _refused(headers, has_credentials=guessed or bool(headers.get("cookie")))

    def _cookie_in(self, headers: Headers) -> str | None:
        with contextlib.suppress(CookieError):
            morsel = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
            return None if morsel is None else morsel.value
        return None

    async def _logged_in(
        self, scope: Scope, who: Caller, token: str, cookie: str | None, query: list[tuple[str, str]]
    ) -> Response:
        """Replace the token in the URL by a session cookie, so that it is in no history and no log."""
        value = await self._authenticator.log_in(who, token, cookie)
        await asyncio.to_thread(access.record_action, self._store, who.name, who.token_id, "log in", 303)
        local = "/" + scope["path"].lstrip("/\\")
        response = RedirectResponse(local + (f"?{urlencode(query)}" if query else ""), status_code=303)
        response.set_cookie(
            self._cookie,
            value,
            httponly=True,
            samesite="strict",
            secure=scheme_of(scope) == "https",
            path="/",
            max_age=int(access.SESSION_LIFETIME.total_seconds()),
        )
        return response


def _wait(seconds: float) -> Response:
    detail = f"{MAX_ATTEMPTS} wrong tokens came from this address within a minute; wait a minute and use the right one"
    response = problem_response(429, "Too many wrong tokens", detail)
    response.headers["retry-after"] = str(math.ceil(seconds))
    return response


def _refused(headers: Headers, *, has_credentials: bool) -> Response:
    if "text/html" in headers.get("accept", ""):
        return HTMLResponse(render_page("token_required.html"), status_code=401)
    reason = (
        "the token is not this server's, or the session has ended"
        if has_credentials
        else "this request carries no token"
    )
    response = problem_response(
        401, "Not logged in", f"{reason}; send `Authorization: Bearer TOKEN` with the printed token"
    )
    response.headers["www-authenticate"] = "Bearer"
    return response


MAX_ATTEMPTS, WINDOW_S = 20, 60.0
MAX_ADDRESSES = 10_000
"""Number of addresses kept of each kind (about 2 MB); the oldest are dropped."""


def client_network(address: str) -> str:
    """Return the network that is counted for an address: itself, or the /64 of an IPv6 address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        if not parsed.is_loopback:
            return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"
    return str(parsed)


def is_loopback(address: str) -> bool:
    """Return whether an address is of this machine."""
    try:
        return ip_address(client_network(address)).is_loopback
    except ValueError:
        return False


class FailedLogins:
    """Counts wrong tokens by network in windows of a minute, in bounded memory.

    Blocked networks are kept apart from counted ones, so that wrong tokens from many other addresses unblock nobody.
    """

    def __init__(self) -> None:
        self._counted: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._blocked: OrderedDict[str, float] = OrderedDict()

    def add(self, address: str) -> None:
        """Count one wrong token."""
        network, now = client_network(address), time.monotonic()
        began, count = self._counted.get(network, (now, 0))
        if now - began >= WINDOW_S:
            began, count = now, 0
        if count + 1 < MAX_ATTEMPTS:
            self._counted[network] = (began, count + 1)
        else:
            self._counted.pop(network, None)
            self._blocked[network] = now + WINDOW_S
            self._blocked.move_to_end(network)
        for networks in (self._counted, self._blocked):
            while len(networks) > MAX_ADDRESSES:
                networks.popitem(last=False)

    def wait_s(self, address: str) -> float:
        """Return for how many more seconds an address is blocked; 0 if it is not."""
        network = client_network(address)
        remaining_s = self._blocked.get(network, 0.0) - time.monotonic()
        if remaining_s <= 0:
            self._blocked.pop(network, None)
            return 0.0
        return remaining_s

    def __len__(self) -> int:
        return len(self._counted) + len(self._blocked)
