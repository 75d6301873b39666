"""The status of a run: its values, and the one table of legal transitions.

    queued → running → finished | failed | cancelled | paused;   running → queued (a failed attempt is tried again)
    queued → paused | cancelled;   paused → queued (resume) | cancelled;   failed | cancelled → queued (retry)

A claim (`run_attempts.claim_run`) takes a queued run to `running` without an event; every other transition has one.
"""

from __future__ import annotations

from typing import Literal, get_args

RunStatus = Literal["queued", "running", "paused", "finished", "cancelled", "failed"]
STATUSES: tuple[RunStatus, ...] = get_args(RunStatus)
RunAction = Literal["cancel", "pause", "resume", "retry", "delete", "restore", "tag", "untag", "group", "priority"]
"""What a user can do with one run or many, see `run_actions`."""

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
