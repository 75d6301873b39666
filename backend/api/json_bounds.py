"""How much JSON a request may hold: a value that is wrong costs a hundred times the bytes that it was sent in."""

from __future__ import annotations

import itertools

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.store.validation import JSON_KEY

MOST_VALUES, MOST_KEYS = 100_000, 5_000
OTHER_BODIES = frozenset({"/api/v1/imports", "/api/v1/figures/origin"})
"""Paths that take files."""


class JsonBounds:
    """Stands around the API and refuses bodies of more values, or more keys, than any request needs.

    Every key that a model does not know, and every value of a wrong type, becomes an error with a description of its
    own before the answer can be made. What counts here are commas, brackets and keys, without a look at the texts.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/api/") or scope["path"] in OTHER_BODIES:
            await self._app(scope, receive, send)
            return
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        taken: list[Message] = []
        while not taken or (taken[-1]["type"] == "http.request" and taken[-1].get("more_body", False)):
            taken.append(await receive())  # the guard outside of this ends bodies that are too long
        wrong = _wrong(b"".join(message.get("body", b"") for message in taken))
        if wrong is not None:
            content = {"type": "about:blank", "title": "Too many values", "status": 413, "detail": wrong}
            await JSONResponse(content, 413, media_type="application/problem+json")(scope, receive, send)
            return
        left = iter(taken)

        async def again() -> Message:
            return next(left, None) or await receive()

        await self._app(scope, again, send)


def _wrong(body: bytes) -> str | None:
    """Return what is too much of a body, or None."""
    values = body.count(b",") + body.count(b"[") + body.count(b"{")
    if values > MOST_VALUES:
        return f"a request may hold {MOST_VALUES:,} values, got {values:,}; send fewer at once"
    if next(itertools.islice(JSON_KEY.finditer(body), MOST_KEYS, None), None) is not None:
        return f"a request may hold {MOST_KEYS:,} keys, got more; send fewer at once"
    return None
