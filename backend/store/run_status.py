"""The status of a run: the one table of legal transitions, and the transitions that users ask for.

    queued → running → finished | failed | cancelled | paused;   running → queued (a failed attempt is tried again)
    queued → paused | cancelled;   paused → queued (resume) | cancelled;   failed | cancelled → queued (retry)

A claim (`run_attempts.claim`) takes a queued run to `running` without an event; every other transition has its event.
Each is one conditional UPDATE with its event in the same transaction, so that of two concurrent transitions one fails.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal, get_args

import sqlalchemy as sa

from backend.store.clock import now
from backend.store.database import Store
from backend.store.errors import Conflict
from backend.store.event_log import NewEvent, insert_events
from backend.store.models import run
from backend.store.runs import get

RunStatus = Literal["queued", "running", "paused", "finished", "cancelled", "failed"]
STATUSES: tuple[RunStatus, ...] = get_args(RunStatus)
ENDED: tuple[RunStatus, ...] = ("finished", "cancelled", "failed")
"""Statuses in which no attempt runs and none will start by itself."""
TRANSITIONS: dict[RunStatus | None, dict[str, RunStatus]] = {
    None: {"RunQueued": "queued"},
    # The log has no event for a claim, so an attempt that fails before its first event is seen to follow `queued`.
    "queued": {"Paused": "paused", "RunCancelled": "cancelled", "AttemptFailed": "queued", "RunFailed": "failed"},
    "running": {
        "Paused": "paused",
        "RunCancelled": "cancelled",
        "AttemptFailed": "queued",
        "RunFailed": "failed",
        "RunFinished": "finished",
    },
    "paused": {"RunQueued": "queued", "RunCancelled": "cancelled"},
    "failed": {"RunQueued": "queued"},
    "cancelled": {"RunQueued": "queued"},
    "finished": {},
}
"""By status, None before a run exists: the status after each event that changes it."""
STATUS_EVENTS = frozenset(event for after in TRANSITIONS.values() for event in after)
"""Events that change the status; all others are written by a worker, whose run is `running`."""


def next_status(status: RunStatus | None, event_type: str) -> RunStatus | None:
    """Return the status of a run after an event, as its log tells it; None where the event cannot follow."""
    if event_type in STATUS_EVENTS:
        return TRANSITIONS[status].get(event_type)
    return "running" if status in ("queued", "running") else None


def idle_statuses_before(event_type: str) -> tuple[RunStatus, ...]:
    """Return the statuses without a running attempt from which an event may follow."""
    return tuple(s for s, after in TRANSITIONS.items() if s not in (None, "running") and event_type in after)


def _transition(
    store: Store,
    run_id: str,
    event: NewEvent,
    refusal: str,
    *,
    sources: Collection[str] | None = None,
    values: Mapping[str, Any] | None = None,
) -> None:
    """Change the status of a run that no attempt runs, and append the event.

    `sources` restricts the statuses that the table of transitions allows. Raises Conflict with `refusal` where the run
    has another status.
    """
    row = get(store, run_id)
    allowed = [s for s in idle_statuses_before(event.type) if sources is None or s in sources]
    (target,) = {TRANSITIONS[source][event.type] for source in allowed}
    with store.writing() as connection:
        last_seq = connection.execute(
            sa.update(run)
            .where(run.c.id == run_id, run.c.status.in_(allowed))
            .values(status=target, last_seq=run.c.last_seq + 1, want="run", **(values or {}))
            .returning(run.c.last_seq)
        ).scalar_one_or_none()
        if last_seq is None:
            raise Conflict(f"run {run_id} is {row.status}: {refusal}")
        insert_events(connection, run_id, last_seq, [event])


def _request(store: Store, run_id: str, requested: str, unless: str) -> bool:
    """Ask the worker of a running run for something, unless `unless` is asked for already; return whether it runs."""
    with store.writing() as connection:
        asked = connection.execute(
            sa.update(run)
            .where(run.c.id == run_id, run.c.status == "running", run.c.want != unless)
            .values(want=requested)
        )
    return bool(asked.rowcount)


def request_cancel(store: Store, run_id: str) -> None:
    """Cancel a waiting run at once, or ask the worker of a running one to stop."""
    row = get(store, run_id)
    # The run may start or end between the two statements; the one that matches its status takes effect.
    if _request(store, run_id, "cancel", unless=""):
        return
    try:
        _transition(
            store,
            run_id,
            NewEvent("RunCancelled", {"epoch": row.epoch}),
            "only a queued, running or paused run can be cancelled",
            values={"ended_at": now()},
        )
    except Conflict:
        if not _request(store, run_id, "cancel", unless=""):
            raise


def request_pause(store: Store, run_id: str) -> None:
    """Hold a queued run back, or ask the worker of a running one to save a checkpoint and release its device."""
    row = get(store, run_id)
    if _request(store, run_id, "pause", unless="cancel"):
        return
    try:
        _transition(
            store,
            run_id,
            NewEvent("Paused", {"epoch": row.epoch}),
            "only a queued or running run that is not being cancelled can be paused",
        )
    except Conflict:
        if not _request(store, run_id, "pause", unless="cancel"):
            raise


def resume(store: Store, run_id: str) -> None:
    """Queue a paused run again, at its old place; withdraw the request from a run that has not paused yet."""
    row = get(store, run_id)
    try:
        _transition(
            store,
            run_id,
            NewEvent("RunQueued", {"config_hash": row.config_hash}),
            "only a paused run, or one that is about to pause, can be resumed",
            sources=("paused",),
        )
    except Conflict:
        with store.writing() as connection:
            pausing = sa.update(run).where(run.c.id == run_id, run.c.status == "running", run.c.want == "pause")
            if not connection.execute(pausing.values(want="run")).rowcount:
                raise


def retry(store: Store, run_id: str) -> None:
    """Queue a failed or cancelled run again; it continues from its newest checkpoint."""
    row = get(store, run_id)
    if row.time_limit_s is not None and row.running_s >= row.time_limit_s and row.status in ("failed", "cancelled"):
        raise Conflict(
            f"run {run_id} has used its time limit of {row.time_limit_s:g} s; raise time_limit_s first (PATCH), then "
            "retry"
        )
    _transition(
        store,
        run_id,
        NewEvent("RunQueued", {"config_hash": row.config_hash}),
        "only a failed or cancelled run can be retried",
        sources=ENDED,
        values={"error": None, "ended_at": None},
    )


def delete(store: Store, run_id: str) -> None:
    """Hide a run; it can be restored for a week. Raises Conflict while it is queued, running or paused."""
    row = get(store, run_id)
    with store.writing() as connection:
        done = connection.execute(
            sa.update(run).where(run.c.id == run_id, run.c.status.in_(ENDED)).values(deleted_at=now())
        )
        if not done.rowcount:
            raise Conflict(f"run {run_id} is {row.status}: cancel it before deleting it")


def restore(store: Store, run_id: str) -> None:
    """Restore a deleted run."""
    get(store, run_id, deleted=True)
    with store.writing() as connection:
        connection.execute(sa.update(run).where(run.c.id == run_id).values(deleted_at=None))
