"""Starts queued runs, watches running ones, and tells what happened when a process is gone or stands still.

It holds no truth: every decision is read from the store and made by a conditional update there, so that several
supervisors (a server, a command line) can watch one store, and a restarted one goes on where the last stopped. What it
remembers are times on its own monotonic clock, which no change of the wall clock moves: since when a heartbeat has not
moved, since when somebody was asked to stop.
"""

from __future__ import annotations

import logging
import shutil
import signal
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import sqlalchemy as sa

from backend.jobs import processes, slots
from backend.jobs.database_monitor import DatabaseMonitor
from backend.jobs.launcher import DataAccess, WorkerLauncher
from backend.jobs.outbox import Outbox
from backend.jobs.processes import ProcessIdentity
from backend.store import run_attempts, run_folders, run_queue, runs
from backend.store.database import Store, Unreachable, reason_of
from backend.store.errors import Fenced
from backend.store.event_log import NewEvent
from backend.store.identity import machine_id
from backend.store.run_attempts import MAX_CRASHES

log = logging.getLogger("collapse.jobs")

TICK_S = 0.2
CANCEL_GRACE_S = 2.0
KILL_GRACE_S = 5.0
START_GRACE_S = 20.0
HANG_S = 60.0
PROBE_S = 1.0
SLOW_PROBE_S = 1.0
OVERTIME_S = 60.0
"""How long after its time limit a worker that did not stop by itself is ended."""
MIN_FREE_BYTES = 2**30
ELSEWHERE_S = 3600.0
"""So long the supervisor of the directory that has a run's files is waited for, before another ends its attempt."""


class AttemptKey(NamedTuple):
    """Which attempt of which run."""

    run_id: str
    number: int


@dataclass(slots=True)
class WatchedAttempt:
    """What is remembered of a running attempt: the last heartbeat, and moments of our own clock."""

    heartbeat: int
    moved: float
    asked: float | None = None


@dataclass(frozen=True, slots=True)
class JobLimits:
    """What the operator allows: runs at once by device, the silence that counts as hanging, the disk to leave free."""

    slots: Mapping[str, int] = field(default_factory=slots.device_capacities)
    hang_s: float = HANG_S
    least_free_bytes: int = MIN_FREE_BYTES


