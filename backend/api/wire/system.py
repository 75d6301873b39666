"""The machine, the server's readiness, and the results of diagnostics."""

from __future__ import annotations

from backend.api.wire.base import WireModel
from backend.jobs.doctor import CheckResult

__all__ = ["CheckResult", "Readiness", "SystemStatus"]


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
    documentation: bool
    """Whether the documentation is built and served at `/docs`."""


class Readiness(WireModel):
    """Whether the server can take runs, and its problems if not."""

    ready: bool
    problems: list[str]
