"""The local job engine: one detached process an attempt, and one warm process that has torch imported already.

A worker is the leader of its own session, so that a Ctrl-C or a crash of the server does not reach it; the next server
adopts it by its identity. A warm worker waits on its standard input for one line naming the attempt; the end of that
input (the server is gone) ends it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from backend.jobs.processes import ProcessIdentity, identity_of
from backend.store.database import Store

WARM_DELAY_S = 8.0
"""How long after a launch the next warm worker is started, so that its imports do not slow the first epoch."""

EXIT_WAIT_S = 5.0
"""How long the end of a process that is gone is waited for, to learn how it ended."""

WORKER_ENVIRONMENT = {
    "PYTHONUNBUFFERED": "1",
    # OpenMP threads wait for each other by spinning, which brings training to a halt as soon as a browser wants the
    # same cores; a short spin, then sleep, costs a few percent where they are free.
    "GOMP_SPINCOUNT": "5000",
}


@dataclass(frozen=True, slots=True)
class DataAccess:
    """What workers may read: own files only below `roots` where they are `confined`, and a mirror for downloads."""

    roots: tuple[Path, ...] = ()
    mirror: str | None = None
    confined: bool = False

    memory_bytes: int | None = None
    """How much private memory a worker may have; beyond it an allocation fails, and the run says so."""
    threads: int | None = None
    """How many threads a worker computes with, where several share the processor."""

    def options(self) -> list[str]:
        """Return the worker's command-line options."""
        found = [option for root in self.roots for option in ("--data-root", str(root))]
        found += ["--mirror", self.mirror] if self.mirror else []
        found += ["--memory", str(self.memory_bytes)] if self.memory_bytes else []
        return found + ["--confined"] * self.confined


class WorkerLauncher:
    """Starts workers, and keeps one warm where `warm` is asked for."""

    def __init__(self, store: Store, *, warm: bool, data_access: DataAccess) -> None:
        self._store, self._keep_warm, self._data_access = store, warm, data_access
        self._lock = threading.Lock()
        self._waiting: subprocess.Popen[bytes] | None = None
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._ended: dict[int, int] = {}
        self._timer: threading.Timer | None = None
        self._closed = False

    def warm_up(self) -> None:
        """Start the waiting worker, if one is wanted and none waits."""
        with self._lock:
            if self._closed or not self._keep_warm or (self._waiting and self._waiting.poll() is None):
                return
            self._waiting = self._spawn(["--warm"], stdin=subprocess.PIPE)

    def submit(self, run_id: str, number: int, device: str) -> ProcessIdentity:
        """Run an attempt in a process of its own, the warm one if it waits, and return who that is."""
        with self._lock:
            waiting, self._waiting = self._waiting, None
        process = None
        if waiting is not None and waiting.poll() is None and waiting.stdin is not None:
            try:
                waiting.stdin.write(json.dumps({"run": run_id, "attempt": number, "device": device}).encode() + b"\n")
                waiting.stdin.close()
                process = waiting
            except BrokenPipeError:
                process = None
        if process is None:
            process = self._spawn([run_id, str(number), "--device", device], stdin=subprocess.DEVNULL)
        self._children[process.pid] = process
        if self._keep_warm:
            self._timer = threading.Timer(WARM_DELAY_S, self.warm_up)
            self._timer.daemon = True
            self._timer.start()
        return identity_of(process.pid)

    def reap(self) -> None:
        """Collect children that have ended, so that none stays a zombie."""
        for pid, child in list(self._children.items()):
            status = child.poll()
            if status is not None:
                del self._children[pid]
                self._ended[pid] = status

    def exit_status(self, pid: int) -> int | None:
        """Return how a child of ours ended (a signal as its negative number); None where nobody knows."""
        child = self._children.get(pid)
        if child is not None:
            # A killed process is a zombie already while its last threads end; its status is there when they have.
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=EXIT_WAIT_S)
            self.reap()
        return self._ended.get(pid)

    def close(self) -> None:
        """Let the waiting worker go; running workers go on, without a parent that asks after them."""
        with self._lock:
            self._closed = True
            waiting, self._waiting = self._waiting, None
        if self._timer is not None:
            self._timer.cancel()
        self.reap()
        for child in self._children.values():
            child.returncode = 0  # Python would warn of a process left running; these are meant to go on
        if waiting is not None and waiting.stdin is not None:
            waiting.stdin.close()
            try:
                waiting.wait(timeout=2)
            except subprocess.TimeoutExpired:
                waiting.kill()
                waiting.wait()

    def _spawn(self, arguments: list[str], stdin: int) -> subprocess.Popen[bytes]:
        threads = {"OMP_NUM_THREADS": str(self._data_access.threads)} if self._data_access.threads else {}
        log = (self._store.data_dir / "worker.log").open("ab")
        with log:
            return subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "backend.jobs.worker", "--data", str(self._store.data_dir)),
                    *self._data_access.options(),
                    *arguments,
                ],
                stdin=stdin,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=Path(self._store.data_dir),
                env=WORKER_ENVIRONMENT | threads | os.environ | {"COLLAPSE_DATABASE_URL": self._store.url},
            )
