"""Attempts: a run is executed by one process at a time, each numbered 1, 2, 3 …; the resource use of the processes."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import psutil
import sqlalchemy as sa

from backend.store import event_log
from backend.store.clock import now
from backend.store.database import Store
from backend.store.event_log import NewEvent, insert_events
from backend.store.models import attempt, reading, run
from backend.store.run_status import ENDED, TRANSITIONS
from backend.store.runs import get

MAX_CRASHES = 3
"""A run fails when this many attempts have crashed since the user last queued it."""


def claim_run(store: Store, run_id: str, device: str) -> int | None:
    """Claim a queued run for a new attempt; return the attempt's number, or None where the run is no longer queued."""
    statement = (
        sa.update(run)
        .where(run.c.id == run_id, run.c.status == "queued", run.c.deleted_at.is_(None))
        .values(status="running", attempt=run.c.attempt + 1, started_at=sa.func.coalesce(run.c.started_at, now()))
        .returning(run.c.attempt)
    )
    with store.writing() as connection:
        number = connection.execute(statement).scalar_one_or_none()
        if number is None:
            return None
        connection.execute(attempt.insert().values(run_id=run_id, number=number, device=device, claimed_at=now()))
    return int(number)


def record_process(
    store: Store, run_id: str, number: int, *, pid: int, process_started: str, boot_id: str, host: str
) -> None:
    """Record which process runs an attempt, so that a later server can adopt it."""
    with store.writing() as connection:
        connection.execute(
            sa.update(attempt)
            .where(attempt.c.run_id == run_id, attempt.c.number == number)
            .values(pid=pid, process_started=process_started, boot_id=boot_id, host=host)
        )


def list_attempts(store: Store, run_id: str) -> list[sa.Row[Any]]:
    """Return all attempts of a run, in order."""
    get(store, run_id, deleted=True)
    query = sa.select(attempt).where(attempt.c.run_id == run_id).order_by(attempt.c.number)
    with store.reading() as connection:
        return list(connection.execute(query))


def list_running_attempts(store: Store) -> list[sa.Row[Any]]:
    """Return the current attempt of each running run, with the user's request and the heartbeat."""
    query = (
        sa.select(attempt, run.c.want, run.c.last_seq, run.c.heartbeat, run.c.running_s, run.c.time_limit_s)
        .join(run, sa.and_(run.c.id == attempt.c.run_id, run.c.attempt == attempt.c.number))
        .where(run.c.status == "running")
    )
    with store.reading() as connection:
        return list(connection.execute(query))


def end_attempt(
    store: Store,
    run_id: str,
    number: int,
    event: NewEvent,
    *,
    error: str | None = None,
    before: Sequence[NewEvent] = (),
    outcome: str | None = None,
) -> bool:
    """End a running attempt with an event, which decides the status of the run (`run_status.TRANSITIONS`).

    `before` are events to append first; `outcome` describes how the attempt ended, by default the event's type. Returns
    False, and changes nothing, where the attempt no longer owns the run.
    """
    events = [*before, event]
    status = TRANSITIONS["running"][event.type]
    values: dict[str, Any] = {"status": status, "error": error, "last_seq": run.c.last_seq + len(events)}
    # An event that is delivered late has the time at which it happened.
    at = event.at or now()
    if status in ENDED:
        values |= {"ended_at": at, "want": "run"}
    elif status == "paused":
        values |= {"want": "run"}
    statement = (
        sa.update(run)
        .where(run.c.id == run_id, run.c.attempt == number, run.c.status == "running")
        .values(**values)
        .returning(run.c.last_seq)
    )
    with store.writing() as connection:
        last_seq = connection.execute(statement).scalar_one_or_none()
        if last_seq is None:
            return False
        insert_events(connection, run_id, last_seq, events)
        connection.execute(
            sa.update(attempt)
            .where(attempt.c.run_id == run_id, attempt.c.number == number)
            .values(ended_at=at, outcome=outcome or error or event.type)
        )
    return True


def count_crashes(store: Store, run_id: str) -> int:
    """Return how many attempts failed since the user last queued the run."""
    queued = event_log.find_newest_event(store, run_id, "RunQueued")
    return len(event_log.list_events(store, run_id, 0 if queued is None else queued.seq, 100, ["AttemptFailed"]))


@dataclass(frozen=True, slots=True)
class ResourceSample:
    """Resource use of a process at one time: per cent of one core, bytes of memory, per cent and bytes of its GPU."""

    cpu_percent: float
    memory_bytes: int
    gpu_percent: float | None = None
    gpu_memory_bytes: int | None = None


def sample_process(process: psutil.Process) -> ResourceSample:
    """Measure the current process; the GPU is queried only after torch has initialised CUDA."""
    gpu_percent: float | None = None
    gpu_memory: int | None = None
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        gpu_memory = int(torch.cuda.memory_reserved())
        # The utilisation needs the driver's library, which may not be installed.
        with contextlib.suppress(ImportError, RuntimeError):
            gpu_percent = float(torch.cuda.utilization())
    return ResourceSample(process.cpu_percent(), int(process.memory_info().rss), gpu_percent, gpu_memory)


def insert_resource_sample(store: Store, run_id: str, attempt: int, sample: ResourceSample) -> None:
    """Store a sample of an attempt."""
    with store.writing() as connection:
        connection.execute(reading.insert().values(run_id=run_id, attempt=attempt, at=now(), **asdict(sample)))


def list_resource_samples(store: Store, run_id: str, max_count: int) -> list[sa.Row[Any]]:
    """Return at most `max_count` samples of a run in order: all of them, or evenly spaced ones including the newest."""
    index = sa.func.row_number().over(order_by=reading.c.at.desc()).label("index_from_end")
    numbered = sa.select(reading, index).where(reading.c.run_id == run_id).subquery()
    with store.reading() as connection:
        counting = sa.select(sa.func.count()).select_from(reading).where(reading.c.run_id == run_id)
        every = max(1, -(-int(connection.execute(counting).scalar_one()) // max_count))
        query = sa.select(numbered).where((numbered.c.index_from_end - 1) % every == 0).order_by(numbered.c.at)
        return list(connection.execute(query))
