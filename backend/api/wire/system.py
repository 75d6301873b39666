"""The machine, the server's readiness, and the results of diagnostics."""

from __future__ import annotations

from backend.api.wire.base import WireModel


class SystemStatus(WireModel):
    """The machine's resources and the server's load."""

    version: str
    devices: list[str]
    slots: dict[str, int]
    """Number of runs at once by device."""
    cores: int
    memory_bytes: int
    server_memory_bytes: int
    disk_free_bytes: int
    disk_full: bool
    """Whether too little of the disk is free to start runs."""
    running: int
    queued: int


class CheckResultWire(WireModel):
    """Result of one diagnostic check."""

    what: str
    ok: bool
    found: str
    remedy: str
    """What to do, or empty."""
    required: bool
    """Whether runs or pages need it."""


class Readiness(WireModel):
    """Whether the server can take runs, and its problems if not."""

    ready: bool
    problems: list[str]
