"""Large answers are compressed in a thread: on the event loop everybody would wait for it."""

from __future__ import annotations

import asyncio
import gzip

import brotli
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MIN_BYTES = 2**14
"""Smaller ones take less than a millisecond; `CompressMiddleware` compresses them, and what is sent in pieces."""
BROTLI_QUALITY, GZIP_LEVEL = 4, 4
TYPES = ("application/json", "application/problem+json", "application/javascript", "image/svg+xml", "text/")


class ThreadedCompression:
    """Compresses whole bodies with brotli or gzip, as the client accepts them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        coding = _coding(Headers(scope=scope)) if scope["type"] == "http" else None
        if coding is None:
            await self._app(scope, receive, send)
            return
        start: Message | None = None

        async def compressing(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _compressible(Headers(raw=message["headers"])):
                start = message  # until it is known how the body comes
                return
            if start is not None:
                begun, start = start, None
                body = message.get("body", b"")
                if message["type"] == "http.response.body" and not message.get("more_body") and len(body) >= MIN_BYTES:
                    message["body"] = await asyncio.to_thread(_compressed, body, coding)
                    headers = MutableHeaders(raw=begun["headers"])
                    headers["content-encoding"] = coding
                    headers["content-length"] = str(len(message["body"]))
                    headers.add_vary_header("accept-encoding")
                await send(begun)
            await send(message)

        await self._app(scope, receive, compressing)


def _coding(headers: Headers) -> str | None:
    accepted = headers.get("accept-encoding", "")
    return next((coding for coding in ("br", "gzip") if coding in accepted), None)


def _compressible(headers: Headers) -> bool:
    kind = headers.get("content-type", "")
    return kind.startswith(TYPES) and not kind.startswith("text/event-stream") and "content-encoding" not in headers


def _compressed(body: bytes, coding: str) -> bytes:
    return brotli.compress(body, quality=BROTLI_QUALITY) if coding == "br" else gzip.compress(body, GZIP_LEVEL, mtime=0)
