"""The typed HTTP clients, which pages, the command line and scripts share: blocking or not, remote or in the process.

Where the server has too much long work to do (429), a client waits as long as it was told and asks again, for
`patience_s` in all; `on_wait` is called with each wait.
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

import httpx

from backend.api import wire
from backend.client.operations import Answer, Call, problem_of, require_success

log = logging.getLogger("collapse.client")

TIMEOUT_S = 60.0
PATIENCE_S = 600.0
"""How long a client goes on asking a server that has too much to do."""


@dataclass(frozen=True, slots=True)
class Wait:
    """The server has too much long work to do: how many requests are ahead, and when it is asked again."""

    ahead: int
    retry_after_s: float

    @classmethod
    def of(cls, problem: wire.Problem) -> Wait | None:
        """Return what a refusal says, None of any other: too many wrong tokens do not become better by asking again."""
        said = problem.model_extra or {}
        return cls(said["ahead"], said["retry_after_s"]) if problem.status == 429 and "ahead" in said else None

    def __str__(self) -> str:
        requests = "1 request" if self.ahead == 1 else f"{self.ahead} requests"
        return f"Waiting for the server: {requests} ahead; asking again in {self.retry_after_s:g} s"


def _log_wait(wait: Wait) -> None:
    log.warning("%s", wait)


class Patience:
    """How long a call has been refused with 429, and how often it may yet be tried again."""

    def __init__(self, patience_s: float, on_wait: Callable[[Wait], None]) -> None:
        self._deadline, self._on_wait = time.monotonic() + patience_s, on_wait

    def wait_s(self, response: httpx.Response) -> float | None:
        """Return how long to wait before the call is sent again, and tell it; None where the answer is final."""
        if response.status_code != 429:
            return None
        wait = Wait.of(problem_of(response))
        if wait is None or time.monotonic() + wait.retry_after_s > self._deadline:
            return None
        self._on_wait(wait)
        return wait.retry_after_s


def _headers(token: str | None) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"} if token else {}


class Client:
    """Sends calls and waits for their answers. `verify` is a certificate file for a server with its own."""

    def __init__(
        self,
        server: str,
        token: str | None = None,
        *,
        verify: str | bool = True,
        patience_s: float = PATIENCE_S,
        on_wait: Callable[[Wait], None] = _log_wait,
    ) -> None:
        self.http = httpx.Client(base_url=server, headers=_headers(token), timeout=TIMEOUT_S, verify=_trust(verify))
        self._patience_s, self._on_wait = patience_s, on_wait

    def __call__(self, call: Call[Answer]) -> Answer:
        return call.answer(self._sent(call))

    def _sent(self, call: Call[Any], *, stream: bool = False) -> httpx.Response:
        patience = Patience(self._patience_s, self._on_wait)
        while True:
            response = self.http.send(call.request(self.http), stream=stream)
            if response.status_code == 429:
                response.read()
            # A body that was sent piece by piece cannot be sent again.
            wait_s = None if call.content is not None else patience.wait_s(response)
            if wait_s is None:
                return response
            response.close()
            time.sleep(wait_s)

    @contextmanager
    def stream(self, call: Call[Any]) -> Iterator[Iterator[bytes]]:
        """Give a call's answer in chunks, for what is large."""
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
    """Sends calls without blocking; `transport` may be the application itself, for pages in the server's process."""

    def __init__(
        self,
        server: str,
        token: str | None = None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        timeout_s: float = TIMEOUT_S,
        patience_s: float = PATIENCE_S,
        on_wait: Callable[[Wait], None] = _log_wait,
    ) -> None:
        self.http = httpx.AsyncClient(base_url=server, headers=_headers(token), timeout=timeout_s, transport=transport)
        self._patience_s, self._on_wait = patience_s, on_wait

    async def __call__(self, call: Call[Answer]) -> Answer:
        response = await self._sent(call)
        # In a thread: validating a large answer would hold the event loop up.
        return await asyncio.to_thread(call.answer, response)

    async def _sent(self, call: Call[Any], *, stream: bool = False) -> httpx.Response:
        patience = Patience(self._patience_s, self._on_wait)
        while True:
            response = await self.http.send(call.request(self.http), stream=stream)
            if response.status_code == 429:
                await response.aread()
            wait_s = None if call.content is not None else patience.wait_s(response)
            if wait_s is None:
                return response
            await response.aclose()
            await asyncio.sleep(wait_s)

    @asynccontextmanager
    async def stream(self, call: Call[Any]) -> AsyncIterator[AsyncIterator[bytes]]:
        """Give a call's answer in chunks, for what is large."""
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


def _trust(verify: str | bool) -> Any:
    if isinstance(verify, str):
        import ssl

        return ssl.create_default_context(cafile=verify)
    return verify
