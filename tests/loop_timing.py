"""The real application on an asyncio loop of this process, every callback of which is timed by the thread's CPU time.

CPU time and not wall time: a busy machine makes nothing slower by it. What differs between machines is taken out by a
loop of plain Python that is measured in the same process (`bound_s`).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
import time
from asyncio import base_events, events
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field, replace

import uvicorn

from backend.api.app import Application
from backend.api.server import open_socket
from backend.settings import Settings
from backend.store.database import Store
from dashboard.app import attach

BOUND_S = 0.05
REFERENCE_S = 0.006
"""What `_calibration_s` gives on the machine for which the bound is meant."""
request_name: ContextVar[list[str]] = ContextVar("request_name")
"""What is being answered; a list, since a Dash callback's name is known only once its body is there."""


@dataclass(slots=True)
class Timings:
    """The longest callback of each request: seconds, and what it was."""

    longest: dict[str, tuple[float, str]] = field(default_factory=dict)

    def add(self, name: str, taken_s: float, handle: events.Handle) -> None:
        if taken_s > self.longest.get(name, (-1.0, ""))[0]:
            self.longest[name] = taken_s, base_events._format_handle(handle)  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class TimedServer:
    """A server in a thread of this process."""

    url: str
    token: str
    timings: Timings


@contextlib.contextmanager
def timed_server(store: Store) -> Iterator[TimedServer]:
    """Serve a store with its pages, as `collapse serve` does, and time the loop's callbacks."""
    listener = open_socket("127.0.0.1", 0, exact=True)
    settings = Settings(
        store.data_dir,
        port=listener.getsockname()[1],
        token="a-token-of-the-tests-own",
        database_url=store.url,
        warm=False,
        demonstration=False,
    )
    application = Application(replace(settings), store)
    application.add_pages(attach)
    timings = Timings()
    config = uvicorn.Config(
        _named(application.guarded), log_level="warning", access_log=False, timeout_graceful_shutdown=3
    )
    server = uvicorn.Server(config)

    def serve() -> None:
        with _timed(timings, threading.get_ident()), asyncio.Runner(debug=True) as runner:
            runner.run(server.serve(sockets=[listener]))

    thread = threading.Thread(target=serve, name="server")
    thread.start()
    try:
        deadline = time.monotonic() + 60
        while not server.started:
            assert thread.is_alive(), "the server ended at once"
            assert time.monotonic() < deadline, "the server did not start within 60 s"
            time.sleep(0.02)
        timings.longest.clear()  # of the start, when nobody waits yet
        yield TimedServer(settings.url, settings.token, timings)
    finally:
        application.context.hub.close()
        server.should_exit = True
        thread.join(60)
        listener.close()
        assert not thread.is_alive(), "the server did not end within 60 s"


@contextlib.contextmanager
def _timed(timings: Timings, thread_id: int) -> Iterator[None]:
    original = events.Handle._run

    def run(self: events.Handle) -> None:
        if threading.get_ident() != thread_id:
            return original(self)
        begin = time.thread_time()
        original(self)
        taken_s = time.thread_time() - begin
        name = self._context.get(request_name) if self._context is not None else None  # type: ignore[attr-defined]
        timings.add(name[0] if name else "the server itself", taken_s, self)
        return None

    events.Handle._run = run  # type: ignore[method-assign]
    try:
        yield
    finally:
        events.Handle._run = original  # type: ignore[method-assign]


def _named(app: object) -> object:
    """Wrap an application so that what runs for a request bears its name."""

    async def named(scope, receive, send):
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        name = [f"{scope['method']} {scope['path']}"]
        request_name.set(name)

        async def receiving():
            message = await receive()
            output = re.search(rb'"output":"((?:[^"\\]|\\.)*)"', message.get("body", b"")[:4000])
            if scope["path"] == "/_dash-update-component" and output:
                name[0] = f"callback {output[1].decode()}"
            return message

        await app(scope, receiving, send)

    return named


def bound_s() -> float:
    """Return the bound for one callback on this machine: 50 ms, more on a slower one."""
    return BOUND_S * max(1.0, _calibration_s() / REFERENCE_S)


def _calibration_s() -> float:
    def once() -> float:
        begin = time.thread_time()
        table = {number: str(number) for number in range(50_000)}
        assert sum(map(len, table.values())) > 0
        return time.thread_time() - begin

    return min(once() for _ in range(7))
