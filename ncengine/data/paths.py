"""The directory of downloaded data sets, a download mirror and a clock, as arguments of a run; progress reports."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ncengine.events import DataProgressed

REPORT_EVERY_S = 1.0


@dataclass(frozen=True)
class DataPaths:
    """Locations of data, and a clock.

    `directory` contains one folder for each downloadable data set; without it nothing is downloaded. `mirror` is the
    address of a folder with the same files, used instead of the publishers' hosts. The clock, in seconds, affects
    reported times only.
    """

    directory: Path | None = None
    mirror: str | None = None
    clock: Callable[[], float] = time.perf_counter


class ProgressReporter:
    """Reports progress as events, at most one a second, with an estimate of the time left."""

    def __init__(self, what: str, unit: str, total: int | None, clock: Callable[[], float], done: int = 0) -> None:
        self._what, self._unit, self._total, self._clock = what, unit, total, clock
        self._first, self._started = done, clock()
        self._reported = float("-inf")

    def at(self, done: int) -> list[DataProgressed]:
        """Return an event for `done` of the total, or nothing within a second of the last one."""
        now = self._clock()
        if now - self._reported < REPORT_EVERY_S and done != self._total:
            return []
        self._reported = now
        remaining = None
        if self._total is not None and done > self._first:
            remaining = (now - self._started) / (done - self._first) * (self._total - done)
        return [DataProgressed(what=self._what, unit=self._unit, done=done, total=self._total, remaining_s=remaining)]
