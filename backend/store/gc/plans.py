"""Clean-up plans: their models and their rows in the database; valid for a day, for one use, in one data directory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field

from backend.store.clock import ago, format_timestamp, now
from backend.store.database import Store
from backend.store.errors import Conflict, NotFound
from backend.store.models import directory, gc_plan

VALID_HOURS = 24
PLAN_DAYS = 7
"""Age after which the row of a plan is removed, used or not."""
PREVIEW_AGAIN = "preview again with `collapse gc` or POST /api/v1/gc"
ItemKind = Literal[
    "deleted-run", "captures", "checkpoints", "files-without-row", "folder-without-run", "unfinished-import"
]
LABELS: dict[ItemKind, str] = {
    "deleted-run": "deleted run",
    "captures": "captures of a finished run",
    "checkpoints": "checkpoints of a finished run",
    "files-without-row": "files that no event names",
    "folder-without-run": "files of a run that is gone",
    "unfinished-import": "files of an unfinished import",
}
"""Name of each kind for people."""
RelativePath = Annotated[str, Field(pattern=r"^(runs|imports)(/[^/\x00]{1,255}){1,16}$")]
"""Path of a file relative to the data directory; `files.resolve_inside` refuses `..` in it."""


class GcRecord(BaseModel):
    """Base class of the stored records of a clean-up."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ItemRecord(GcRecord):
    """Base class of the records of an item: files that belong together."""

    kind: ItemKind
    run_id: str | None

    @property
    def what(self) -> str:
        """The kind for people."""
        return LABELS[self.kind]


class PlannedFile(GcRecord):
    """A file at the time of the plan. Files with `artifact` have a row, which has their hash."""

    path: RelativePath
    size_bytes: int
    mtime_ns: int
    artifact: str | None = None
    """`geometry` or `checkpoint`; None for files without a row."""
    step: int | None = None
    sha256: str | None = None


class PlannedItem(ItemRecord):
    """Files that are removed together: a deleted run whole, some files of a run, or files of no run."""

    files: tuple[PlannedFile, ...]
    deleted_at: str | None = None
    """When a deleted run was deleted."""

    @property
    def count(self) -> int:
        return len(self.files)

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


class SkippedItem(ItemRecord):
    """An item or file that is not removed, with the reason."""

    path: str | None
    """The file, or None where the reason concerns all files of the item."""
    reason: str


class MovedItem(ItemRecord):
    """Number and size of the files of an item that were moved between the data directory and the trash."""

    count: int
    size_bytes: int


class CleanupRules(GcRecord):
    """What to remove besides deleted runs and files without a row."""

    thin_geometry: Annotated[int, Field(ge=2, le=1_000_000)] | None = None
    """Keep the first, the last and every n-th capture of finished runs; None keeps all."""
    checkpoints: bool = False
    """Remove the checkpoints of finished runs."""
    q: Annotated[str, Field(max_length=500)] = ""
    """Apply the two rules only to runs that match this filter."""


class CleanupPlan(GcRecord):
    """What a clean-up would remove from one data directory."""

    id: str
    directory_id: str
    created_at: str
    rules: CleanupRules
    items: tuple[PlannedItem, ...]
    skipped: tuple[SkippedItem, ...]

    @property
    def size_bytes(self) -> int:
        return sum(item.size_bytes for item in self.items)

    @property
    def count(self) -> int:
        return sum(item.count for item in self.items)

    @property
    def expires_at(self) -> str:
        """The time until which the plan can be used."""
        return format_timestamp(datetime.fromisoformat(self.created_at) + timedelta(hours=VALID_HOURS))


class CleanupResult(GcRecord):
    """Result of a clean-up or a restore."""

    items: tuple[MovedItem, ...]
    skipped: tuple[SkippedItem, ...]
    entry: str | None = None
    """Name of the folder in the trash to which the files were moved."""
    stopped: bool = False
    """True where it was stopped between two items; the rest is unchanged."""

    @property
    def size_bytes(self) -> int:
        return sum(item.size_bytes for item in self.items)

    @property
    def count(self) -> int:
        return sum(item.count for item in self.items)


def merge_results(
    results: Sequence[CleanupResult], *, entry: str | None = None, stopped: bool = False
) -> CleanupResult:
    """Return the results of several items as one."""
    return CleanupResult(
        items=tuple(item for each in results for item in each.items),
        skipped=tuple(skipped for each in results for skipped in each.skipped),
        entry=entry,
        stopped=stopped,
    )


def save(store: Store, plan: CleanupPlan) -> None:
    """Store a plan, and remove those that are older than a week."""
    content = plan.model_dump(mode="json")
    items = {"items": content["items"], "skipped": content["skipped"]}
    row = {"id": plan.id, "directory_id": plan.directory_id, "created_at": plan.created_at, "rules": content["rules"]}
    with store.writing() as connection:
        connection.execute(gc_plan.delete().where(gc_plan.c.created_at < ago(timedelta(days=PLAN_DAYS))))
        connection.execute(gc_plan.insert().values(**row, items=items))


def get(store: Store, plan_id: str) -> CleanupPlan:
    """Return a plan that can still be used; raises NotFound or Conflict, with the remedy, where it cannot."""
    with store.reading() as connection:
        row = connection.execute(sa.select(gc_plan).where(gc_plan.c.id == plan_id)).one_or_none()
        if row is None:
            raise NotFound(f"there is no clean-up plan {plan_id!r}; {PREVIEW_AGAIN}")
        where = sa.select(directory.c.path, directory.c.host).where(directory.c.id == row.directory_id)
        other = connection.execute(where).one_or_none()
    if row.directory_id != store.directory_id:
        place = f"{other.path} on {other.host}" if other else f"directory {row.directory_id}"
        raise Conflict(
            f"clean-up plan {plan_id} is for another data directory, {place}; use it there, or {PREVIEW_AGAIN}"
        )
    if row.deleted_at is not None:
        raise Conflict(f"clean-up plan {plan_id} was used at {row.deleted_at}; {PREVIEW_AGAIN}")
    if row.created_at < ago(timedelta(hours=VALID_HOURS)):
        raise Conflict(f"clean-up plan {plan_id} was made at {row.created_at}, more than a day ago; {PREVIEW_AGAIN}")
    return _plan(row)


def claim(store: Store, plan_id: str) -> CleanupPlan:
    """Mark a plan as used, so that it is used once; raises like `get`."""
    plan = get(store, plan_id)
    unused = (gc_plan.c.id == plan_id, gc_plan.c.deleted_at.is_(None))
    with store.writing() as connection:
        taken = connection.execute(sa.update(gc_plan).where(*unused).values(deleted_at=now())).rowcount
    return plan if taken else get(store, plan_id)


def _plan(row: sa.Row[Any]) -> CleanupPlan:
    return CleanupPlan(
        id=row.id,
        directory_id=row.directory_id,
        created_at=row.created_at,
        rules=CleanupRules.model_validate(row.rules),
        items=tuple(PlannedItem.model_validate(item) for item in row.items["items"]),
        skipped=tuple(SkippedItem.model_validate(item) for item in row.items["skipped"]),
    )
