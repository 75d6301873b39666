"""Routes of the clean-up: preview a plan, delete it, list, restore and empty the trash."""

from __future__ import annotations

from fastapi import APIRouter

from backend.api import wire
from backend.api.routes.context import ContextDep
from backend.store.gc import delete, eligible, plans, restore, trash

router = APIRouter(prefix="/api/v1", tags=["clean-up"])


@router.post("/gc")
def preview(context: ContextDep, body: wire.GcRequest) -> wire.GcPlan:
    """Create a plan of what can be deleted, valid for a day; nothing is deleted."""
    rules = plans.CleanupRules(**body.model_dump(exclude={"dry_run"}))
    return wire.GcPlan.model_validate(eligible.create_plan(context.store, rules))


@router.get("/gc/{plan}")
def read_plan(context: ContextDep, plan: str) -> wire.GcPlan:
    """Return a plan that can still be used."""
    return wire.GcPlan.model_validate(plans.get(context.store, plan))


@router.post("/gc/{plan}/delete")
def delete_plan(context: ContextDep, plan: str) -> wire.GcResult:
    """Move the plan's items to the trash if they are still eligible; the response lists what was skipped, and why."""
    return wire.GcResult.model_validate(delete.execute_plan(context.store, plan))


@router.get("/trash")
def list_trash(context: ContextDep) -> wire.Trash:
    """List the trash; entries are removed permanently after a week."""
    return wire.Trash.model_validate(trash.read_contents(context.store))


@router.post("/trash/restore")
def restore_entries(context: ContextDep, body: wire.RestoreTrashRequest) -> wire.GcResult:
    """Restore entries of the trash; existing files are not overwritten but listed as skipped."""
    return wire.GcResult.model_validate(restore.restore_entries(context.store, body.entries))


@router.post("/trash/empty")
def empty_trash(context: ContextDep, body: wire.EmptyTrashRequest) -> wire.EmptyTrashResult:
    """Permanently remove the trash that GET /trash listed with this digest."""
    return wire.EmptyTrashResult.model_validate(trash.empty_listed(context.store, body.digest))
