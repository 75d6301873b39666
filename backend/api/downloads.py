"""Responses that take long to make or send: abandoned when the client disconnects, cut off when it is too slow."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Iterator
from typing import TypeVar

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


async def until_disconnect(work: Awaitable[Returned], receive: Receive) -> Returned:
    """Return the result of `work`; if the client disconnects first, cancel it and raise ClientDisconnect.

    The request's body must have been read.
    """
    working = asyncio.ensure_future(work)
    disconnect = asyncio.create_task(_wait_for_disconnect(receive))
    try:
        await asyncio.wait({working, disconnect}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnect
    finally:
        working.cancel()
        disconnect.cancel()
        await asyncio.gather(working, disconnect, return_exceptions=True)


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class LongResponse(Response):
    """A response that takes long to send and ends when the client disconnects; `send_body` sends its chunks."""

    def __init__(self, *, media_type: str, headers: dict[str, str]) -> None:
        super().__init__(media_type=media_type, headers=headers)
        self.raw_headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        with contextlib.suppress(ClientDisconnect):
            await until_disconnect(self.send_body(send), receive)

    async def send_body(self, send: Send) -> None:
        """Send the body, with its final message if it is complete."""
        raise NotImplementedError(f"{type(self).__name__} must send its body")


async def send_chunk(send: Send, chunk: bytes) -> None:
    """Send a part of a body; raises TimeoutError if the client accepts nothing for STALL_TIMEOUT_S."""
    async with asyncio.timeout(STALL_TIMEOUT_S):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})


class DownloadResponse(LongResponse):
    """Chunks produced in a queue's threads; the route's dependency holds the queue slot until they are sent."""

    def __init__(self, slot: QueueSlot, chunks: Iterator[bytes], *, media_type: str, headers: dict[str, str]) -> None:
        super().__init__(media_type=media_type, headers=headers)
        self._slot, self._chunks = slot, chunks

    async def send_body(self, send: Send) -> None:
        begin, sent = time.monotonic(), 0
        try:
            while (chunk := await self._slot.run(next, self._chunks, None)) is not None:
                await send_chunk(send, chunk)
                sent += len(chunk)
                if time.monotonic() - begin > SLOW_GRACE_S + sent / MIN_BYTES_PER_S:
                    raise TimeoutError
        except TimeoutError:
            # Without the final message, so that the client does not take a part for the whole.
            log.warning("a client was too slow and was disconnected after %d bytes", sent)
        else:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
