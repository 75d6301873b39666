"""A figure's data and options: everything that its bytes depend on, as it goes to the process that draws."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from backend.api import wire
from backend.api.configurations import Dash
from ncfigures.catalogue import FigureName, Format
from ncfigures.options import FigureOptions


class Costs(BaseModel):
    """What a training step takes, in the newest reports of a run."""

    seconds: dict[str, float]
    """By phase, the median."""
    memory_bytes: dict[str, int]
    """By phase on a GPU, of the whole process on a CPU; the largest."""
    reports: int


class Member(BaseModel):
    """One run, and what of it is drawn."""

    run: wire.RunWire
    config_hash: str
    versions: dict[str, str] = Field(default_factory=dict)
    series: wire.MetricSeries | None = None
    captures: list[wire.GeometryWire] = Field(default_factory=list)
    costs: Costs | None = None


class DrawnEntry(BaseModel):
    """A run, or runs that differ in their seed alone."""

    label: str
    head: str
    dash: Dash
    members: list[Member]


class FigureRequest(BaseModel):
    """A figure, its data and its options."""

    model_config = ConfigDict(extra="forbid")
    figure: FigureName
    format: Format
    entries: list[DrawnEntry]
    options: FigureOptions
    notices: list[str] = Field(default_factory=list)
    """What was asked for and is not there, with what is drawn instead."""

    def first(self) -> Member:
        """Return the first run."""
        return self.entries[0].members[0]
