"""Plans as they were shown: kept in the database for a day, for one data directory, each used once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from backend.store import data_directory
from backend.store.clock import now, text_of
from backend.store.database import Store
from backend.store.errors import Conflict, Invalid, NotFound
from backend.store.gc import eligible
from backend.store.gc.items import Plan, PlannedItem, Rules, Skipped
from backend.store.models import directory, gc_plan

VALID_HOURS = 24
KEPT_DAYS = 7
"""After so long the row of a plan goes, used or not."""
AGAIN = "preview again with `collapse gc` or POST /api/v1/gc"


def create(store: Store, rules: Rules) -> Plan:
    """Find out what can be removed, and keep it as a plan; nothing is removed.

    Raises Invalid for a filter without a rule that it could apply to.
    """
    if rules.q and rules.thin_geometry is None and not rules.checkpoints:
        raise Invalid(
            f"the filter {rules.q!r} says to which runs a rule applies, and there is none; give thin_geometry or "
            "checkpoints too"
        )
    found = eligible.find(store, rules)
    plan = Plan(
        id=data_directory.new_id(),
        directory_id=store.directory_id,
        created_at=now(),
        rules=rules,
        items=found.items,
        skipped=found.skipped,
    )
    content = plan.model_dump(mode="json")
    held = {"items": content["items"], "skipped": content["skipped"]}
    row = {"id": plan.id, "directory_id": plan.directory_id, "created_at": plan.created_at, "rules": content["rules"]}
    with store.writing() as connection:
        connection.execute(gc_plan.delete().where(gc_plan.c.created_at < _ago(hours=24 * KEPT_DAYS)))
        connection.execute(gc_plan.insert().values(**row, items=held))
    return plan


def get(store: Store, plan_id: str) -> Plan:
    """Return a plan that can still be used; raises NotFound or Conflict, with what to do, where it cannot."""
    with store.reading() as connection:
        row = connection.execute(sa.select(gc_plan).where(gc_plan.c.id == plan_id)).one_or_none()
        if row is None:
            raise NotFound(f"there is no clean-up plan {plan_id!r}; {AGAIN}")
        where = sa.select(directory.c.path, directory.c.host).where(directory.c.id == row.directory_id)
        other = connection.execute(where).one_or_none()
    if row.directory_id != store.directory_id:
        place = f"{other.path} on {other.host}" if other else f"directory {row.directory_id}"
        raise Conflict(f"clean-up plan {plan_id} is for another data directory, {place}; use it there, or {AGAIN}")
    if row.deleted_at is not None:
        raise Conflict(f"clean-up plan {plan_id} was used at {row.deleted_at}; {AGAIN}")
    if row.created_at < _ago(hours=VALID_HOURS):
        raise Conflict(f"clean-up plan {plan_id} was made at {row.created_at}, more than a day ago; {AGAIN}")
    return _plan(row)


def claim(store: Store, plan_id: str) -> Plan:
    """Take a plan for deleting, so that nobody else does; raises as `get`."""
    plan = get(store, plan_id)
    unused = (gc_plan.c.id == plan_id, gc_plan.c.deleted_at.is_(None))
    with store.writing() as connection:
        taken = connection.execute(sa.update(gc_plan).where(*unused).values(deleted_at=now())).rowcount
    return plan if taken else get(store, plan_id)


def expires_at(plan: Plan) -> str:
    """Return until when a plan can be used."""
    return text_of(datetime.fromisoformat(plan.created_at) + timedelta(hours=VALID_HOURS))


def _plan(row: sa.Row[Any]) -> Plan:
    return Plan(
        id=row.id,
        directory_id=row.directory_id,
        created_at=row.created_at,
        rules=Rules.model_validate(row.rules),
        items=tuple(PlannedItem.model_validate(item) for item in row.items["items"]),
        skipped=tuple(Skipped.model_validate(item) for item in row.items["skipped"]),
    )


def _ago(*, hours: float) -> str:
    return text_of(datetime.now(UTC) - timedelta(hours=hours))
