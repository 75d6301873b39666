"""Wire model of a figure file's provenance."""

from __future__ import annotations

from typing import Any

from backend.api.wire.base import WireModel


class FigureProvenance(WireModel):
    """Provenance of a figure file."""

    address: str
    """Path of the page with the same view."""
    made_by: str
    figure: str
    format: str
    runs: list[dict[str, Any]]
    """Id, name, config hash, last_seq and versions of each run."""
    options: dict[str, str]
    epochs: list[float]
    """Epochs of the captures shown."""
    view_matrix: list[list[float]] | None
    command: str
    """The command that recreates the file."""
