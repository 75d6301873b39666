"""Wire models of the clean-up from plans, outcomes and the trash of the store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from backend.api import wire
from backend.store.clock import format_timestamp
from backend.store.database import Store
from backend.store.gc import plans, trash
from backend.store.gc.plans import LABELS, CleanupPlan, CleanupResult, CleanupRules, MovedItem, SkippedItem


def rules_of(request: wire.GcRequest) -> CleanupRules:
    """Return the store's rules for a request."""
    return CleanupRules(thin_geometry=request.thin_geometry, checkpoints=request.checkpoints, q=request.q)


def plan_wire(plan: CleanupPlan) -> wire.GcPlan:
    """Return a plan as a wire model."""
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


def result_wire(outcome: CleanupResult) -> wire.GcResult:
    """Return the outcome of a clean-up or a restore as a wire model."""
    return wire.GcResult(
        count=outcome.count,
        size_bytes=outcome.size_bytes,
        items=_items(outcome.moved),
        skipped=_skipped(outcome.skipped),
        entry=outcome.entry,
    )


def trash_wire(store: Store) -> wire.Trash:
    """List the trash, newest entry first."""
    entries = trash.list_entries(store)
    items = [_entry(entry) for entry in entries]
    return wire.Trash(
        digest=trash.hash_entries(entries),
        count=sum(item.count for item in items),
        size_bytes=sum(item.size_bytes for item in items),
        items=items,
    )


def empty_trash(store: Store, digest: str) -> wire.EmptyTrashResult:
    """Permanently remove the trash with this digest; raises Conflict if its content has changed since."""
    removed = trash.empty(store, digest)
    size_bytes = sum(item.size_bytes for item in removed)
    return wire.EmptyTrashResult(count=sum(item.count for item in removed), size_bytes=size_bytes)


def _entry(entry: trash.TrashFolder) -> wire.TrashEntry:
    contents = entry.contents()
    return wire.TrashEntry(
        name=entry.name,
        created_at=entry.manifest.created_at,
        expires_at=format_timestamp(entry.expires),
        count=sum(item.count for item in contents),
        size_bytes=sum(item.size_bytes for item in contents),
        items=_items(contents),
    )


def _items(moved: Iterable[MovedItem]) -> list[wire.GcItem]:
    return [wire.GcItem(what=LABELS[item.kind], **item.model_dump()) for item in moved]


def _skipped(skipped: Sequence[SkippedItem]) -> list[wire.GcSkipped]:
    return [wire.GcSkipped(what=LABELS[item.kind], **item.model_dump()) for item in skipped]
