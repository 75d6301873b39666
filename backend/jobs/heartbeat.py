"""A worker's heartbeat: a thread that says every so often that the process is alive, and hears what the user wants.

Events beat too, but may be minutes apart. The beat that finds the run owned by another attempt ends the process at
once, whatever it computes; nothing that it would write later could be stored anyway.
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

from backend.store import event_log, resource_samples
from backend.store.database import Store, Unreachable

HEARTBEAT_INTERVAL_S = 1.0
SAMPLE_INTERVAL_S = 10.0
MAX_LOG_BYTES = 8 * 2**20
"""A worker's log is cut to half of this whenever it grows beyond it."""
FENCED_EXIT_STATUS = 3
"""Exit status of a worker whose run belongs to another attempt."""


class Heartbeat:
    """The heartbeat of one attempt; `want` is what was last heard of the user's wishes."""

    def __init__(
        self, store: Store, run_id: str, number: int, ran_before_s: float, log_path: Path | None = None
    ) -> None:
        self.requested = "run"
        self._log_path = log_path
        self._store, self._run_id, self._number = store, run_id, number
        self._ran_before_s, self._started = ran_before_s, time.monotonic()
        self._stop = threading.Event()

    def running_s(self) -> float:
        """How long the run has run in all its attempts."""
        return self._ran_before_s + time.monotonic() - self._started

    def set_requested(self, requested: str) -> str:
        """Take what an append heard; return it."""
        self.requested = requested
        return requested

    def stop(self) -> None:
        """Beat no more: the attempt is about to end, and whatever is heard from now on means nothing."""
        self._stop.set()

    @contextlib.contextmanager
    def running(self) -> Iterator[Heartbeat]:
        """Beat until the block is left."""
        thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.stop()
            thread.join(timeout=5)

    def _beat(self) -> None:
        process = psutil.Process()
        process.cpu_percent()  # the first call only begins to count
        read = time.monotonic()
        while not self._stop.wait(HEARTBEAT_INTERVAL_S):
            if self._log_path is not None:
                with contextlib.suppress(OSError):
                    trim_log(self._log_path, MAX_LOG_BYTES)
            # A database that is away is the main thread's matter: it waits, and says so.
            with contextlib.suppress(*Unreachable):
                # Of another store, or of a schema that is not known: nothing is written into such a database.
                if self._store.watch.inspect():
                    continue
                requested = event_log.record_heartbeat(self._store, self._run_id, self._number, self.running_s())
                if requested is None and not self._stop.is_set():
                    print(f"attempt {self._number} no longer owns run {self._run_id}", file=sys.stderr, flush=True)
                    os._exit(FENCED_EXIT_STATUS)
                if requested is not None:
                    self.requested = requested
                if time.monotonic() - read >= SAMPLE_INTERVAL_S:
                    read = time.monotonic()
                    resource_samples.insert(
                        self._store, self._run_id, self._number, resource_samples.sample_process(process)
                    )


def trim_log(path: Path, most_bytes: int) -> None:
    """Cut a log that others append to down to its last half, once it is longer than `most_bytes`."""
    size = path.stat().st_size
    if size <= most_bytes:
        return
    with path.open("r+b") as stream:
        stream.seek(size - most_bytes // 2)
        newest = stream.read(most_bytes // 2)
        stream.seek(0)
        stream.write(b"... earlier lines were left out, the log is kept short ...\n" + newest.partition(b"\n")[2])
        # Whoever appends goes on at the new end.
        stream.truncate()
