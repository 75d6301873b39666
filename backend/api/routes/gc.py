"""Clean-up: a preview, deleting what was previewed, and the trash."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fastapi import APIRouter

from backend.api import wire
from backend.api.routes.runs import Here
from backend.store.clock import format_timestamp
from backend.store.gc import delete, eligible, plans, restore, trash
from backend.store.gc.plans import LABELS, CleanupPlan, CleanupResult, CleanupRules, MovedItem, SkippedItem

router = APIRouter(prefix="/api/v1", tags=["clean-up"])


@router.post("/gc")
def preview(here: Here, body: wire.GcRequest) -> wire.GcPlan:
    """Find out what can be removed, and keep it as a plan for a day; nothing is removed."""
    rules = CleanupRules(thin_geometry=body.thin_geometry, checkpoints=body.checkpoints, q=body.q)
    return _plan(eligible.create_plan(here.store, rules))


@router.post("/gc/{plan}/delete")
def delete_plan(here: Here, plan: str) -> wire.GcResult:
    """Move what the plan names to the trash, as far as it is still eligible; the answer says what was left, and why."""
    return _result(delete.delete(here.store, plan))


@router.get("/trash")
def list_trash(here: Here) -> wire.Trash:
    """List what is in the trash; each entry is removed for good a week after it was made."""
    found = trash.list_entries(here.store)
    items = [_entry(entry) for entry in found]
    return wire.Trash(
        digest=trash.hash_entries(found),
        count=sum(item.count for item in items),
        size_bytes=sum(item.size_bytes for item in items),
        items=items,
    )


@router.post("/trash/restore")
def restore_entries(here: Here, body: wire.TrashRestore) -> wire.GcResult:
    """Bring entries of the trash back; nothing is overwritten, and what is in the way is listed."""
    return _result(restore.restore(here.store, body.entries))


@router.post("/trash/empty")
def empty_trash(here: Here, body: wire.TrashEmpty) -> wire.TrashEmptied:
    """Remove for good what GET /trash listed under this digest."""
    gone = trash.empty(here.store, body.digest)
    return wire.TrashEmptied(count=sum(item.count for item in gone), size_bytes=sum(item.size_bytes for item in gone))


def _plan(plan: CleanupPlan) -> wire.GcPlan:
    planned = [
        MovedItem(kind=item.kind, run_id=item.run_id, count=len(item.files), size_bytes=item.size_bytes)
        for item in plan.items
    ]
    return wire.GcPlan(
        id=plan.id,
        created_at=plan.created_at,
        expires_at=plans.expires_at(plan),
        count=plan.count,
        size_bytes=plan.size_bytes,
        items=_items(planned),
        skipped=_skipped(plan.skipped),
    )


def _result(outcome: CleanupResult) -> wire.GcResult:
    return wire.GcResult(
        count=outcome.count,
        size_bytes=outcome.size_bytes,
        items=_items(outcome.moved),
        skipped=_skipped(outcome.skipped),
        entry=outcome.entry,
    )


def _entry(entry: trash.TrashFolder) -> wire.TrashEntry:
    held = entry.contents()
    return wire.TrashEntry(
        name=entry.name,
        created_at=entry.manifest.created_at,
        expires_at=format_timestamp(entry.expires),
        count=sum(item.count for item in held),
        size_bytes=sum(item.size_bytes for item in held),
        items=_items(held),
    )


def _items(moved: Iterable[MovedItem]) -> list[wire.GcItem]:
    return [wire.GcItem(what=LABELS[item.kind], **item.model_dump()) for item in moved]


def _skipped(skipped: Sequence[SkippedItem]) -> list[wire.GcSkipped]:
    return [wire.GcSkipped(what=LABELS[item.kind], **item.model_dump()) for item in skipped]
