"""Starts queued runs, watches running ones, and tells what happened when a process is gone.

It holds no truth: every decision is read from the store and made by a conditional update there, so that several
supervisors (a server, a command line) can watch one store, and a restarted one goes on where the last stopped.
"""

from __future__ import annotations

import logging
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from typing import Any, NamedTuple

import sqlalchemy as sa

from backend.jobs.local import LocalEngine, Reading
from backend.jobs.processes import ProcessIdentity
from backend.store import event_log, runs
from backend.store.database import Store
from backend.store.event_log import Entry

log = logging.getLogger("collapse.jobs")

TICK_S = 0.2
CANCEL_GRACE_S = 2.0
KILL_GRACE_S = 5.0
START_GRACE_S = 20.0
MAX_CRASHES = 3


class Attempt(NamedTuple):
    """Which attempt of which run."""

    run_id: str
    number: int


def gpu_slots() -> tuple[str, ...]:
    """Return `cuda:0` … for each GPU that the driver's own tool lists; nothing is imported to find out."""
    if shutil.which("nvidia-smi") is None:
        return ()
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=10, check=False)
    except subprocess.TimeoutExpired:
        return ()
    count = sum(line.startswith("GPU ") for line in listed.stdout.splitlines()) if listed.returncode == 0 else 0
    return tuple(f"cuda:{index}" for index in range(count))


def pick_slot(wanted: str, free: list[str]) -> str | None:
    """Return the free device slot for a config's `device`, or None: `auto` prefers a GPU, `cuda` takes any."""
    gpus = [slot for slot in free if slot.startswith("cuda")]
    if wanted == "auto":
        return gpus[0] if gpus else next(iter(free), None)
    if wanted == "cuda":
        return gpus[0] if gpus else None
    return wanted if wanted in free else None


class Supervisor:
    """One thread that looks at the store five times a second, or when it is nudged."""

    def __init__(self, store: Store, *, warm: bool, only: str | None = None, reading: Reading | None = None) -> None:
        self.store, self._only = store, only
        self.engine = LocalEngine(store, warm=warm, reading=reading or Reading())
        self.slots: tuple[str, ...] = (*gpu_slots(), "cpu")
        self._stop, self._nudge = threading.Event(), threading.Event()
        self._asked: dict[Attempt, float] = {}
        self._unseen: dict[Attempt, float] = {}
        self._thread = threading.Thread(target=self._loop, name="supervisor", daemon=True)

    def start(self) -> None:
        self.engine.warm_up()
        self._thread.start()

    def nudge(self) -> None:
        """Look now: something was queued or cancelled."""
        self._nudge.set()

    def close(self) -> None:
        """Stop watching; running workers go on and are adopted by the next supervisor."""
        self._stop.set()
        self._nudge.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        self.engine.close()

    def _loop(self) -> None:
        while not self._stop.is_set():
            try:
                self.look()
            except (sa.exc.SQLAlchemyError, OSError):
                # A full disk, say, or no process to be had; a run claimed meanwhile counts as a crash: tried again.
                log.exception("the store or a worker could not be reached; trying again")
                self._stop.wait(1.0)
            self._nudge.wait(TICK_S)
            self._nudge.clear()

    def look(self) -> None:
        """One round: who is gone, who is to be stopped, who can start."""
        self.engine.reap()
        attempts = runs.owned_attempts(self.store)
        for row in attempts:
            self._watch(row)
        busy = Counter(row.device for row in attempts)
        free = [slot for slot in self.slots if not busy[slot]]
        for row in runs.queued(self.store):
            if self._only is not None and row.id != self._only:
                continue
            slot = pick_slot(row.config.get("device", "auto"), free)
            if slot is not None and self._start(row.id, slot):
                free.remove(slot)

    def _start(self, run_id: str, slot: str) -> bool:
        number = runs.claim(self.store, run_id, slot)
        if number is None:
            return False
        identity = self.engine.submit(run_id, number, slot)
        runs.record_process(self.store, run_id, number, identity.pid, identity.started, identity.boot_id)
        log.info("run %s attempt %d started on %s, process %d", run_id, number, slot, identity.pid)
        return True

    def _watch(self, row: sa.Row[Any]) -> None:
        key = Attempt(row.run_id, row.number)
        if row.pid is None:
            # Claimed, and its process not yet written down: only a claimer that died leaves it so for long.
            first = self._unseen.setdefault(key, time.monotonic())
            if time.monotonic() - first > START_GRACE_S:
                self._gone(key, row.want)
            return
        identity = ProcessIdentity(row.pid, row.process_started, row.boot_id)
        if not identity.alive():
            self._gone(key, row.want)
        elif row.want == "cancel":
            asked = time.monotonic() - self._asked.setdefault(key, time.monotonic())
            if asked > KILL_GRACE_S:
                identity.signal_group(signal.SIGKILL)
            elif asked > CANCEL_GRACE_S:
                identity.signal_group(signal.SIGTERM)

    def _gone(self, key: Attempt, want: str) -> None:
        """An attempt's process is gone and the run still says running: cancelled, tried again, or failed."""
        self._asked.pop(key, None)
        self._unseen.pop(key, None)
        run_id, number = key
        row = runs.get(self.store, run_id, deleted=True)
        if want == "cancel":
            runs.end(self.store, run_id, number, "cancelled", Entry("RunCancelled", {"epoch": row.epoch}))
            return
        crashes = self._crashes(run_id) + 1
        reason = "the worker process ended without a word (killed, out of memory, or the machine restarted)"
        failed = Entry("AttemptFailed", {"attempt": number, "reason": reason, "tries_left": MAX_CRASHES - crashes})
        if crashes < MAX_CRASHES:
            if runs.end(self.store, run_id, number, "queued", failed):
                log.warning("run %s attempt %d is gone; trying again from its checkpoint", run_id, number)
        else:
            error = f"{reason}, {crashes} times; see the run's worker.log, then retry"
            runs.end(
                self.store, run_id, number, "failed", Entry("RunFailed", {"error": error}), error=error, before=[failed]
            )

    def _crashes(self, run_id: str) -> int:
        """How many attempts crashed since the user last queued the run."""
        queued = event_log.newest(self.store, run_id, "RunQueued")
        return len(event_log.after(self.store, run_id, 0 if queued is None else queued.seq, 100, ["AttemptFailed"]))
