"""The event stream: replay from any sequence number, then live, over one query, without loss or duplicates.

For each run with subscribers the hub keeps a *feed*: its newest events, encoded once for all subscribers, bounded in
bytes. A subscriber is sent what follows its last sequence number from the feed or, if it is further behind, from the
store. Notifications are only hints (SQLite's `data_version`, which changes when another connection commits;
PostgreSQL's NOTIFY); after one, the hub reads each feed's run once, however many subscribers there are.

Writes are paced: one per `BATCH_S` and subscriber on average, of which one may be early, so that events at that very
rate are not delayed by jitter. A write is at most `CHUNK_BYTES` plus one event. A subscriber that accepts nothing for
`STALL_TIMEOUT_S` is disconnected, and can reconnect with its last sequence number. The newest capture's arrays are
sent along, older ones by `href`.
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
from starlette.types import Send

from backend.api.downloads import STALL_TIMEOUT_S, LongResponse, send_chunk
from backend.api.run_views import event_to_json
from backend.api.security.authenticator import RECHECK_S
from backend.api.security.permissions import Caller
from backend.api.views import read_typed_arrays
from backend.store import event_log, runs
from backend.store.database import CHANNEL, Store, Unreachable
from backend.store.errors import CollapseError

log = logging.getLogger("collapse.stream")

SQLITE_POLL_S = 0.02
BATCH_S = 0.1
HEARTBEAT_S = 15.0
PAGE_EVENTS = 500
CHUNK_BYTES = 2**20
FEED_BYTES = 2**21
DELETED = b"deleted"
"""Type of the event, without an id, that announces the deletion of a streamed run."""


@dataclass(slots=True)
class EncodedEvent:
    """An event encoded as JSON, without arrays and, for a capture, with them."""

    seq: int
    type: bytes
    without_arrays: bytes
    with_arrays: bytes | None = None

    def message(self, run_id: str, *, multiplexed: bool, with_arrays: bool) -> bytes:
        number = f"{run_id}:{self.seq}".encode() if multiplexed else b"%d" % self.seq
        return b"event: %b\nid: %b\ndata: %b\n\n" % (
            self.type,
            number,
            self.with_arrays if with_arrays and self.with_arrays else self.without_arrays,
        )


def encode_event(store: Store, row: sa.Row[Any], *, arrays: bool) -> EncodedEvent:
    """Encode an event; `arrays` includes a capture's arrays."""
    content = event_to_json(row)
    encoded = EncodedEvent(row.seq, row.type.encode(), orjson.dumps(content))
    if arrays and row.type == "GeometryCaptured":
        try:
            typed = read_typed_arrays(store, row.run_id, row.payload["step"])
        except CollapseError as error:
            # A damaged file must not stop the stream: the event is sent without arrays, and `href` gives the error.
            log.warning("%s", error)
            return encoded
        content["arrays"] = {name: array.model_dump() for name, array in typed.items()}
        encoded.with_arrays = orjson.dumps(content)
    return encoded


@dataclass(slots=True)
class Subscriber:
    """One open stream: its position in each run, its wake-up event and its caller."""

    cursors: dict[str, int]
    caller: Caller
    wake_up: asyncio.Event = field(default_factory=asyncio.Event)
    deleted: set[str] = field(default_factory=set)
    """Runs that were deleted since the stream began."""
    is_ended: bool = False
    """The caller's token or session is no longer valid."""


class Feed:
    """The newest events of one run, encoded once; the oldest are dropped beyond FEED_BYTES."""

    def __init__(self, last_seq: int) -> None:
        self.subscribers: list[Subscriber] = []
        self.last_seq = last_seq
        self._events: deque[EncodedEvent] = deque()
        self._bytes = 0
        self._chunks: dict[tuple[int, bool], tuple[bytes, int]] = {}

    def push(self, events: Iterable[EncodedEvent]) -> None:
        """Append events and wake the subscribers; only the newest capture keeps its arrays."""
        for event in events:
            if event.with_arrays is not None:
                for earlier in self._events:
                    if earlier.with_arrays is not None:
                        self._bytes -= len(earlier.with_arrays)
                        earlier.with_arrays = None
            self._events.append(event)
            self._bytes += len(event.without_arrays) + len(event.with_arrays or b"")
            self.last_seq = event.seq
        while self._bytes > FEED_BYTES and len(self._events) > 1:
            dropped = self._events.popleft()
            self._bytes -= len(dropped.without_arrays) + len(dropped.with_arrays or b"")
        self._chunks.clear()
        for subscriber in self.subscribers:
            subscriber.wake_up.set()

    def chunk_after(self, run_id: str, seq: int, *, multiplexed: bool) -> tuple[bytes, int] | None:
        """Return the events after `seq` as one chunk, and its last number; None if the feed starts later."""
        if seq >= self.last_seq:
            return b"", seq
        if not self._events or self._events[0].seq > seq + 1:
            return None
        chunk = self._chunks.get((seq, multiplexed))
        if chunk is None:
            events = [event for event in self._events if event.seq > seq]
            chunk = self._chunks[(seq, multiplexed)] = _join(run_id, events, multiplexed=multiplexed)
        return chunk