class Supervisor:
    """One thread that looks at the store five times a second, or when it is nudged."""

    def __init__(
        self,
        store: Store,
        *,
        warm: bool,
        only: Collection[str] | None = None,
        data_access: DataAccess | None = None,
        limits: JobLimits | None = None,
    ) -> None:
        self.store, self._only = store, only
        self.launcher = WorkerLauncher(store, warm=warm, data_access=data_access or DataAccess())
        self.limits = limits or JobLimits()
        self._host = machine_id()
        self._stop, self._wake = threading.Event(), threading.Event()
        self._watched: dict[AttemptKey, WatchedAttempt] = {}
        self._probed = time.monotonic()
        self._looked = time.monotonic()
        self._disk_full = False
        self._memory_kills = processes.out_of_memory_kills()
        self.database = DatabaseMonitor(store)
        self._thread = threading.Thread(target=self._loop, name="supervisor", daemon=True)

    @property
    def slots(self) -> tuple[str, ...]:
        """The devices on which runs may start."""
        return tuple(device for device, number in self.limits.slots.items() if number)

    @property
    def is_disk_full(self) -> bool:
        """Whether too little of the disk is free for another run to start."""
        return self._disk_full

    def is_alive(self) -> bool:
        """Whether it has looked at the store of late."""
        return self._thread.is_alive() and time.monotonic() - self._looked < 30

    def start(self) -> None:
        self.database.start()
        self.launcher.warm_up()
        self._thread.start()

    def wake(self) -> None:
        """Look now: something was queued or cancelled."""
        self._wake.set()

    def close(self) -> None:
        """Stop watching; running workers go on and are adopted by the next supervisor."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        self.launcher.close()
        self.database.close()

    def _loop(self) -> None:
        while not self._stop.is_set():
            try:
                self.run_once()
            except Unreachable as error:
                log.warning("the database cannot be reached or written (%s); trying again", reason_of(error))
                self._reset()
                self._stop.wait(1.0)
            except (sa.exc.SQLAlchemyError, OSError):
                # No process to be had, say; a run claimed meanwhile counts as a crash: tried again.
                log.exception("a worker could not be started or watched; trying again")
                self._reset()
                self._stop.wait(1.0)
            self._wake.wait(TICK_S)
            self._wake.clear()

    def run_once(self) -> None:
        """One round: who is gone or stands still, who is to be stopped, who can start."""
        self.launcher.reap()
        attempts = run_attempts.list_running(self.store)
        if attempts:
            self._probe()
        for row in attempts:
            try:
                self._watch(row)
            except Unreachable:
                raise
            except Exception:  # one run holds up no other
                log.exception("run %s attempt %d could not be watched; trying again", row.run_id, row.number)
        running = {AttemptKey(row.run_id, row.number) for row in attempts}
        self._watched = {key: held for key, held in self._watched.items() if key in running}
        open_slots = slots.free_slots(
            self.limits.slots, [row.device for row in attempts if row.host in (None, self._host)]
        )
        if open_slots and not self.database.problem and self._has_room():
            for row in run_queue.list_startable(self.store):
                if self._only is not None and row.id not in self._only:
                    continue
                slot = slots.pick_slot(row.device, open_slots)
                if slot is not None and self._start(row.id, slot):
                    open_slots.remove(slot)
        self._looked = time.monotonic()

    def _has_room(self) -> bool:
        free = shutil.disk_usage(self.store.data_dir).free
        full = free < self.limits.least_free_bytes
        if full != self._disk_full:
            least = self.limits.least_free_bytes / 2**20
            log.warning("%.0f MiB of the disk are free, %.0f are needed: %s", free / 2**20, least, _starts(full))
        self._disk_full = full
        return not full

    def _probe(self) -> None:
        """Write something small once a second: workers cannot beat while the database holds writers up.

        What is slow for us was slow for them; their time begins again then.
        """
        before = time.monotonic()
        if before - self._probed < PROBE_S:
            return
        run_queue.write_probe(self.store)
        self._probed = time.monotonic()
        if self._probed - before > SLOW_PROBE_S or before - self._looked > SLOW_PROBE_S + TICK_S + PROBE_S:
            self._reset()

    def _reset(self) -> None:
        for held in self._watched.values():
            held.moved = time.monotonic()

    def _start(self, run_id: str, slot: str) -> bool:
        number = run_attempts.claim(self.store, run_id, slot)
        if number is None:
            return False
        identity = self.launcher.submit(run_id, number, slot)
        run_attempts.record_process(
            self.store,
            run_id,
            number,
            pid=identity.pid,
            process_started=identity.started,
            boot_id=identity.boot_id,
            host=self._host,
        )
        log.info("run %s attempt %d started on %s, process %d", run_id, number, slot, identity.pid)
        return True

    def _watch(self, row: sa.Row[Any]) -> None:
        key, now = AttemptKey(row.run_id, row.number), time.monotonic()
        held = self._watched.setdefault(key, WatchedAttempt(row.heartbeat, now))
        if row.heartbeat != held.heartbeat:
            held.heartbeat, held.moved = row.heartbeat, now
        still = now - held.moved
        if row.pid is None:
            # Claimed, and its process not yet written down: only a claimer that died leaves it so for long.
            if still > START_GRACE_S:
                self._gone(key, row, "no worker process could be started")
            return
        identity = ProcessIdentity(row.pid, row.process_started, row.boot_id)
        if row.host not in (None, self._host):
            # Another machine's process: that machine's supervisor sees more, and this one only the heartbeat.
            elsewhere = run_folders.is_elsewhere(self.store, row.run_id)
            if still > (ELSEWHERE_S if elsewhere else 3 * self.limits.hang_s):
                self._gone(key, row, f"the worker on another machine gave no sign for {still:.0f} s")
        elif not identity.is_alive() and run_folders.is_elsewhere(self.store, row.run_id):
            # Another directory's supervisor sees what the worker kept there; this one waits for long.
            if still > ELSEWHERE_S:
                self._gone(key, row, f"the worker of another data directory gave no sign for {still:.0f} s")
        elif not identity.is_alive():
            self._deliver(key)
            self._gone(key, row, self._how_it_ended(row.pid))
        elif row.want == "cancel":
            held.asked = held.asked or now
            if now - held.asked > KILL_GRACE_S:
                identity.signal_group(signal.SIGKILL)
            elif now - held.asked > CANCEL_GRACE_S:
                identity.signal_group(signal.SIGTERM)
        elif still > self.limits.hang_s:
            outbox = Outbox(self.store, *key)
            if outbox.grew_within(self.limits.hang_s):
                return  # it goes on, and keeps what the database does not take from it
            if outbox.is_empty():
                # Fenced first: whatever that process still does, it changes nothing.
                self._gone(key, row, f"the worker process gave no sign for {still:.0f} s and was ended")
            # Where it has kept something, that is delivered when the process is gone.
            identity.signal_group(signal.SIGKILL)
        elif row.time_limit_s is not None and row.running_s > row.time_limit_s + OVERTIME_S:
            error = f"the time limit of {row.time_limit_s:g} s is used up and the worker did not stop by itself"
            run_attempts.end(self.store, row.run_id, row.number, NewEvent("RunFailed", {"error": error}), error=error)
            identity.signal_group(signal.SIGKILL)

    def _deliver(self, key: AttemptKey) -> None:
        """Store what a worker that is gone could not: the database was away. It may hold the end of the attempt."""
        outbox = Outbox(self.store, key.run_id, key.number)
        if outbox.is_empty():
            return
        try:
            outbox.deliver()
        except (Fenced, ValueError, TypeError, KeyError, OSError) as error:
            log.warning("what run %s attempt %d kept cannot be stored (%s); the file is left", *key, error)
        else:
            log.info("run %s attempt %d: what its worker could not store is stored now", *key)

    def _how_it_ended(self, pid: int) -> str:
        status = self.launcher.exit_status(pid)
        before, self._memory_kills = self._memory_kills, processes.out_of_memory_kills()
        if status in (None, -signal.SIGKILL) and (self._memory_kills or 0) > (before or 0):
            return "out of memory: the system killed the worker process; set a smaller batch_size or backbone"
        if status == -signal.SIGKILL:
            return "the worker process was killed (by somebody, or by the system because memory ran out)"
        if status is not None and status < 0:
            return f"the worker process was ended by signal {-status} ({signal.strsignal(-status)})"
        if status:
            return f"the worker process ended with status {status}; the run's log says why"
        return "the worker process ended without a word (killed, out of memory, or the machine restarted)"

    def _gone(self, key: AttemptKey, row: sa.Row[Any], reason: str) -> None:
        """An attempt's process is gone and the run still says running: cancelled, paused, tried again, or failed."""
        run_id, number = key
        epoch = runs.get(self.store, run_id, deleted=True).epoch
        if row.want == "cancel":
            run_attempts.end(self.store, run_id, number, NewEvent("RunCancelled", {"epoch": epoch}))
            return
        crashes = run_attempts.count_crashes(self.store, run_id) + 1
        failed = NewEvent("AttemptFailed", {"attempt": number, "reason": reason, "tries_left": MAX_CRASHES - crashes})
        if row.want == "pause":
            paused = NewEvent("Paused", {"epoch": epoch})
            run_attempts.end(self.store, run_id, number, paused, before=[failed], outcome=reason)
        elif crashes < MAX_CRASHES:
            if run_attempts.end(self.store, run_id, number, failed, outcome=reason):
                log.warning("run %s attempt %d: %s; trying again from its checkpoint", run_id, number, reason)
        else:
            error = f"{reason}, {crashes} times; see the run's log, then retry"
            run_attempts.end(
                self.store,
                run_id,
                number,
                NewEvent("RunFailed", {"error": error}),
                error=error,
                before=[failed],
            )


def _starts(full: bool) -> str:
    return "no further run starts until there is space again" if full else "queued runs start again"
