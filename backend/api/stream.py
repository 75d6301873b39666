"""Live is replay plus tail over one query: what an EventSource hears, from any point, without loss or doubles.

For each run that somebody watches the hub keeps a *feed*: its newest events, encoded once for all who look, bounded in
bytes. A viewer takes what follows its own last number from the feed, or, where it is further behind, from the store.
Wake-ups are only hints (SQLite's `data_version` on a connection of its own, which changes when anybody else commits;
PostgreSQL's NOTIFY); after one the hub reads each feed's run once, however many look at it.

Writes are paced: one per `BATCH_S` and viewer on average, of which one may come early, so that events at that very
pace are not held back by each other's jitter. A write is at most `CHUNK_BYTES` and one event. A viewer that takes
nothing for `PATIENCE_S` is let go, and comes back with the number it has. The newest capture's arrays are sent along,
older ones by `href`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson
import sqlalchemy as sa
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from backend.api.security.authority import CHECK_S
from backend.api.security.callers import Caller
from backend.api.transfer import left
from backend.api.views import event_json, typed_arrays
from backend.store import event_log, runs
from backend.store.database import CHANNEL, Store, Unreachable
from backend.store.errors import CollapseError

log = logging.getLogger("collapse.stream")

POLL_S = 0.02
BATCH_S = 0.1
HEARTBEAT_S = 15.0
PATIENCE_S = 20.0
PAGE = 500
CHUNK_BYTES = 2**20
FEED_BYTES = 2**21
DELETED = b"deleted"
"""The event, of no number, that says that a run was deleted while it was followed; it ends with it."""


@dataclass(slots=True)
class Told:
    """An event as it is sent: without arrays, and, of a capture, with them."""

    seq: int
    type: bytes
    plain: bytes
    rich: bytes | None = None

    def message(self, run_id: str, *, several: bool, rich: bool) -> bytes:
        number = f"{run_id}:{self.seq}".encode() if several else b"%d" % self.seq
        return b"event: %b\nid: %b\ndata: %b\n\n" % (self.type, number, self.rich if rich and self.rich else self.plain)


def told(store: Store, row: sa.Row[Any], *, arrays: bool) -> Told:
    """Encode an event; a capture's arrays only where they are asked for."""
    content = event_json(row)
    found = Told(row.seq, row.type.encode(), orjson.dumps(content))
    if arrays and row.type == "GeometryCaptured":
        try:
            held = typed_arrays(store, row.run_id, row.payload["step"])
        except CollapseError as error:
            # One damaged file holds up nobody: the event goes without, and its `href` says what is wrong.
            log.warning("%s", error)
            return found
        content["arrays"] = {name: array.model_dump() for name, array in held.items()}
        found.rich = orjson.dumps(content)
    return found


@dataclass(slots=True)
class Viewer:
    """One open stream: where it is in each run, what wakes it, and who asked."""

    cursors: dict[str, int]
    who: Caller
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    deleted: set[str] = field(default_factory=set)
    """Runs that were deleted since: their events are not for anybody any more."""
    is_ended: bool = False
    """The token or the session that let it in is not valid any more."""


class Feed:
    """The newest events of one run, encoded once; `bytes` bounded by letting the oldest go."""

    def __init__(self, last_seq: int) -> None:
        self.viewers: list[Viewer] = []
        self.last_seq = last_seq
        self._tail: deque[Told] = deque()
        self._bytes = 0
        self._chunks: dict[tuple[int, bool], tuple[bytes, int]] = {}

    def push(self, events: Iterable[Told]) -> None:
        """Take events that follow; only the newest capture keeps its arrays."""
        for event in events:
            if event.rich is not None:
                for held in self._tail:
                    if held.rich is not None:
                        self._bytes -= len(held.rich)
                        held.rich = None
            self._tail.append(event)
            self._bytes += len(event.plain) + len(event.rich or b"")
            self.last_seq = event.seq
        while self._bytes > FEED_BYTES and len(self._tail) > 1:
            gone = self._tail.popleft()
            self._bytes -= len(gone.plain) + len(gone.rich or b"")
        self._chunks.clear()
        for viewer in self.viewers:
            viewer.woken.set()

    def following(self, run_id: str, seq: int, *, several: bool) -> tuple[bytes, int] | None:
        """Return what follows a number as one chunk, and the number it ends at; None where the feed begins later."""
        if seq >= self.last_seq:
            return b"", seq
        if not self._tail or self._tail[0].seq > seq + 1:
            return None
        held = self._chunks.get((seq, several))
        if held is None:
            following = [event for event in self._tail if event.seq > seq]
            held = _joined(run_id, following, several=several)
            self._chunks[(seq, several)] = held
        return held