def _join(run_id: str, events: list[EncodedEvent], *, multiplexed: bool) -> tuple[bytes, int]:
    parts: list[bytes] = []
    size, last = 0, events[0].seq
    for event in events:
        message = event.message(run_id, multiplexed=multiplexed, with_arrays=True)
        if parts and size + len(message) > CHUNK_BYTES:
            break
        parts.append(message)
        size, last = size + len(message), event.seq
    return b"".join(parts), last


class StreamHub:
    """All open streams of one server, and the task that reads new events for them."""

    def __init__(self, store: Store, ended: Callable[[Iterable[Caller]], Awaitable[set[Caller]]]) -> None:
        self._store, self._ended = store, ended
        self._feeds: dict[str, Feed] = {}
        self._subscribers: dict[int, Subscriber] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.closing = False

    async def __aenter__(self) -> StreamHub:
        watch = self._watch_sqlite if self._store.is_sqlite else self._watch_postgresql
        self._tasks = [asyncio.create_task(watch()), asyncio.create_task(self._end_invalid_periodically())]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def viewers(self) -> int:
        """How many streams are open."""
        return len(self._subscribers)

    def close(self) -> None:
        """End all streams, for the server's shutdown."""
        self.closing = True
        for subscriber in self._subscribers.values():
            subscriber.wake_up.set()

    async def end_invalid(self) -> None:
        """End the streams of tokens and sessions that are revoked, logged out or expired."""
        subscribers = list(self._subscribers.values())
        if not subscribers:
            return
        ended = await self._ended({subscriber.caller for subscriber in subscribers})
        for subscriber in subscribers:
            if subscriber.caller in ended:
                subscriber.is_ended = True
                subscriber.wake_up.set()

    def _drop_deleted(self, subscriber: Subscriber) -> bytes:
        """Unsubscribe from deleted runs; return the events that announce it."""
        dropped = sorted(subscriber.deleted & subscriber.cursors.keys())
        for run_id in dropped:
            del subscriber.cursors[run_id]
            self._unsubscribe(subscriber, run_id)
        return b"".join(b"event: %b\ndata: %b\n\n" % (DELETED, orjson.dumps({"run": run_id})) for run_id in dropped)

    def _unsubscribe(self, subscriber: Subscriber, run_id: str) -> None:
        feed = self._feeds.get(run_id)
        if feed is not None and subscriber in feed.subscribers:
            feed.subscribers.remove(subscriber)
            if not feed.subscribers:
                del self._feeds[run_id]

    @contextlib.asynccontextmanager
    async def _subscribed(self, subscriber: Subscriber) -> AsyncIterator[None]:
        self._subscribers[id(subscriber)] = subscriber
        try:
            last = await asyncio.to_thread(runs.read_last_seqs, self._store, subscriber.cursors)
            subscriber.deleted = subscriber.cursors.keys() - last.keys()
            for run_id, seq in last.items():
                self._feeds.setdefault(run_id, Feed(seq)).subscribers.append(subscriber)
            yield
        finally:
            del self._subscribers[id(subscriber)]
            for run_id in subscriber.cursors:
                self._unsubscribe(subscriber, run_id)

    async def follow(self, cursors: dict[str, int], *, multiplexed: bool, caller: Caller) -> AsyncIterator[bytes]:
        """Yield server-sent events after each run's cursor; comments keep an idle connection alive."""
        subscriber = Subscriber(cursors, caller)
        async with self._subscribed(subscriber):
            yield b"retry: 1000\n\n"
            due = 0.0
            while not (self.closing or subscriber.is_ended):
                subscriber.wake_up.clear()
                if dropped := self._drop_deleted(subscriber):
                    yield dropped
                if not subscriber.cursors:
                    break
                chunk, more = await self._next_chunk(subscriber, multiplexed)
                if chunk:
                    yield chunk
                    due = max(due, time.monotonic()) + BATCH_S
                if more:
                    continue
                try:
                    # Not `wait_for`, which swallows a cancellation that arrives together with the wake-up.
                    async with asyncio.timeout(HEARTBEAT_S):
                        await subscriber.wake_up.wait()
                except TimeoutError:
                    yield b": keep-alive\n\n"
                # Delay the next write; events that arrive meanwhile are sent with it.
                await asyncio.sleep(max(0.0, due - BATCH_S - time.monotonic()))

    async def _next_chunk(self, subscriber: Subscriber, multiplexed: bool) -> tuple[bytes, bool]:
        """Return the next chunk, advancing the cursors, and whether more can be sent immediately."""
        parts, size, more = [], 0, False
        for run_id, seq in subscriber.cursors.items():
            if size >= CHUNK_BYTES:
                more = True
                break
            feed = self._feeds[run_id]
            chunk_and_seq = feed.chunk_after(run_id, seq, multiplexed=multiplexed)
            if chunk_and_seq is None:
                chunk_and_seq = await asyncio.to_thread(self._read_chunk, run_id, seq, multiplexed)
            chunk, subscriber.cursors[run_id] = chunk_and_seq
            parts.append(chunk)
            size += len(chunk)
            more |= subscriber.cursors[run_id] < feed.last_seq
        return b"".join(parts), more

    def _read_chunk(self, run_id: str, seq: int, multiplexed: bool) -> tuple[bytes, int]:
        rows = event_log.list_events(self._store, run_id, seq, PAGE_EVENTS)
        if not rows:
            return b"", seq
        captures = [row.seq for row in rows if row.type == "GeometryCaptured"]
        newest = captures[-1] if captures and len(rows) < PAGE_EVENTS else None
        return _join(
            run_id, [encode_event(self._store, row, arrays=row.seq == newest) for row in rows], multiplexed=multiplexed
        )

    # ── new events ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _update_feeds(self, run_ids: Iterable[str]) -> None:
        watched = {run_id: self._feeds[run_id].last_seq for run_id in run_ids if run_id in self._feeds}
        while watched:
            new, deleted = await asyncio.to_thread(self._read_new, watched)
            for run_id, events in new.items():
                if run_id in self._feeds:
                    self._feeds[run_id].push(event for event in events if event.seq > self._feeds[run_id].last_seq)
            for run_id in deleted & self._feeds.keys():
                for subscriber in self._feeds[run_id].subscribers:
                    subscriber.deleted.add(run_id)
                    subscriber.wake_up.set()
            # After a full page there may be more, and no notification of it.
            watched = {run_id: events[-1].seq for run_id, events in new.items() if len(events) == PAGE_EVENTS}

    def _read_new(self, watched: dict[str, int]) -> tuple[dict[str, list[EncodedEvent]], set[str]]:
        """Return the events after the given numbers, and the runs that no longer exist."""
        last = runs.read_last_seqs(self._store, watched)
        behind = {run_id: watched[run_id] for run_id, seq in last.items() if seq > watched[run_id]}
        new = {}
        for run_id, rows in event_log.list_events_of_runs(self._store, behind, PAGE_EVENTS).items():
            captures = [row.seq for row in rows if row.type == "GeometryCaptured"]
            newest = captures[-1] if captures else None
            new[run_id] = [encode_event(self._store, row, arrays=row.seq == newest) for row in rows]
        return new, watched.keys() - last.keys()

    async def _watch_sqlite(self) -> None:
        version: object = None
        raw = await asyncio.to_thread(self._store.engine.raw_connection)
        generation = self._store.watch.generation

        def data_version() -> object:
            # Read outside any transaction: only there does the number change with other connections' commits.
            return raw.cursor().execute("PRAGMA data_version").fetchone()[0]

        try:
            while True:
                await asyncio.sleep(SQLITE_POLL_S if self._feeds else 10 * SQLITE_POLL_S)
                try:
                    if self._store.watch.generation != generation:
                        # The database file was replaced: this connection still reads the old file.
                        renewed = self._store.watch.generation
                        old, raw = raw, await asyncio.to_thread(self._store.engine.raw_connection)
                        generation, version = renewed, None
                        old.close()
                    current = await asyncio.to_thread(data_version)
                    if current != version:
                        await self._update_feeds(list(self._feeds))
                        version = current
                except Exception as error:
                    log.warning("new events cannot be read: %s", error)
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
                        # Events from before LISTEN, and once a second in case a notification was lost.
                        await self._update_feeds(list(self._feeds))
                        notified = {note.payload async for note in connection.notifies(timeout=1.0, stop_after=1)}
                        await self._update_feeds(notified)
            except (psycopg.Error, *Unreachable) as error:
                log.warning("new events cannot be read: %s", error)
                await asyncio.sleep(1.0)

    async def _end_invalid_periodically(self) -> None:
        while True:
            await asyncio.sleep(RECHECK_S)
            await self.end_invalid()


class EventStream(LongResponse):
    """A response of server-sent events that disconnects a client which accepts nothing for STALL_TIMEOUT_S."""

    def __init__(self, messages: AsyncIterator[bytes]) -> None:
        super().__init__(
            media_type="text/event-stream", headers={"cache-control": "no-store", "x-accel-buffering": "no"}
        )
        self._messages = messages

    async def send_body(self, send: Send) -> None:
        """Send the messages until they end."""
        try:
            async with contextlib.aclosing(self._messages) as messages:  # type: ignore[type-var]
                async for message in messages:
                    await send_chunk(send, message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            log.info("a client accepted nothing for %.0f s and was disconnected", STALL_TIMEOUT_S)
        except OSError:
            pass  # the client has disconnected
