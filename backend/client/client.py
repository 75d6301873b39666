"""The typed HTTP clients of pages, command line and scripts: blocking or async, remote or in the same process.

If the server's queue is full (429), a client waits as the response says and retries, for `max_wait_s` in all;
`on_wait` is called before each wait.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import httpx2

from backend.api import wire
from backend.client.operations import Answer, Call, parse_problem, require_success

log = logging.getLogger("collapse.client")

TIMEOUT_S = 60.0
MAX_WAIT_S = 600.0
"""How long a client retries a request that the server's queue refuses."""


@dataclass(frozen=True, slots=True)
class RetryWait:
    """A pause before a retry: how many requests are ahead in the server's queue, and how long to wait."""

    ahead: int
    retry_after_s: float

    @classmethod
    def of(cls, problem: wire.Problem) -> RetryWait | None:
        """Return the wait that a full queue asks for; None for other problems, also for 429 after wrong tokens."""
        extra = problem.model_extra or {}
        return cls(extra["ahead"], extra["retry_after_s"]) if problem.status == 429 and "ahead" in extra else None

    def __str__(self) -> str:
        requests = "1 request" if self.ahead == 1 else f"{self.ahead} requests"
        return f"Waiting for the server: {requests} ahead; asking again in {self.retry_after_s:g} s"


def log_wait(wait: RetryWait) -> None:
    """Log a wait; the default of `on_wait`."""
    log.warning("%s", wait)


class RetryDeadline:
    """The time until which a call that is refused with 429 is retried."""

    def __init__(self, max_wait_s: float, on_wait: Callable[[RetryWait], None]) -> None:
        self._deadline, self._on_wait = time.monotonic() + max_wait_s, on_wait

    def wait_s(self, response: httpx2.Response) -> float | None:
        """Return how long to wait before a retry, after calling `on_wait`; None if the response is final."""
        if response.status_code != 429:
            return None
        wait = RetryWait.of(parse_problem(response))
        if wait is None or time.monotonic() + wait.retry_after_s > self._deadline:
            return None
        self._on_wait(wait)
        return wait.retry_after_s


def _headers(token: str | None) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"} if token else {}


class Client:
    """A blocking client. `verify` is a certificate file for a server with its own certificate."""

    def __init__(
        self,
        server: str,
        token: str | None = None,
        *,
        verify: str | bool = True,
        max_wait_s: float = MAX_WAIT_S,
        on_wait: Callable[[RetryWait], None] = log_wait,
    ) -> None:
        self.http = httpx2.Client(
            base_url=server, headers=_headers(token), timeout=TIMEOUT_S, verify=_ssl_verify(verify)
        )
        self._max_wait_s, self._on_wait = max_wait_s, on_wait

    def __call__(self, call: Call[Answer]) -> Answer:
        return call.answer(self._sent(call))

    def _sent(self, call: Call[Any], *, stream: bool = False) -> httpx2.Response:
        retry = RetryDeadline(self._max_wait_s, self._on_wait)
        while True:
            response = self.http.send(call.request(self.http), stream=stream)
            if response.status_code == 429:
                response.read()
            # A streamed body cannot be sent again.
            wait_s = None if call.content is not None else retry.wait_s(response)
            if wait_s is None:
                return response
            response.close()
            time.sleep(wait_s)

    @contextmanager
    def stream(self, call: Call[Any]) -> Iterator[Iterator[bytes]]:
        """Yield a large response in chunks."""
        response = self._sent(call, stream=True)
        try:
            if not response.is_success:
                response.read()
            require_success(response)
            yield response.iter_bytes()
        finally:
            response.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.close()


class AsyncClient:
    """An async client; `transport` can be the application itself, for pages in the server's process."""

    def __init__(
        self,
        server: str,
        token: str | None = None,
        *,
        transport: httpx2.AsyncBaseTransport | None = None,
        timeout_s: float = TIMEOUT_S,
        max_wait_s: float = MAX_WAIT_S,
        on_wait: Callable[[RetryWait], None] = log_wait,
    ) -> None:
        self.http = httpx2.AsyncClient(base_url=server, headers=_headers(token), timeout=timeout_s, transport=transport)
        self._max_wait_s, self._on_wait = max_wait_s, on_wait

    async def __call__(self, call: Call[Answer]) -> Answer:
        response = await self._sent(call)
        # In a thread: validating a large response would block the event loop.
        return await asyncio.to_thread(call.answer, response)

    async def _sent(self, call: Call[Any], *, stream: bool = False) -> httpx2.Response:
        retry = RetryDeadline(self._max_wait_s, self._on_wait)
        while True:
            response = await self.http.send(call.request(self.http), stream=stream)
            if response.status_code == 429:
                await response.aread()
            wait_s = None if call.content is not None else retry.wait_s(response)
            if wait_s is None:
                return response
            await response.aclose()
            await asyncio.sleep(wait_s)

    @asynccontextmanager
    async def stream(self, call: Call[Any]) -> AsyncIterator[AsyncIterator[bytes]]:
        """Yield a large response in chunks."""
        response = await self._sent(call, stream=True)
        try:
            if not response.is_success:
                await response.aread()
            require_success(response)
            yield response.aiter_bytes()
        finally:
            await response.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.aclose()


def _ssl_verify(verify: str | bool) -> Any:
    if isinstance(verify, str):
        import ssl

        return ssl.create_default_context(cafile=verify)
    return verify
