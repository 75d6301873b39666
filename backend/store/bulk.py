"""One action on several runs, each of which may refuse it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from backend.store import run_status, runs
from backend.store.database import Store
from backend.store.errors import CollapseError, Invalid

ActionValue = str | int | None


class BulkOutcome(NamedTuple):
    """What became of one run: done, or why not."""

    run_id: str
    refusal: str | None


def _tag(store: Store, run_id: str, value: ActionValue) -> None:
    held = runs.get(store, run_id).tags
    if value not in held:
        runs.update(store, run_id, {"tags": [*held, value]})


def _untag(store: Store, run_id: str, value: ActionValue) -> None:
    held = runs.get(store, run_id).tags
    runs.update(store, run_id, {"tags": [tag for tag in held if tag != value]})


ACTIONS: dict[str, tuple[Callable[[Store, str, ActionValue], None], type | None]] = {
    "cancel": (lambda store, run_id, _: run_status.request_cancel(store, run_id), None),
    "pause": (lambda store, run_id, _: run_status.request_pause(store, run_id), None),
    "resume": (lambda store, run_id, _: run_status.resume(store, run_id), None),
    "retry": (lambda store, run_id, _: run_status.retry(store, run_id), None),
    "delete": (lambda store, run_id, _: run_status.delete(store, run_id), None),
    "restore": (lambda store, run_id, _: run_status.restore(store, run_id), None),
    "tag": (_tag, str),
    "untag": (_untag, str),
    "group": (lambda store, run_id, value: runs.update(store, run_id, {"group": value}), str),
    "priority": (lambda store, run_id, value: runs.update(store, run_id, {"priority": value}), int),
}
"""By name: what is done to one run, and the kind of value that it needs."""


def apply_action(store: Store, action: str, run_ids: Sequence[str], value: ActionValue = None) -> list[BulkOutcome]:
    """Do `action` to each run in turn; raises Invalid where its value is missing or none is wanted."""
    work, kind = ACTIONS[action]
    if (kind is None) != (value is None) or (kind is not None and not isinstance(value, kind)):
        wanted = "none" if kind is None else {"str": "a text", "int": "a whole number"}[kind.__name__]
        raise Invalid(f"the action {action!r} takes {wanted} as `value`, got {value!r}")
    outcomes = []
    for run_id in dict.fromkeys(run_ids):
        try:
            work(store, run_id, value)
            outcomes.append(BulkOutcome(run_id, None))
        except CollapseError as error:
            outcomes.append(BulkOutcome(run_id, str(error)))
    return outcomes
