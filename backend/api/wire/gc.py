"""Clean-up: requests, plans, results and the trash."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from backend.api.wire.base import WireModel, example_config


def _require_preview(value: Any) -> Any:
    """Refuse the old `dry_run=false`, which removed files without naming what was previewed."""
    if value is not True:
        raise ValueError(
            "this request only previews: leave dry_run out, and delete the plan that comes back with "
            "POST /api/v1/gc/{id}/delete"
        )
    return value


class GcRequest(WireModel):
    """What a clean-up may remove beside runs deleted a week ago and files without a row; it is previewed, not done."""

    model_config = example_config(thin_geometry=10, checkpoints=True, q="group:rates")
    thin_geometry: Annotated[int, Field(ge=2, le=1_000_000)] | None = None
    """Keep every n-th capture of finished runs, the first and the last; all where it is left out."""
    checkpoints: bool = False
    """Remove the checkpoints of finished runs."""
    q: str = Field(default="", max_length=500)
    """Apply the two rules only to runs that match this filter."""
    dry_run: Annotated[Literal[True], BeforeValidator(_require_preview)] = Field(
        default=True, json_schema_extra={"deprecated": True}
    )
    """Not needed any more: this request never removes anything."""


class GcItem(WireModel):
    """Files that are removed, or restored, together."""

    kind: str
    what: str
    """The kind, as people read it."""
    run_id: str | None
    count: int
    """How many files."""
    size_bytes: int


class GcSkipped(WireModel):
    """Something that is left where it is."""

    kind: str
    what: str
    run_id: str | None
    path: str | None
    """The file, relative to the data directory; null where the reason is about the item as a whole."""
    reason: str


class GcPlan(WireModel):
    """What a clean-up would remove; `POST /gc/{id}/delete` removes that, and nothing else."""

    id: str
    created_at: str
    expires_at: str
    """Until then the plan can be used, once."""
    count: int
    """How many files."""
    size_bytes: int
    items: list[GcItem]
    skipped: list[GcSkipped]
    """What would be eligible, and is left alone for a reason."""


class GcResult(WireModel):
    """What a clean-up moved to the trash, or a restore brought back."""

    count: int
    size_bytes: int
    items: list[GcItem]
    skipped: list[GcSkipped]
    """What was left, because it changed since the preview, say."""
    entry: str | None = None
    """The entry of the trash that holds it now."""


class TrashEntry(WireModel):
    """What one clean-up moved to the trash."""

    name: str
    created_at: str
    expires_at: str
    """When it is removed for good."""
    count: int
    size_bytes: int
    items: list[GcItem]


class Trash(WireModel):
    """What is in the trash, newest first; `digest` names this very content when it is emptied."""

    digest: str
    count: int
    size_bytes: int
    items: list[TrashEntry]


class RestoreTrashRequest(WireModel):
    """Which entries of the trash to bring back."""

    model_config = example_config(entries=["20260131T120000Z-0123456789abcdef"])
    entries: Annotated[list[Annotated[str, Field(max_length=64)]], Field(min_length=1, max_length=1000)]


class EmptyTrashRequest(WireModel):
    """What to remove for good: the trash as it was listed."""

    model_config = example_config(digest="0123456789abcdef")
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    """The digest of the list that was shown; another content of the trash is not emptied."""


class EmptyTrashResult(WireModel):
    """What was removed for good."""

    count: int
    size_bytes: int
