"""What a run needs of the place it runs in: a directory for downloaded sets, a mirror, a clock; all are arguments."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ncengine.events import DataProgressed

REPORT_EVERY_S = 1.0


@dataclass(frozen=True)
class DataPaths:
    """Where a run finds its data, and the clock by which it says how long things take.

    `directory` holds one folder for each downloadable set; without it nothing is downloaded. `mirror` is the address of
    a folder with the same files, asked instead of the sets' own hosts. The clock, in seconds, changes no number but
    reported times.
    """

    directory: Path | None = None
    mirror: str | None = None
    clock: Callable[[], float] = time.perf_counter


class ProgressReporter:
    """Turns a count into events, at most one a second, with an estimate of the time left."""

    def __init__(self, what: str, unit: str, total: int | None, clock: Callable[[], float], done: int = 0) -> None:
        self._what, self._unit, self._total, self._clock = what, unit, total, clock
        self._first, self._started = done, clock()
        self._reported = float("-inf")

    def at(self, done: int) -> list[DataProgressed]:
        """Return an event for `done` of the total, or nothing where the last one is recent."""
        now = self._clock()
        if now - self._reported < REPORT_EVERY_S and done != self._total:
            return []
        self._reported = now
        remaining = None
        if self._total is not None and done > self._first:
            remaining = (now - self._started) / (done - self._first) * (self._total - done)
        return [DataProgressed(what=self._what, unit=self._unit, done=done, total=self._total, remaining_s=remaining)]
