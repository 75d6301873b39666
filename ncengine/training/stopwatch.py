"""Time and memory of each phase of a training step: data, forward, head, backward, optimiser.

On a CPU a phase ends when its call returns. On a GPU calls return before the work is done, so marks are events on the
device's stream, which are read in `take` only: training does not wait for them.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable

import torch


class Stopwatch:
    """Adds the time since the previous mark to a phase."""

    def __init__(self, device: torch.device, clock: Callable[[], float]) -> None:
        self._device, self._clock = device, clock
        self._on_gpu = device.type == "cuda"
        self._seconds: dict[str, float] = {}
        self._marks: list[tuple[str | None, torch.cuda.Event]] = []
        self._memory_bytes: dict[str, int] = {}
        self._last = clock()
        self.start()

    def start(self) -> None:
        """Start here: the time before belongs to no phase."""
        if self._on_gpu:
            self._marks.append((None, self._event()))
            torch.cuda.reset_peak_memory_stats(self._device)
        else:
            self._last = self._clock()

    def mark(self, phase: str) -> None:
        """Add the time since the last mark to `phase`."""
        if self._on_gpu:
            self._marks.append((phase, self._event()))
            peak = torch.cuda.max_memory_allocated(self._device)
            self._memory_bytes[phase] = max(peak, self._memory_bytes.get(phase, 0))
            torch.cuda.reset_peak_memory_stats(self._device)
        else:
            now = self._clock()
            self._seconds[phase] = self._seconds.get(phase, 0.0) + now - self._last
            self._last = now

    def take(self) -> tuple[dict[str, float], dict[str, int]]:
        """Return the seconds of each phase since the last call, and its peak memory in bytes.

        Memory is that of the device by phase on a GPU, and the peak of the whole process on a CPU.
        """
        if self._on_gpu:
            torch.cuda.synchronize(self._device)
            for (_, before), (phase, after) in zip(self._marks, self._marks[1:], strict=False):
                if phase is not None:
                    self._seconds[phase] = self._seconds.get(phase, 0.0) + before.elapsed_time(after) / 1e3
            self._marks = self._marks[-1:]
        else:
            unit = 1 if sys.platform == "darwin" else 1024
            self._memory_bytes = {"process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
        seconds, self._seconds = self._seconds, {}
        memory, self._memory_bytes = self._memory_bytes, {}
        return seconds, memory

    def _event(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event
