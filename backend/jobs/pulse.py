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

import psutil

from backend.store import event_log, readings
from backend.store.database import Store, Unreachable

BEAT_S = 1.0
READING_S = 10.0
FENCED = 3
"""Exit status of a worker whose run belongs to another attempt."""


class Pulse:
    """The heartbeat of one attempt; `want` is what was last heard of the user's wishes."""

    def __init__(self, store: Store, run_id: str, number: int, ran_before_s: float) -> None:
        self.want = "run"
        self._store, self._run_id, self._number = store, run_id, number
        self._ran_before_s, self._started = ran_before_s, time.monotonic()
        self._stop = threading.Event()

    def running_s(self) -> float:
        """How long the run has run in all its attempts."""
        return self._ran_before_s + time.monotonic() - self._started

    def hear(self, want: str) -> str:
        """Take what an append heard; return it."""
        self.want = want
        return want

    def rest(self) -> None:
        """Beat no more: the attempt is about to end, and whatever is heard from now on means nothing."""
        self._stop.set()

    @contextlib.contextmanager
    def beating(self) -> Iterator[Pulse]:
        """Beat until the block is left."""
        thread = threading.Thread(target=self._beat, name="pulse", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.rest()
            thread.join(timeout=5)

    def _beat(self) -> None:
        process = psutil.Process()
        process.cpu_percent()  # the first call only begins to count
        read = time.monotonic()
        while not self._stop.wait(BEAT_S):
            # A database that is away is the main thread's matter: it waits, and says so.
            with contextlib.suppress(*Unreachable):
                want = event_log.beat(self._store, self._run_id, self._number, self.running_s())
                if want is None and not self._stop.is_set():
                    print(f"attempt {self._number} no longer owns run {self._run_id}", file=sys.stderr, flush=True)
                    os._exit(FENCED)
                if want is not None:
                    self.want = want
                if time.monotonic() - read >= READING_S:
                    read = time.monotonic()
                    readings.add(self._store, self._run_id, self._number, readings.of_process(process))
