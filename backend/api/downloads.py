"""Responses that take long to make or send: abandoned when the client disconnects, cut off when it is too slow."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Iterator
from typing import Any, TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from backend.api.work_queue import QueueSlot

log = logging.getLogger("collapse.downloads")

STALL_TIMEOUT_S = 20.0
"""A client that accepts no data for this long is disconnected."""
SLOW_GRACE_S = 60.0
MIN_BYTES_PER_S = 2**16
"""Minimum average rate of a client after the grace period."""
Returned = TypeVar("Returned")


async def wait_for_disconnect(receive: Receive) -> None:
    """Return when the client has disconnected; the request body must have been read."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def cancel_on_disconnect(request: Request, work: Awaitable[Returned]) -> Returned:
    """Return the result of `work`; if the client disconnects first, cancel it and raise ClientDisconnect."""
    working = asyncio.ensure_future(work)
    disconnect = asyncio.create_task(wait_for_disconnect(request.receive))
    try:
        await asyncio.wait({working, disconnect}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnect
    finally:
        await _cancel(working, disconnect)


class DownloadResponse(Response):
    """Chunks produced in a queue's threads; the route's dependency holds the queue slot until they are sent."""

    def __init__(self, slot: QueueSlot, chunks: Iterator[bytes], *, media_type: str, headers: dict[str, str]) -> None:
        super().__init__(media_type=media_type, headers=headers)
        self._slot, self._chunks = slot, chunks
        self.raw_headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        sending = asyncio.create_task(self._send(send))
        disconnect = asyncio.create_task(wait_for_disconnect(receive))
        try:
            await asyncio.wait({sending, disconnect}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            await _cancel(sending, disconnect)

    async def _send(self, send: Send) -> None:
        begin, sent = time.monotonic(), 0
        try:
            while (chunk := await self._slot.run(next, self._chunks, None)) is not None:
                async with asyncio.timeout(STALL_TIMEOUT_S):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                sent += len(chunk)
                if time.monotonic() - begin > SLOW_GRACE_S + sent / MIN_BYTES_PER_S:
                    raise TimeoutError
        except TimeoutError:
            # Without the final message, so that the client does not take a part for the whole.
            log.warning("a client was too slow and was disconnected after %d bytes", sent)
        else:
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _cancel(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
