"""Plans of a clean-up: their shapes, and the database rows that keep them for a day, for one use in one directory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field

from backend.store.clock import now, text_of
from backend.store.database import Store
from backend.store.errors import Conflict, NotFound
from backend.store.models import directory, gc_plan

VALID_HOURS = 24
KEPT_DAYS = 7
"""After so long the row of a plan goes, used or not."""
AGAIN = "preview again with `collapse gc` or POST /api/v1/gc"
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
"""What each kind is called where people read it."""
RelativePath = Annotated[str, Field(pattern=r"^(runs|imports)(/[^/\x00]{1,255}){1,16}$")]
"""A file's path relative to the data directory; `files.inside` refuses `..` in it."""


class GcRecord(BaseModel):
    """Base of what is stored of a clean-up."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PlannedFile(GcRecord):
    """A file as it was when the plan was made. `artifact` files have a row, which says their hash."""

    path: RelativePath
    size_bytes: int
    mtime_ns: int
    artifact: str | None = None
    """`geometry` or `checkpoint`; the others are told by their path alone."""
    step: int | None = None
    sha256: str | None = None


class PlannedItem(GcRecord):
    """Files that are removed together: a deleted run whole, some files of a run, or files of no run."""

    kind: ItemKind
    run_id: str | None
    files: tuple[PlannedFile, ...]
    deleted_at: str | None = None
    """When a deleted run was deleted."""

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


class SkippedItem(GcRecord):
    """Something that is left where it is, with the reason."""

    kind: ItemKind
    run_id: str | None
    path: str | None
    """The file, or None where the reason is about all files of the item."""
    reason: str


class MovedItem(GcRecord):
    """What became of an item: so many files of it were moved, between the data directory and the trash."""

    kind: ItemKind
    run_id: str | None
    count: int
    size_bytes: int


class CleanupRules(GcRecord):
    """What may be removed beside deleted runs and files without a row."""

    thin_geometry: Annotated[int, Field(ge=2, le=1_000_000)] | None = None
    """Keep every n-th capture of finished runs, the first and the last; all where it is left out."""
    checkpoints: bool = False
    """Remove the checkpoints of finished runs."""
    q: Annotated[str, Field(max_length=500)] = ""
    """Apply the two rules only to runs that match this filter."""


class CleanupPlan(GcRecord):
    """What a clean-up would remove from one data directory, as it was shown."""

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
        return sum(len(item.files) for item in self.items)


class CleanupResult(GcRecord):
    """What a clean-up, or a restore, did."""

    moved: tuple[MovedItem, ...]
    skipped: tuple[SkippedItem, ...]
    entry: str | None = None
    """The folder of the trash that the files went to."""
    stopped: bool = False
    """It was stopped between two items; the rest is as it was."""

    @property
    def size_bytes(self) -> int:
        return sum(item.size_bytes for item in self.moved)

    @property
    def count(self) -> int:
        return sum(item.count for item in self.moved)


def merge_results(
    outcomes: Sequence[CleanupResult], *, entry: str | None = None, stopped: bool = False
) -> CleanupResult:
    """Return several items' outcomes as one."""
    return CleanupResult(
        moved=tuple(moved for each in outcomes for moved in each.moved),
        skipped=tuple(skipped for each in outcomes for skipped in each.skipped),
        entry=entry,
        stopped=stopped,
    )


def save(store: Store, plan: CleanupPlan) -> None:
    """Keep a plan, and forget those that are older than a week."""
    content = plan.model_dump(mode="json")
    held = {"items": content["items"], "skipped": content["skipped"]}
    row = {"id": plan.id, "directory_id": plan.directory_id, "created_at": plan.created_at, "rules": content["rules"]}
    with store.writing() as connection:
        connection.execute(gc_plan.delete().where(gc_plan.c.created_at < _ago(hours=24 * KEPT_DAYS)))
        connection.execute(gc_plan.insert().values(**row, items=held))


def get(store: Store, plan_id: str) -> CleanupPlan:
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


def claim(store: Store, plan_id: str) -> CleanupPlan:
    """Take a plan for deleting, so that nobody else does; raises as `get`."""
    plan = get(store, plan_id)
    unused = (gc_plan.c.id == plan_id, gc_plan.c.deleted_at.is_(None))
    with store.writing() as connection:
        taken = connection.execute(sa.update(gc_plan).where(*unused).values(deleted_at=now())).rowcount
    return plan if taken else get(store, plan_id)


def expires_at(plan: CleanupPlan) -> str:
    """Return until when a plan can be used."""
    return text_of(datetime.fromisoformat(plan.created_at) + timedelta(hours=VALID_HOURS))


def _plan(row: sa.Row[Any]) -> CleanupPlan:
    return CleanupPlan(
        id=row.id,
        directory_id=row.directory_id,
        created_at=row.created_at,
        rules=CleanupRules.model_validate(row.rules),
        items=tuple(PlannedItem.model_validate(item) for item in row.items["items"]),
        skipped=tuple(SkippedItem.model_validate(item) for item in row.items["skipped"]),
    )


def _ago(*, hours: float) -> str:
    return text_of(datetime.now(UTC) - timedelta(hours=hours))
