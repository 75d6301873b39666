"""Wire models of the clean-up: requests, plans, results and the trash."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from backend.api.wire.base import WireModel, example_config


def _require_preview(value: Any) -> Any:
    """Refuse the former `dry_run=false`, which deleted files without naming a preview."""
    if value is not True:
        raise ValueError(
            "this request only previews: leave dry_run out, and delete the plan that comes back with "
            "POST /api/v1/gc/{id}/delete"
        )
    return value


class GcRequest(WireModel):
    """Rules of a clean-up preview, besides runs deleted a week ago and files without a row. Deletes nothing."""

    model_config = example_config(thin_geometry=10, checkpoints=True, q="group:rates")
    thin_geometry: Annotated[int, Field(ge=2, le=1_000_000)] | None = None
    """Keep every n-th capture of finished runs, the first and the last; by default all."""
    checkpoints: bool = False
    """Delete the checkpoints of finished runs."""
    q: str = Field(default="", max_length=500)
    """Apply the two rules only to runs that match this filter."""
    dry_run: Annotated[Literal[True], BeforeValidator(_require_preview)] = Field(
        default=True, json_schema_extra={"deprecated": True}
    )
    """Deprecated: this request never deletes anything."""


class GcItem(WireModel):
    """Files that are deleted or restored together."""

    kind: str
    what: str
    """The kind's label."""
    run_id: str | None
    count: int
    """Number of files."""
    size_bytes: int


class GcSkipped(WireModel):
    """A file or item that is skipped."""

    kind: str
    what: str
    run_id: str | None
    path: str | None
    """The file, relative to the data directory; null if the reason concerns the whole item."""
    reason: str


class GcPlan(WireModel):
    """What a clean-up would delete; `POST /gc/{id}/delete` deletes exactly that."""

    id: str
    created_at: str
    expires_at: str
    """The plan can be used once until then."""
    count: int
    """Number of files."""
    size_bytes: int
    items: list[GcItem]
    skipped: list[GcSkipped]
    """Eligible items that are skipped, with the reason."""


class GcResult(WireModel):
    """What a clean-up moved to the trash, or what was restored."""

    count: int
    size_bytes: int
    items: list[GcItem]
    skipped: list[GcSkipped]
    """What was skipped, for example because it changed since the preview."""
    entry: str | None = None
    """The trash entry that has the files now."""


class TrashEntry(WireModel):
    """An entry of the trash: what one clean-up moved there."""

    name: str
    created_at: str
    expires_at: str
    """When it is removed permanently."""
    count: int
    size_bytes: int
    items: list[GcItem]


class Trash(WireModel):
    """The trash, newest entry first; `digest` identifies its content for emptying."""

    digest: str
    count: int
    size_bytes: int
    items: list[TrashEntry]


class RestoreTrashRequest(WireModel):
    """Trash entries to restore."""

    model_config = example_config(entries=["20260131T120000Z-0123456789abcdef"])
    entries: Annotated[list[Annotated[str, Field(max_length=64)]], Field(min_length=1, max_length=1000)]


class EmptyTrashRequest(WireModel):
    """Permanent removal of the trash as it was listed."""

    model_config = example_config(digest="0123456789abcdef")
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    """Digest of the listed content; if the content has changed, nothing is removed."""


class EmptyTrashResult(WireModel):
    """What was removed permanently."""

    count: int
    size_bytes: int
