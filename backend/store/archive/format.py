"""What an archive consists of, and how much of everything: models of its JSON, names of its parts, limits.

Everything is bounded while it is read: what a limit refuses was never in memory or on the disk.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, FailFast, Field

from backend.store import artifacts
from backend.store.event_payloads import NO_NULL, Scalars, Split
from backend.store.validation import Name, Tags

FORMAT = 1
MAX_PARTS = 50_000
MAX_EVENTS = 500_000
MAX_LINE_BYTES = 4 * 2**20
"""Of an event. The largest is RunStarted of 25,000 classes, with two or three."""
MAX_LINE_VALUES, MAX_LINE_LISTS, MAX_LINE_KEYS = 200_000, 30_000, 25_000
"""Values, lists and objects, and keys in an event: in memory each takes much more than the few bytes that it may have,
and each key that should not be there becomes an error with a description."""
MAX_KEYS = 1000
"""In one object of run.json or manifest.json, but for the list of parts."""
MAX_RUN_BYTES, MAX_MANIFEST_BYTES = 8 * 2**20, 12 * 2**20
"""Of run.json and manifest.json with as many parts as there may be."""
MAX_RATIO = 200
"""So many times its packed size may a part grow to; what is said to grow more is a bomb."""
SMALL_BYTES = 2**20
"""A part up to this size may be packed as tightly as can be."""
DIGEST = r"^[0-9a-f]{64}$"
PART_NAME = re.compile(
    rf"run\.json|events\.jsonl|metrics\.csv|artifacts/({'|'.join(artifacts.KINDS)})-[0-9]{{9}}-a[0-9]{{1,6}}\.safetensors"
)


class ArchiveModel(BaseModel):
    """Base of what is read from an archive."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ArchivePart(ArchiveModel):
    """What the manifest says of a part."""

    sha256: Annotated[str, Field(pattern=DIGEST)]
    size_bytes: Annotated[int, Field(ge=0, le=2**45)]


class ArchiveManifest(ArchiveModel):
    """The list of parts."""

    format: Literal[1]
    code_version: Annotated[str, Field(max_length=100, pattern=NO_NULL)]
    run: Annotated[str, Field(pattern=r"^[0-9a-hjkmnp-tv-z]{10}$")]
    parts: dict[str, ArchivePart]


def _require_moment(text: str) -> str:
    datetime.fromisoformat(text)  # raises ValueError for the 31st of February
    return text


Timestamp = Annotated[
    str,
    Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z$"),
    AfterValidator(_require_moment),
]
Step = Annotated[int, Field(ge=0, lt=2**31)]


class ArchivedArtifact(ArchiveModel):
    """A file of arrays: which event speaks of it, and the part that it is."""

    kind: artifacts.ArtifactKind
    step: Step
    seq: Step
    part: Annotated[str, Field(max_length=100)]


class ArchivedAttempt(ArchiveModel):
    """An attempt, without the process that it was."""

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
    config_hash: Annotated[str, Field(pattern=DIGEST)]
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
