"""The format of an archive: models of its JSON, names of its parts, and limits.

The limits hold while an archive is read: content beyond a limit is never in memory or on disk.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, FailFast, Field

from backend.store import artifacts
from backend.store.event_payloads import NO_NULL, Scalars, Split, Step
from backend.store.validation import SHA256_PATTERN, Name, Tags

FORMAT = 1
MAX_PARTS = 50_000
MAX_EVENTS = 500_000
MAX_LINE_BYTES = 4 * 2**20
"""Size of one event. The largest, RunStarted of 25,000 classes, has two to three MiB."""
MAX_LINE_VALUES, MAX_LINE_LISTS, MAX_LINE_KEYS = 200_000, 30_000, 25_000
"""Values, lists and objects, and keys in one event: in memory each takes much more than the few bytes in the file, and
each unknown key becomes a validation error with a description."""
MAX_KEYS = 1000
"""Keys in one object of run.json or manifest.json, except the list of parts."""
MAX_RUN_BYTES, MAX_MANIFEST_BYTES = 8 * 2**20, 12 * 2**20
"""Sizes of run.json and manifest.json with the maximum number of parts."""
MAX_RATIO = 200
"""Maximum ratio of the unpacked to the packed size of a part; a higher one is a zip bomb."""
SMALL_BYTES = 2**20
"""`MAX_RATIO` does not apply to parts up to this size."""
PART_NAME = re.compile(
    rf"run\.json|events\.jsonl|metrics\.csv|artifacts/({'|'.join(artifacts.KINDS)})-[0-9]{{9}}-a[0-9]{{1,6}}\.safetensors"
)


class ArchiveModel(BaseModel):
    """Base class of what is read from an archive."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ArchivePart(ArchiveModel):
    """Hash and size of a part in the manifest."""

    sha256: Annotated[str, Field(pattern=SHA256_PATTERN)]
    size_bytes: Annotated[int, Field(ge=0, le=2**45)]


class ArchiveManifest(ArchiveModel):
    """The manifest: format, run and the list of parts."""

    format: Literal[1]
    code_version: Annotated[str, Field(max_length=100, pattern=NO_NULL)]
    run: Annotated[str, Field(pattern=r"^[0-9a-hjkmnp-tv-z]{10}$")]
    parts: dict[str, ArchivePart]


def _validate_timestamp(text: str) -> str:
    datetime.fromisoformat(text)  # raises ValueError for the 31st of February
    return text


Timestamp = Annotated[
    str,
    Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z$"),
    AfterValidator(_validate_timestamp),
]


class ArchivedArtifact(ArchiveModel):
    """A file of arrays: its kind, step and event, and the part of the archive that has it."""

    kind: artifacts.ArtifactKind
    step: Step
    seq: Step
    part: Annotated[str, Field(max_length=100)]


class ArchivedAttempt(ArchiveModel):
    """An attempt, without its process."""

    number: Annotated[int, Field(ge=1, le=1_000_000)]
    device: Annotated[str, Field(max_length=16, pattern=NO_NULL)]
    claimed_at: Timestamp
    ended_at: Timestamp | None
    outcome: Annotated[str, Field(max_length=50_000, pattern=NO_NULL)] | None


class ArchivedRun(ArchiveModel):
    """A run's row."""

    name: Name
    status: Literal["finished", "cancelled", "failed", "paused"]
    group: Name | None
    tags: Tags
    notes: Annotated[str, Field(max_length=100_000, pattern=NO_NULL)]
    config: dict[str, Any]
    config_hash: Annotated[str, Field(pattern=SHA256_PATTERN)]
    code_version: Annotated[str, Field(max_length=100, pattern=NO_NULL)]
    created_at: Timestamp
    started_at: Timestamp | None
    ended_at: Timestamp | None
    attempt: Annotated[int, Field(ge=0, le=1_000_000)]
    last_seq: Annotated[int, Field(ge=1, lt=2**31)]
    epoch: Step
    summary: dict[Split, Scalars]
    error: Annotated[str, Field(max_length=100_000, pattern=NO_NULL)] | None
    running_s: Annotated[float, Field(ge=0, le=1e10, allow_inf_nan=False)]
    attempts: Annotated[list[ArchivedAttempt], Field(max_length=10_000), FailFast()]
    artifacts: Annotated[list[ArchivedArtifact], Field(max_length=MAX_PARTS), FailFast()]


class ArchivedEvent(ArchiveModel):
    """A line of events.jsonl."""

    seq: Annotated[int, Field(ge=1, lt=2**31)]
    type: Annotated[str, Field(pattern=r"^[A-Za-z]{1,32}$")]
    at: Timestamp
    payload: dict[str, Any]
