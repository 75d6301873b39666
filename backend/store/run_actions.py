"""What users do with runs: cancel, pause, resume, retry, delete, restore, and label; one run or many.

Each transition is one conditional UPDATE with its event in the same transaction, so that of two concurrent ones one
fails.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from backend.store import runs
from backend.store.clock import now
from backend.store.database import Store
from backend.store.errors import CollapseError, Conflict, Invalid
from backend.store.event_log import NewEvent, insert_events
from backend.store.models import run
from backend.store.run_status import ENDED, TRANSITIONS, RunAction, idle_statuses_before


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
    row = runs.get(store, run_id)
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


def _stop(
    store: Store, run_id: str, requested: str, event: NewEvent, refusal: str, *, unless: str = "", **values: Any
) -> None:
    """Ask the worker of a running run to stop, or stop a waiting run at once with an event."""
    # The run may start or end between the statements; the one that matches its status takes effect.
    if _request(store, run_id, requested, unless):
        return
    try:
        _transition(store, run_id, event, refusal, values=values)
    except Conflict:
        if not _request(store, run_id, requested, unless):
            raise


def request_cancel(store: Store, run_id: str) -> None:
    """Cancel a waiting run at once, or ask the worker of a running one to stop."""
    cancelled = NewEvent("RunCancelled", {"epoch": runs.get(store, run_id).epoch})
    refusal = "only a queued, running or paused run can be cancelled"
    _stop(store, run_id, "cancel", cancelled, refusal, ended_at=now())


def request_pause(store: Store, run_id: str) -> None:
    """Hold a queued run back, or ask the worker of a running one to save a checkpoint and release its device."""
    paused = NewEvent("Paused", {"epoch": runs.get(store, run_id).epoch})
    refusal = "only a queued or running run that is not being cancelled can be paused"
    _stop(store, run_id, "pause", paused, refusal, unless="cancel")


def resume(store: Store, run_id: str) -> None:
    """Queue a paused run again, at its old place; withdraw the request from a run that has not paused yet."""
    row = runs.get(store, run_id)
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
    row = runs.get(store, run_id)
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
    row = runs.get(store, run_id)
    with store.writing() as connection:
        done = connection.execute(
            sa.update(run).where(run.c.id == run_id, run.c.status.in_(ENDED)).values(deleted_at=now())
        )
        if not done.rowcount:
            raise Conflict(f"run {run_id} is {row.status}: cancel it before deleting it")


def restore(store: Store, run_id: str) -> None:
    """Restore a deleted run."""
    runs.get(store, run_id, deleted=True)
    with store.writing() as connection:
        connection.execute(sa.update(run).where(run.c.id == run_id).values(deleted_at=None))


ActionValue = str | int | None


class ActionResult(NamedTuple):
    """Result of an action on one run; `detail` is the reason if it was not done, else empty."""

    id: str
    done: bool
    detail: str


def _tag(store: Store, run_id: str, value: ActionValue) -> None:
    tags = runs.get(store, run_id).tags
    if value not in tags:
        runs.update(store, run_id, {"tags": [*tags, value]})


def _untag(store: Store, run_id: str, value: ActionValue) -> None:
    tags = runs.get(store, run_id).tags
    runs.update(store, run_id, {"tags": [tag for tag in tags if tag != value]})


ACTIONS: dict[RunAction, tuple[Callable[[Store, str, ActionValue], None], type | None]] = {
    "cancel": (lambda store, run_id, _: request_cancel(store, run_id), None),
    "pause": (lambda store, run_id, _: request_pause(store, run_id), None),
    "resume": (lambda store, run_id, _: resume(store, run_id), None),
    "retry": (lambda store, run_id, _: retry(store, run_id), None),
    "delete": (lambda store, run_id, _: delete(store, run_id), None),
    "restore": (lambda store, run_id, _: restore(store, run_id), None),
    "tag": (_tag, str),
    "untag": (_untag, str),
    "group": (lambda store, run_id, value: runs.update(store, run_id, {"group": value}), str),
    "priority": (lambda store, run_id, value: runs.update(store, run_id, {"priority": value}), int),
}
"""By name: the function that acts on one run, and the type of its value, None where it takes none."""


def apply_action(
    store: Store, action: RunAction, run_ids: Sequence[str], value: ActionValue = None
) -> list[ActionResult]:
    """Apply an action to each run in turn; raises Invalid where `value` is not what the action takes."""
    function, kind = ACTIONS[action]
    if (kind is None) != (value is None) or (kind is not None and not isinstance(value, kind)):
        expected = "none" if kind is None else {"str": "a text", "int": "a whole number"}[kind.__name__]
        raise Invalid(f"the action {action!r} takes {expected} as `value`, got {value!r}")
    results = []
    for run_id in dict.fromkeys(run_ids):
        try:
            function(store, run_id, value)
            results.append(ActionResult(run_id, True, ""))
        except CollapseError as error:
            results.append(ActionResult(run_id, False, str(error)))
    return results
