"""Apply one action to several runs, each of which may refuse it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from backend.store import run_status, runs
from backend.store.database import Store
from backend.store.errors import CollapseError, Invalid

ActionValue = str | int | None


class BulkOutcome(NamedTuple):
    """Result of an action on one run: `refusal` is the reason why it was not done, None where it was."""

    run_id: str
    refusal: str | None


def _tag(store: Store, run_id: str, value: ActionValue) -> None:
    tags = runs.get(store, run_id).tags
    if value not in tags:
        runs.update(store, run_id, {"tags": [*tags, value]})


def _untag(store: Store, run_id: str, value: ActionValue) -> None:
    tags = runs.get(store, run_id).tags
    runs.update(store, run_id, {"tags": [tag for tag in tags if tag != value]})


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
"""By name: the function that acts on one run, and the type of its value, None where it takes none."""


def apply_action(store: Store, action: str, run_ids: Sequence[str], value: ActionValue = None) -> list[BulkOutcome]:
    """Apply an action to each run in turn; raises Invalid where `value` is not what the action takes."""
    function, kind = ACTIONS[action]
    if (kind is None) != (value is None) or (kind is not None and not isinstance(value, kind)):
        expected = "none" if kind is None else {"str": "a text", "int": "a whole number"}[kind.__name__]
        raise Invalid(f"the action {action!r} takes {expected} as `value`, got {value!r}")
    outcomes = []
    for run_id in dict.fromkeys(run_ids):
        try:
            function(store, run_id, value)
            outcomes.append(BulkOutcome(run_id, None))
        except CollapseError as error:
            outcomes.append(BulkOutcome(run_id, str(error)))
    return outcomes
