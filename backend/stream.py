"""Live is replay plus tail over one query: what an EventSource hears, from any point, without loss or doubles.

Wake-ups are only hints: SQLite's `data_version` on a connection of its own (it changes when anybody else commits), or a
short timer elsewhere. After each, every viewer asks the store for what follows its own last number. Messages are
batched to one write per `BATCH_S` and viewer on average: a write may come early once, so that events at that very pace
are not held back by each other's jitter. The newest capture's arrays are sent along, older ones by `href`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import orjson

from backend.store import event_log
from backend.store.database import Store
from backend.views import event_json, typed_arrays

POLL_S = 0.02
BATCH_S = 0.1
HEARTBEAT_S = 15.0
PAGE = 500


class Wakeups:
    """Tells all viewers that the store may have changed. One task, one connection, however many viewers."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changed = asyncio.Event()
        self._viewers = 0
        self._task: asyncio.Task[None] | None = None
        self.closing = False

    async def __aenter__(self) -> Wakeups:
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def close(self) -> None:
        """End all streams: the server is going."""
        self.closing = True
        self._changed.set()

    def joined(self) -> None:
        self._viewers += 1

    def left(self) -> None:
        self._viewers -= 1

    def next_change(self) -> asyncio.Event:
        """Return the event that the next change will set; take it before reading, so that nothing falls between."""
        return self._changed

    async def _watch(self) -> None:
        version: object = None
        raw = self._store.engine.raw_connection() if self._store.is_sqlite else None
        try:
            while True:
                await asyncio.sleep(POLL_S if self._viewers else 10 * POLL_S)
                # Outside any transaction, where the number moves with other connections' commits.
                current = object() if raw is None else raw.cursor().execute("PRAGMA data_version").fetchone()[0]
                if current != version:
                    version = current
                    changed, self._changed = self._changed, asyncio.Event()
                    changed.set()
        finally:
            if raw is not None:
                raw.close()


async def follow(store: Store, wakeups: Wakeups, cursors: dict[str, int], *, several: bool) -> AsyncIterator[bytes]:
    """Yield server-sent events that follow each run's cursor, for ever; comments keep an idle connection alive."""
    wakeups.joined()
    try:
        yield b"retry: 1000\n\n"
        due = 0.0
        while not wakeups.closing:
            change = wakeups.next_change()
            chunk, more = await asyncio.to_thread(_read, store, cursors, several)
            if chunk:
                yield chunk
                due = max(due, time.monotonic()) + BATCH_S
            if more:
                continue
            try:
                await asyncio.wait_for(change.wait(), HEARTBEAT_S)
            except TimeoutError:
                yield b": still here\n\n"
            # Hold the next write back, and let what comes meanwhile ride along.
            await asyncio.sleep(max(0.0, due - BATCH_S - time.monotonic()))
    finally:
        wakeups.left()


def _read(store: Store, cursors: dict[str, int], several: bool) -> tuple[bytes, bool]:
    """Read what follows the cursors, move them, and return it as one chunk and whether there is more at once."""
    parts, more = [], False
    for run_id, seq in cursors.items():
        rows = event_log.after(store, run_id, seq, PAGE)
        if not rows:
            continue
        full = len(rows) == PAGE
        more |= full
        captures = [row.seq for row in rows if row.type == "GeometryCaptured"]
        newest = None if full or not captures else captures[-1]
        for row in rows:
            content = event_json(row)
            if row.seq == newest:
                arrays = typed_arrays(store, run_id, row.payload["step"])
                content["arrays"] = {name: array.model_dump() for name, array in arrays.items()}
            number = f"{run_id}:{row.seq}" if several else str(row.seq)
            parts.append(
                b"event: %b\nid: %b\ndata: %b\n\n" % (row.type.encode(), number.encode(), orjson.dumps(content))
            )
        cursors[run_id] = rows[-1].seq
    return b"".join(parts), more
