"""Start queued runs, watch running ones, and record how an attempt ended whose process has ended or hangs.

The state is in the store: every decision is a conditional update there, so that several supervisors (a server, a
command line) can watch one store, and a restarted one continues. A supervisor keeps only times of its own monotonic
clock, which is independent of the wall clock: since when a heartbeat has not changed, and since when a worker was asked
to stop.
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
from backend.store.identity import read_machine_id
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
"""How long after its time limit a worker is killed if it did not stop by itself."""
MIN_FREE_BYTES = 2**30
ELSEWHERE_S = 3600.0
"""How long to wait for the supervisor of the directory that has a run's files before this one ends its attempt."""


class AttemptKey(NamedTuple):
    """The id of a run and the number of an attempt."""

    run_id: str
    number: int


@dataclass(slots=True)
class WatchedAttempt:
    """The last heartbeat of a running attempt, when it changed, and when the worker was asked to stop (monotonic)."""

    heartbeat: int
    changed_at: float
    cancelled_at: float | None = None


@dataclass(frozen=True, slots=True)
class JobLimits:
    """Limits set by the operator: runs per device, seconds without a heartbeat before a kill, free disk space."""

    slots: Mapping[str, int] = field(default_factory=slots.count_slots)
    hang_s: float = HANG_S
    min_free_bytes: int = MIN_FREE_BYTES


