"""Identity of a process: pid, start time and boot id, because a pid alone may be reused.

Processes of another machine (two servers may share one PostgreSQL) can only be judged by their heartbeat.
"""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process of this machine, distinguishable from a later one with the same pid."""

    pid: int
    started: str
    boot_id: str

    def is_alive(self) -> bool:
        """Return whether the process is still running; a zombie is not."""
        if self.boot_id != read_boot_id():
            return False
        try:
            process = psutil.Process(self.pid)
            return read_start_time(self.pid) == self.started and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.NoSuchProcess, FileNotFoundError):
            return False

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to the group that the process leads, if it is still running."""
        if self.is_alive():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)


def read_boot_id() -> str:
    """Return an id of the current boot of this machine."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else str(int(psutil.boot_time()))


def read_start_time(pid: int) -> str:
    """Return the start time of a process, on Linux by the kernel's clock, which does not change with the wall clock."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.exists():
        return stat.read_text().rpartition(")")[2].split()[19]
    return f"{psutil.Process(pid).create_time():.2f}"


def read_identity(pid: int) -> ProcessIdentity:
    """Return the identity of a running process."""
    return ProcessIdentity(pid, read_start_time(pid), read_boot_id())


def count_out_of_memory_kills() -> int | None:
    """Return how many processes of our memory cgroup the kernel has killed for lack of memory; None if unknown."""
    for line in _lines(Path("/proc/self/cgroup")):
        number, controllers, group = line.split(":", 2)
        if number == "0":
            counters = Path("/sys/fs/cgroup") / group.lstrip("/") / "memory.events"
        elif "memory" in controllers.split(","):
            counters = Path("/sys/fs/cgroup/memory") / group.lstrip("/") / "memory.oom_control"
        else:
            continue
        for entry in _lines(counters):
            name, _, count = entry.partition(" ")
            if name == "oom_kill":
                return int(count)
    return None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
