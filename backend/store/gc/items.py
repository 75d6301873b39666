"""What a clean-up is about: groups of files that can be removed, and what was removed or left alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["deleted-run", "captures", "checkpoints", "files-without-row", "folder-without-run", "unfinished-import"]
LABELS: dict[Kind, str] = {
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


class Record(BaseModel):
    """Base of what is stored of a clean-up."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PlannedFile(Record):
    """A file as it was when the plan was made. `artifact` files have a row, which says their hash."""

    path: RelativePath
    size_bytes: int
    mtime_ns: int
    artifact: str | None = None
    """`geometry` or `checkpoint`; the others are told by their path alone."""
    step: int | None = None
    sha256: str | None = None


class PlannedItem(Record):
    """Files that are removed together: a deleted run whole, some files of a run, or files of no run."""

    kind: Kind
    run_id: str | None
    files: tuple[PlannedFile, ...]
    deleted_at: str | None = None
    """When a deleted run was deleted."""

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


class Skipped(Record):
    """Something that is left where it is, with the reason."""

    kind: Kind
    run_id: str | None
    path: str | None
    """The file, or None where the reason is about all files of the item."""
    reason: str


class Moved(Record):
    """What became of an item: so many files of it were moved, between the data directory and the trash."""

    kind: Kind
    run_id: str | None
    count: int
    size_bytes: int


class Rules(Record):
    """What may be removed beside deleted runs and files without a row."""

    thin_geometry: Annotated[int, Field(ge=2, le=1_000_000)] | None = None
    """Keep every n-th capture of finished runs, the first and the last; all where it is left out."""
    checkpoints: bool = False
    """Remove the checkpoints of finished runs."""
    q: Annotated[str, Field(max_length=500)] = ""
    """Apply the two rules only to runs that match this filter."""


class Plan(Record):
    """What a clean-up would remove from one data directory, as it was shown."""

    id: str
    directory_id: str
    created_at: str
    rules: Rules
    items: tuple[PlannedItem, ...]
    skipped: tuple[Skipped, ...]

    @property
    def size_bytes(self) -> int:
        return sum(item.size_bytes for item in self.items)

    @property
    def count(self) -> int:
        return sum(len(item.files) for item in self.items)


class Outcome(Record):
    """What a clean-up, or a restore, did."""

    moved: tuple[Moved, ...]
    skipped: tuple[Skipped, ...]
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


def one_outcome(outcomes: Sequence[Outcome], *, entry: str | None = None, stopped: bool = False) -> Outcome:
    """Return several items' outcomes as one."""
    return Outcome(
        moved=tuple(moved for each in outcomes for moved in each.moved),
        skipped=tuple(skipped for each in outcomes for skipped in each.skipped),
        entry=entry,
        stopped=stopped,
    )
