"""The status of runs: the legal moves from one to another.

    queued → running → finished | failed | cancelled | paused;   running → queued (a failed attempt is tried again)
    queued → paused | cancelled;   paused → queued (resume) | cancelled;   failed | cancelled → queued (retry)

Every move is one conditional UPDATE with its event in the same transaction, so that two movers cannot both win.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from backend.store.clock import now
from backend.store.database import Store
from backend.store.errors import Conflict
from backend.store.event_log import NewEvent, insert_events
from backend.store.models import run
from backend.store.runs import get

ENDED = ("finished", "cancelled", "failed")
STATUSES = ("queued", "running", "paused", *ENDED)
MOVES: dict[str, dict[str, str]] = {
    "": {"RunQueued": "queued"},
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
"""From a state, by event: the state after it. Any other event is a worker's, which a queued run becomes running by."""
STATES = {"RunQueued", "Paused", "RunCancelled", "AttemptFailed", "RunFailed", "RunFinished"}


def _move(
    store: Store, run_id: str, origins: Sequence[str], entry: NewEvent, values: Mapping[str, Any], refusal: str
) -> None:
    """Move a run that is in one of `origins`, with its event; raises Conflict with `refusal` where it is in no such."""
    row = get(store, run_id)
    with store.writing() as connection:
        last_seq = connection.execute(
            sa.update(run)
            .where(run.c.id == run_id, run.c.status.in_(origins))
            .values(last_seq=run.c.last_seq + 1, want="run", **values)
            .returning(run.c.last_seq)
        ).scalar_one_or_none()
        if last_seq is None:
            raise Conflict(f"run {run_id} is {row.status}: {refusal}")
        insert_events(connection, run_id, last_seq, [entry])


def _ask(store: Store, run_id: str, requested: str, unless: str) -> bool:
    """Ask a running run's worker for something, unless it is asked for `unless` already; return whether it runs."""
    with store.writing() as connection:
        asked = connection.execute(
            sa.update(run)
            .where(run.c.id == run_id, run.c.status == "running", run.c.want != unless)
            .values(want=requested)
        )
    return bool(asked.rowcount)


def request_cancel(store: Store, run_id: str) -> None:
    """Cancel a waiting run at once, or ask a running one to stop."""
    row = get(store, run_id)
    # A run may start, or end, between two looks at it; what it is in the end decides.
    if _ask(store, run_id, "cancel", unless=""):
        return
    try:
        _move(
            store,
            run_id,
            ("queued", "paused"),
            NewEvent("RunCancelled", {"epoch": row.epoch}),
            {"status": "cancelled", "ended_at": now()},
            "only a queued, running or paused run can be cancelled",
        )
    except Conflict:
        if not _ask(store, run_id, "cancel", unless=""):
            raise


def request_pause(store: Store, run_id: str) -> None:
    """Hold a queued run back, or ask a running one to save a checkpoint and release its device."""
    row = get(store, run_id)
    if _ask(store, run_id, "pause", unless="cancel"):
        return
    try:
        _move(
            store,
            run_id,
            ("queued",),
            NewEvent("Paused", {"epoch": row.epoch}),
            {"status": "paused"},
            "only a queued or running run that is not being cancelled can be paused",
        )
    except Conflict:
        if not _ask(store, run_id, "pause", unless="cancel"):
            raise


def resume(store: Store, run_id: str) -> None:
    """Queue a paused run again, at its old place; a run that is only asked to pause goes on."""
    row = get(store, run_id)
    try:
        _move(
            store,
            run_id,
            ("paused",),
            NewEvent("RunQueued", {"config_hash": row.config_hash}),
            {"status": "queued"},
            "only a paused run, or one that is about to pause, can be resumed",
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
    _move(
        store,
        run_id,
        ("failed", "cancelled"),
        NewEvent("RunQueued", {"config_hash": row.config_hash}),
        {"status": "queued", "error": None, "ended_at": None},
        "only a failed or cancelled run can be retried",
    )


def delete(store: Store, run_id: str) -> None:
    """Hide a run (it can be restored for a week); raises Conflict while it is queued, running or paused."""
    row = get(store, run_id)
    with store.writing() as connection:
        done = connection.execute(
            sa.update(run).where(run.c.id == run_id, run.c.status.in_(ENDED)).values(deleted_at=now())
        )
        if not done.rowcount:
            raise Conflict(f"run {run_id} is {row.status}: cancel it before deleting it")


def restore(store: Store, run_id: str) -> None:
    """Bring a deleted run back."""
    get(store, run_id, deleted=True)
    with store.writing() as connection:
        connection.execute(sa.update(run).where(run.c.id == run_id).values(deleted_at=None))
