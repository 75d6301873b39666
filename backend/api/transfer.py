"""Answers that take long to make or to send: given up when their reader leaves, and cut off when it is too slow."""

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

from backend.api.work_queue import Place

log = logging.getLogger("collapse.transfer")

STALL_S = 20.0
"""A reader that takes nothing for so long is let go."""
GRACE_S = 60.0
MIN_BYTES_PER_S = 2**16
"""After the grace, a reader must have taken this much a second on average."""
Returned = TypeVar("Returned")


async def left(receive: Receive) -> None:
    """Return when the client has disconnected; its request must have been read whole."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def while_connected(request: Request, work: Awaitable[Returned]) -> Returned:
    """Return what `work` gives; cancel it and raise ClientDisconnect where its client leaves before."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.create_task(left(request.receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnect
    finally:
        await _cancelled(working, leaving)


class TransferStream(Response):
    """Chunks that are made in the threads of a queue, whose place is held by the route's dependency meanwhile."""

    def __init__(self, place: Place, chunks: Iterator[bytes], *, media_type: str, headers: dict[str, str]) -> None:
        super().__init__(media_type=media_type, headers=headers)
        self._place, self._chunks = place, chunks
        self.raw_headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        sending, leaving = asyncio.create_task(self._send(send)), asyncio.create_task(left(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            await _cancelled(sending, leaving)

    async def _send(self, send: Send) -> None:
        begin, sent = time.monotonic(), 0
        try:
            while (chunk := await self._place.run(next, self._chunks, None)) is not None:
                async with asyncio.timeout(STALL_S):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                sent += len(chunk)
                if time.monotonic() - begin > GRACE_S + sent / MIN_BYTES_PER_S:
                    raise TimeoutError
        except TimeoutError:
            # Without its end, so that the reader does not take what it has for the whole.
            log.warning("a reader was too slow and was let go after %d bytes", sent)
        else:
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _cancelled(*tasks: asyncio.Future[Any]) -> None:
    """Cancel what still runs, and wait until it has ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
