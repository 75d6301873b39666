"""Provenance of figure files."""

from __future__ import annotations

from typing import Any

from backend.api.wire.base import WireModel


class FigureProvenance(WireModel):
    """Where a figure's file comes from."""

    address: str
    """The page that shows the same view."""
    made_by: str
    figure: str
    format: str
    runs: list[dict[str, Any]]
    """Id, name, config_hash, last_seq and versions of each run."""
    options: dict[str, str]
    epochs: list[float]
    """Of the captures that are drawn."""
    view_matrix: list[list[float]] | None
    command: str
    """The command that makes the file again."""
