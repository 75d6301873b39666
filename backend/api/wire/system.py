"""The machine, the server's readiness, and the results of diagnostics."""

from __future__ import annotations

from backend.api.wire.base import WireModel


class SystemStatus(WireModel):
    """The machine and this server."""

    version: str
    devices: list[str]
    slots: dict[str, int]
    """How many runs each device takes at once."""
    cores: int
    memory_bytes: int
    server_memory_bytes: int
    disk_free_bytes: int
    disk_full: bool
    """So little of the disk is free that no further run starts."""
    running: int
    queued: int


class CheckResultWire(WireModel):
    """One thing that the doctor looked at."""

    what: str
    ok: bool
    found: str
    remedy: str
    """What to do about it, or nothing."""
    required: bool
    """Runs or pages need it."""


class Readiness(WireModel):
    """Whether the server can take runs, and which of its parts say no."""

    ready: bool
    problems: list[str]