def _joined(run_id: str, events: list[Told], *, several: bool) -> tuple[bytes, int]:
    parts: list[bytes] = []
    size, last = 0, events[0].seq
    for event in events:
        message = event.message(run_id, several=several, rich=True)
        if parts and size + len(message) > CHUNK_BYTES:
            break
        parts.append(message)
        size, last = size + len(message), event.seq
    return b"".join(parts), last


class Hub:
    """All open streams of one server, and the one task that looks for news."""

    def __init__(self, store: Store, ended: Callable[[Iterable[Caller]], Awaitable[set[Caller]]]) -> None:
        self._store, self._ended = store, ended
        self._feeds: dict[str, Feed] = {}
        self._open: dict[int, Viewer] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.closing = False

    async def __aenter__(self) -> Hub:
        watch = self._watch_sqlite if self._store.is_sqlite else self._watch_postgresql
        self._tasks = [asyncio.create_task(watch()), asyncio.create_task(self._watch_callers())]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def viewers(self) -> int:
        """How many streams are open."""
        return len(self._open)

    def close(self) -> None:
        """End all streams: the server is going."""
        self.closing = True
        for viewer in self._open.values():
            viewer.woken.set()

    async def end_invalid(self) -> None:
        """End the streams of tokens and sessions that are revoked, logged out or expired."""
        viewers = list(self._open.values())
        if not viewers:
            return
        ended = await self._ended({viewer.who for viewer in viewers})
        for viewer in viewers:
            if viewer.who in ended:
                viewer.is_ended = True
                viewer.woken.set()

    def _drop_deleted(self, viewer: Viewer) -> bytes:
        """Stop following the viewer's deleted runs; return what tells the reader so."""
        dropped = sorted(viewer.deleted & viewer.cursors.keys())
        for run_id in dropped:
            del viewer.cursors[run_id]
            self._leave(viewer, run_id)
        return b"".join(b"event: %b\ndata: %b\n\n" % (DELETED, orjson.dumps({"run": run_id})) for run_id in dropped)

    def _leave(self, viewer: Viewer, run_id: str) -> None:
        feed = self._feeds.get(run_id)
        if feed is not None and viewer in feed.viewers:
            feed.viewers.remove(viewer)
            if not feed.viewers:
                del self._feeds[run_id]

    @contextlib.asynccontextmanager
    async def _watching(self, viewer: Viewer) -> AsyncIterator[None]:
        self._open[id(viewer)] = viewer
        try:
            last = await asyncio.to_thread(runs.last_seqs, self._store, viewer.cursors)
            viewer.deleted = viewer.cursors.keys() - last.keys()
            for run_id, seq in last.items():
                self._feeds.setdefault(run_id, Feed(seq)).viewers.append(viewer)
            yield
        finally:
            del self._open[id(viewer)]
            for run_id in viewer.cursors:
                self._leave(viewer, run_id)

    async def follow(self, cursors: dict[str, int], *, several: bool, who: Caller) -> AsyncIterator[bytes]:
        """Yield server-sent events that follow each run's cursor; comments keep an idle connection alive."""
        viewer = Viewer(cursors, who)
        async with self._watching(viewer):
            yield b"retry: 1000\n\n"
            due = 0.0
            while not (self.closing or viewer.is_ended):
                viewer.woken.clear()
                if dropped := self._drop_deleted(viewer):
                    yield dropped
                if not viewer.cursors:
                    break
                chunk, more = await self._next_chunk(viewer, several)
                if chunk:
                    yield chunk
                    due = max(due, time.monotonic()) + BATCH_S
                if more:
                    continue
                try:
                    # Not `wait_for`, which swallows a cancellation that comes with the wake-up it waits for.
                    async with asyncio.timeout(HEARTBEAT_S):
                        await viewer.woken.wait()
                except TimeoutError:
                    yield b": still here\n\n"
                # Hold the next write back, and let what comes meanwhile ride along.
                await asyncio.sleep(max(0.0, due - BATCH_S - time.monotonic()))

    async def _next_chunk(self, viewer: Viewer, several: bool) -> tuple[bytes, bool]:
        """Return what follows the viewer's cursors, which it moves, and whether there is more at once."""
        parts, size, more = [], 0, False
        for run_id, seq in viewer.cursors.items():
            if size >= CHUNK_BYTES:
                more = True
                break
            feed = self._feeds[run_id]
            found = feed.following(run_id, seq, several=several)
            if found is None:
                found = await asyncio.to_thread(self._replayed, run_id, seq, several)
            chunk, viewer.cursors[run_id] = found
            parts.append(chunk)
            size += len(chunk)
            more |= viewer.cursors[run_id] < feed.last_seq
        return b"".join(parts), more

    def _replayed(self, run_id: str, seq: int, several: bool) -> tuple[bytes, int]:
        rows = event_log.after(self._store, run_id, seq, PAGE)
        if not rows:
            return b"", seq
        captures = [row.seq for row in rows if row.type == "GeometryCaptured"]
        newest = captures[-1] if captures and len(rows) < PAGE else None
        return _joined(run_id, [told(self._store, row, arrays=row.seq == newest) for row in rows], several=several)

    # ── news ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _refresh(self, run_ids: Iterable[str]) -> None:
        watched = {run_id: self._feeds[run_id].last_seq for run_id in run_ids if run_id in self._feeds}
        while watched:
            news, deleted = await asyncio.to_thread(self._news, watched)
            for run_id, events in news.items():
                if run_id in self._feeds:
                    self._feeds[run_id].push(event for event in events if event.seq > self._feeds[run_id].last_seq)
            for run_id in deleted & self._feeds.keys():
                for viewer in self._feeds[run_id].viewers:
                    viewer.deleted.add(run_id)
                    viewer.woken.set()
            # A whole page: there may be more, and no further word of it.
            watched = {run_id: events[-1].seq for run_id, events in news.items() if len(events) == PAGE}

    def _news(self, watched: dict[str, int]) -> tuple[dict[str, list[Told]], set[str]]:
        """Return what runs have said since the numbers given, and which of them are no longer there."""
        last = runs.last_seqs(self._store, watched)
        behind = {run_id: watched[run_id] for run_id, seq in last.items() if seq > watched[run_id]}
        news = {}
        for run_id, rows in event_log.after_each(self._store, behind, PAGE).items():
            captures = [row.seq for row in rows if row.type == "GeometryCaptured"]
            newest = captures[-1] if captures else None
            news[run_id] = [told(self._store, row, arrays=row.seq == newest) for row in rows]
        return news, watched.keys() - last.keys()

    async def _watch_sqlite(self) -> None:
        version: object = None
        raw = await asyncio.to_thread(self._store.engine.raw_connection)
        generation = self._store.watch.generation

        def data_version() -> object:
            # Outside any transaction, where the number moves with other connections' commits.
            return raw.cursor().execute("PRAGMA data_version").fetchone()[0]

        try:
            while True:
                await asyncio.sleep(POLL_S if self._feeds else 10 * POLL_S)
                try:
                    if self._store.watch.generation != generation:
                        # A copy of the database took its place: this connection is to a file that is gone.
                        renewed = self._store.watch.generation
                        old, raw = raw, await asyncio.to_thread(self._store.engine.raw_connection)
                        generation, version = renewed, None
                        old.close()
                    current = await asyncio.to_thread(data_version)
                    if current != version:
                        await self._refresh(list(self._feeds))
                        version = current
                except Exception as error:
                    log.warning("no news for now: %s", error)
                    await asyncio.sleep(1.0)
        finally:
            raw.close()

    async def _watch_postgresql(self) -> None:
        import psycopg

        address = self._store.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(address, autocommit=True) as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    while True:
                        # What came while nobody listened, and once a second in case a word was lost.
                        await self._refresh(list(self._feeds))
                        heard = {note.payload async for note in connection.notifies(timeout=1.0, stop_after=1)}
                        await self._refresh(heard)
            except (psycopg.Error, *Unreachable) as error:
                log.warning("no news for now: %s", error)
                await asyncio.sleep(1.0)

    async def _watch_callers(self) -> None:
        while True:
            await asyncio.sleep(CHECK_S)
            await self.end_invalid()


class EventStream(Response):
    """The answer that a stream is: it waits for a slow reader a while, and then lets it go."""

    def __init__(self, messages: AsyncIterator[bytes]) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        self._messages = messages
        self.raw_headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]
        self.headers["content-type"] = "text/event-stream; charset=utf-8"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        sending = asyncio.create_task(self._send(send))
        leaving = asyncio.create_task(left(receive))
        done, pending = await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        for task in done:
            task.result()

    async def _send(self, send: Send) -> None:
        try:
            async with contextlib.aclosing(self._messages) as messages:  # type: ignore[type-var]
                async for message in messages:
                    async with asyncio.timeout(PATIENCE_S):
                        await send({"type": "http.response.body", "body": message, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            log.info("a reader took nothing for %.0f s and was let go", PATIENCE_S)
        except OSError:
            pass  # it has left