class Supervisor:
    """A thread that checks the store five times a second, and whenever `wake` is called."""

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
        self._host = read_machine_id()
        self._stop, self._wake = threading.Event(), threading.Event()
        self._watched: dict[AttemptKey, WatchedAttempt] = {}
        self._probed_at = time.monotonic()
        self._checked_at = time.monotonic()
        self._disk_full = False
        self._memory_kills = processes.count_out_of_memory_kills()
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
        """Return whether the thread has checked the store lately."""
        return self._thread.is_alive() and time.monotonic() - self._checked_at < 30

    def start(self) -> None:
        self.database.start()
        self.launcher.warm_up()
        self._thread.start()

    def wake(self) -> None:
        """Check the store now, because a run was queued or cancelled."""
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
                # For example, no process could be created. A run that was claimed counts as crashed and is tried again.
                log.exception("a worker could not be started or watched; trying again")
                self._reset()
                self._stop.wait(1.0)
            self._wake.wait(TICK_S)
            self._wake.clear()

    def run_once(self) -> None:
        """Check once: end attempts whose worker has ended or hangs, stop cancelled ones, start queued runs."""
        self.launcher.reap()
        attempts = run_attempts.list_running_attempts(self.store)
        if attempts:
            self._probe()
        for row in attempts:
            try:
                self._watch(row)
            except Unreachable:
                raise
            except Exception:  # one run must not block others
                log.exception("run %s attempt %d could not be watched; trying again", row.run_id, row.number)
        running = {AttemptKey(row.run_id, row.number) for row in attempts}
        self._watched = {key: watched for key, watched in self._watched.items() if key in running}
        open_slots = slots.list_free_slots(
            self.limits.slots, [row.device for row in attempts if row.host in (None, self._host)]
        )
        if open_slots and not self.database.problem and self._has_free_disk():
            for row in run_queue.list_startable(self.store):
                if self._only is not None and row.id not in self._only:
                    continue
                slot = slots.pick_slot(row.device, open_slots)
                if slot is not None and self._start(row.id, slot):
                    open_slots.remove(slot)
        self._checked_at = time.monotonic()

    def _has_free_disk(self) -> bool:
        free = shutil.disk_usage(self.store.data_dir).free
        full = free < self.limits.min_free_bytes
        if full != self._disk_full:
            needed = self.limits.min_free_bytes / 2**20
            log.warning(
                "%.0f MiB of the disk are free, %.0f are needed: %s", free / 2**20, needed, _describe_starts(full)
            )
        self._disk_full = full
        return not full

    def _probe(self) -> None:
        """Measure once a second how long a small write takes: workers have no heartbeat while writes are blocked.

        If it was slow here, it was slow for the workers, and their time without a heartbeat starts again.
        """
        before = time.monotonic()
        if before - self._probed_at < PROBE_S:
            return
        run_queue.write_probe(self.store)
        self._probed_at = time.monotonic()
        if self._probed_at - before > SLOW_PROBE_S or before - self._checked_at > SLOW_PROBE_S + TICK_S + PROBE_S:
            self._reset()

    def _reset(self) -> None:
        for watched in self._watched.values():
            watched.changed_at = time.monotonic()

    def _start(self, run_id: str, slot: str) -> bool:
        number = run_attempts.claim_run(self.store, run_id, slot)
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
        watched = self._watched.setdefault(key, WatchedAttempt(row.heartbeat, now))
        if row.heartbeat != watched.heartbeat:
            watched.heartbeat, watched.changed_at = row.heartbeat, now
        silent_s = now - watched.changed_at
        if row.pid is None:
            # Claimed, but the process is not recorded yet: it stays so only if the claiming supervisor has died.
            if silent_s > START_GRACE_S:
                self._end_attempt(key, row, "no worker process could be started")
            return
        identity = ProcessIdentity(row.pid, row.process_started, row.boot_id)
        if row.host not in (None, self._host):
            # A process of another machine: this supervisor sees only its heartbeat.
            elsewhere = run_folders.is_elsewhere(self.store, row.run_id)
            if silent_s > (ELSEWHERE_S if elsewhere else 3 * self.limits.hang_s):
                self._end_attempt(key, row, f"the worker on another machine sent no heartbeat for {silent_s:.0f} s")
        elif not identity.is_alive() and run_folders.is_elsewhere(self.store, row.run_id):
            # The supervisor of the other directory can deliver the worker's outbox; this one waits longer.
            if silent_s > ELSEWHERE_S:
                self._end_attempt(
                    key, row, f"the worker of another data directory sent no heartbeat for {silent_s:.0f} s"
                )
        elif not identity.is_alive():
            self._deliver(key)
            self._end_attempt(key, row, self._exit_reason(row.pid))
        elif row.want == "cancel":
            watched.cancelled_at = watched.cancelled_at or now
            if now - watched.cancelled_at > KILL_GRACE_S:
                identity.signal_group(signal.SIGKILL)
            elif now - watched.cancelled_at > CANCEL_GRACE_S:
                identity.signal_group(signal.SIGTERM)
        elif silent_s > self.limits.hang_s:
            outbox = Outbox(self.store, *key)
            if outbox.grew_within(self.limits.hang_s):
                return  # the worker runs, and keeps events that the database does not accept
            if outbox.is_empty():
                # The attempt is ended first, so that the process cannot write anything any more.
                self._end_attempt(key, row, f"the worker process sent no heartbeat for {silent_s:.0f} s and was ended")
            # A non-empty outbox is delivered when the process has ended.
            identity.signal_group(signal.SIGKILL)
        elif row.time_limit_s is not None and row.running_s > row.time_limit_s + OVERTIME_S:
            error = f"the time limit of {row.time_limit_s:g} s is used up and the worker did not stop by itself"
            run_attempts.end_attempt(
                self.store, row.run_id, row.number, NewEvent("RunFailed", {"error": error}), error=error
            )
            identity.signal_group(signal.SIGKILL)

    def _deliver(self, key: AttemptKey) -> None:
        """Deliver the outbox of a worker that has ended; it may contain the end of the attempt."""
        outbox = Outbox(self.store, key.run_id, key.number)
        if outbox.is_empty():
            return
        try:
            outbox.deliver()
        except (Fenced, ValueError, TypeError, KeyError, OSError) as error:
            log.warning("undelivered events of run %s attempt %d cannot be stored (%s); the file is kept", *key, error)
        else:
            log.info("run %s attempt %d: the undelivered events of its worker are stored", *key)

    def _exit_reason(self, pid: int) -> str:
        status = self.launcher.exit_status(pid)
        before, self._memory_kills = self._memory_kills, processes.count_out_of_memory_kills()
        if status in (None, -signal.SIGKILL) and (self._memory_kills or 0) > (before or 0):
            return "out of memory: the system killed the worker process; set a smaller batch_size or backbone"
        if status == -signal.SIGKILL:
            return "the worker process was killed (by somebody, or by the system because memory ran out)"
        if status is not None and status < 0:
            return f"the worker process was ended by signal {-status} ({signal.strsignal(-status)})"
        if status:
            return f"the worker process ended with status {status}; the run's log says why"
        return "the worker process ended for an unknown reason (killed, out of memory, or the machine restarted)"

    def _end_attempt(self, key: AttemptKey, row: sa.Row[Any], reason: str) -> None:
        """End an attempt without a process: the run is cancelled, paused, queued again, or failed."""
        run_id, number = key
        epoch = runs.get(self.store, run_id, deleted=True).epoch
        if row.want == "cancel":
            run_attempts.end_attempt(self.store, run_id, number, NewEvent("RunCancelled", {"epoch": epoch}))
            return
        crashes = run_attempts.count_crashes(self.store, run_id) + 1
        failed = NewEvent("AttemptFailed", {"attempt": number, "reason": reason, "tries_left": MAX_CRASHES - crashes})
        if row.want == "pause":
            paused = NewEvent("Paused", {"epoch": epoch})
            run_attempts.end_attempt(self.store, run_id, number, paused, before=[failed], outcome=reason)
        elif crashes < MAX_CRASHES:
            if run_attempts.end_attempt(self.store, run_id, number, failed, outcome=reason):
                log.warning("run %s attempt %d: %s; trying again from its checkpoint", run_id, number, reason)
        else:
            error = f"{reason}, {crashes} times; see the run's log, then retry"
            run_attempts.end_attempt(
                self.store,
                run_id,
                number,
                NewEvent("RunFailed", {"error": error}),
                error=error,
                before=[failed],
            )


def _describe_starts(full: bool) -> str:
    return "no further run starts until there is space again" if full else "queued runs start again"
