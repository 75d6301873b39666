"""Limits on the number of values and keys in a JSON request body.

An invalid value costs a hundred times its bytes in memory: each becomes an error with a description of its own.
"""

from __future__ import annotations

import itertools

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api.responses import problem_response
from backend.store.validation import JSON_KEY

MAX_VALUES, MAX_KEYS = 100_000, 5_000
FILE_UPLOAD_PATHS = frozenset({"/api/v1/imports", "/api/v1/figures/origin"})


class JsonLimits:
    """ASGI middleware that refuses bodies with more values or keys than any valid request has.

    Counts commas, brackets and keys without parsing.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/api/") or scope["path"] in FILE_UPLOAD_PATHS:
            await self._app(scope, receive, send)
            return
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        messages: list[Message] = []
        while not messages or (messages[-1]["type"] == "http.request" and messages[-1].get("more_body", False)):
            messages.append(await receive())  # `Guard`, which wraps this, limits the number of bytes
        excess = _find_excess(b"".join(message.get("body", b"") for message in messages))
        if excess is not None:
            await problem_response(413, "Too many values", excess)(scope, receive, send)
            return
        remaining = iter(messages)

        async def replay() -> Message:
            return next(remaining, None) or await receive()

        await self._app(scope, replay, send)


def _find_excess(body: bytes) -> str | None:
    """Return a description of the limit that a body exceeds, or None."""
    values = body.count(b",") + body.count(b"[") + body.count(b"{")
    if values > MAX_VALUES:
        return f"a request may hold {MAX_VALUES:,} values, got {values:,}; send fewer at once"
    if next(itertools.islice(JSON_KEY.finditer(body), MAX_KEYS, None), None) is not None:
        return f"a request may hold {MAX_KEYS:,} keys, got more; send fewer at once"
    return None
