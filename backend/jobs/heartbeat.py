"""The heartbeat of a worker: a thread that records every second that it is alive, and reads the user's request.

Events count as heartbeats too, but may be minutes apart. A heartbeat that finds the run owned by another attempt ends
the process at once, because nothing that it would write could be stored.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from backend.store import event_log, run_attempts
from backend.store.database import Store, Unreachable

HEARTBEAT_INTERVAL_S = 1.0
SAMPLE_INTERVAL_S = 10.0
MAX_LOG_BYTES = 8 * 2**20
"""A larger log of a worker is cut to half of this size."""
FENCED_EXIT_STATUS = 3
"""Exit status of a worker whose run belongs to another attempt."""


class Heartbeat:
    """The heartbeat of one attempt; `requested` is the user's latest request (`run`, `pause` or `cancel`)."""

    def __init__(
        self, store: Store, run_id: str, number: int, ran_before_s: float, log_path: Path | None = None
    ) -> None:
        self.requested = "run"
        self._log_path = log_path
        self._store, self._run_id, self._number = store, run_id, number
        self._ran_before_s, self._started = ran_before_s, time.monotonic()
        self._stop = threading.Event()

    def running_s(self) -> float:
        """Return how long the run has been running, over all its attempts."""
        return self._ran_before_s + time.monotonic() - self._started

    def set_requested(self, requested: str) -> str:
        """Store the request that an append returned; return it."""
        self.requested = requested
        return requested

    def stop(self) -> None:
        """Stop the heartbeat: the attempt is about to end, and later requests are ignored."""
        self._stop.set()

    @contextlib.contextmanager
    def running(self) -> Iterator[Heartbeat]:
        """Record heartbeats in a thread until the block is left."""
        thread = threading.Thread(target=self._loop, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.stop()
            thread.join(timeout=5)

    def _loop(self) -> None:
        process = psutil.Process()
        process.cpu_percent()  # the first call only starts the measurement
        sampled_at = time.monotonic()
        while not self._stop.wait(HEARTBEAT_INTERVAL_S):
            if self._log_path is not None:
                with contextlib.suppress(OSError):
                    trim_log(self._log_path, MAX_LOG_BYTES)
            # An unreachable database is handled by the main thread, which waits and logs it.
            with contextlib.suppress(*Unreachable):
                # Nothing is written into a database of another store or of an unknown schema.
                if self._store.watch.inspect():
                    continue
                requested = event_log.record_heartbeat(self._store, self._run_id, self._number, self.running_s())
                if requested is None and not self._stop.is_set():
                    print(f"attempt {self._number} no longer owns run {self._run_id}", file=sys.stderr, flush=True)
                    os._exit(FENCED_EXIT_STATUS)
                if requested is not None:
                    self.requested = requested
                if time.monotonic() - sampled_at >= SAMPLE_INTERVAL_S:
                    sampled_at = time.monotonic()
                    run_attempts.insert_resource_sample(
                        self._store, self._run_id, self._number, run_attempts.sample_process(process)
                    )


def trim_log(path: Path, max_bytes: int) -> None:
    """Cut a log that others append to down to its last `max_bytes / 2`, if it is longer than `max_bytes`."""
    size = path.stat().st_size
    if size <= max_bytes:
        return
    with path.open("r+b") as stream:
        stream.seek(size - max_bytes // 2)
        newest = stream.read(max_bytes // 2)
        stream.seek(0)
        stream.write(b"... earlier lines were left out, the log is kept short ...\n" + newest.partition(b"\n")[2])
        # Processes that append continue at the new end.
        stream.truncate()
