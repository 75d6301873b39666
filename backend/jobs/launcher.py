"""Start workers as local processes: one detached process per attempt, and one warm process that has imported torch.

A worker leads its own session, so that Ctrl-C or a crash of the server does not reach it; the next server adopts it by
its identity. A warm worker waits for one line on standard input that names the attempt, and exits at the end of input
(the server has ended).
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

from backend.jobs.processes import ProcessIdentity, read_identity
from backend.store.database import Store

WARM_DELAY_S = 8.0
"""Delay of the next warm worker after a launch, so that its imports do not slow down the first epoch."""

EXIT_WAIT_S = 5.0
"""How long to wait for the exit status of a process that is ending."""

WORKER_ENVIRONMENT = {
    "PYTHONUNBUFFERED": "1",
    # OpenMP threads spin while they wait for each other, which stalls training when a browser needs the same cores. A
    # short spin followed by sleep costs a few percent on free cores.
    "GOMP_SPINCOUNT": "5000",
}


@dataclass(frozen=True, slots=True)
class DataAccess:
    """Where workers may read data (only below `roots` if `confined`), a mirror for downloads, and resource limits."""

    roots: tuple[Path, ...] = ()
    mirror: str | None = None
    confined: bool = False

    memory_bytes: int | None = None
    """Limit of a worker's private memory; an allocation beyond it fails the run with a message."""
    threads: int | None = None
    """Number of compute threads of a worker, where several workers share the CPU."""

    def options(self) -> list[str]:
        """Return these settings as command-line options of the worker."""
        options = [option for root in self.roots for option in ("--data-root", str(root))]
        options += ["--mirror", self.mirror] if self.mirror else []
        options += ["--memory", str(self.memory_bytes)] if self.memory_bytes else []
        return options + ["--confined"] * self.confined


class WorkerLauncher:
    """Starts worker processes; with `warm` it keeps one started in advance."""

    def __init__(self, store: Store, *, warm: bool, data_access: DataAccess) -> None:
        self._store, self._keep_warm, self._data_access = store, warm, data_access
        self._lock = threading.Lock()
        self._waiting: subprocess.Popen[bytes] | None = None
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._ended: dict[int, int] = {}
        self._timer: threading.Timer | None = None
        self._closed = False

    def warm_up(self) -> None:
        """Start the warm worker, if it is enabled and none is waiting."""
        with self._lock:
            if self._closed or not self._keep_warm or (self._waiting and self._waiting.poll() is None):
                return
            self._waiting = self._spawn(["--warm"], stdin=subprocess.PIPE)

    def submit(self, run_id: str, number: int, device: str) -> ProcessIdentity:
        """Start an attempt in the warm worker, if there is one, or in a new process; return its identity."""
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
        return read_identity(process.pid)

    def reap(self) -> None:
        """Collect the exit status of children that have ended, so that none stays a zombie."""
        for pid, child in list(self._children.items()):
            status = child.poll()
            if status is not None:
                del self._children[pid]
                self._ended[pid] = status

    def exit_status(self, pid: int) -> int | None:
        """Return the exit status of a child (the negative number of a signal), or None where it is not known."""
        child = self._children.get(pid)
        if child is not None:
            # A killed process is a zombie until its last thread has ended; its status is available then.
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=EXIT_WAIT_S)
            self.reap()
        return self._ended.get(pid)

    def close(self) -> None:
        """End the warm worker; running workers go on without this process."""
        with self._lock:
            self._closed = True
            waiting, self._waiting = self._waiting, None
        if self._timer is not None:
            self._timer.cancel()
        self.reap()
        for child in self._children.values():
            child.returncode = 0  # suppresses Python's warning about running processes, which are meant to go on
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
