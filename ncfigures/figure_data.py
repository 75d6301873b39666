"""The data of a figure as plain arrays and values. Together with the options they determine the bytes of its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ncfigures.catalogue import FigureName, Format
from ncfigures.errors import FigureError
from ncfigures.options import FigureOptions
from ncfigures.palette import Dash

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MetricDescription:
    """A metric's name, formula and reading, as captions, axes and tables need them."""

    label: str
    formula: str
    source: str
    direction: Literal["low", "high"]
    """Which values are better."""
    ideal: float | None
    """The value at perfect collapse for the number of classes drawn, None where there is none."""
    share: bool
    """Whether the value is a fraction of one, written in per cent."""


@dataclass(frozen=True, slots=True)
class MetricCurves:
    """Metrics over epochs: `values[split][key]` (n) belongs to `epochs` (n), NaN where nothing was measured.

    Hidden layers are splits of their own, `layer:NAME` for training and `layer-test:NAME` for test samples, in the
    order of the forward pass.
    """

    epochs: Sequence[int]
    values: Mapping[str, Mapping[str, F64]]


@dataclass(frozen=True, slots=True)
class CaptureData:
    """Coordinates of one epoch in the frame of the nearest ETF (R = K−1 dimensions, or 3 above 128 classes).

    `arrays` has `means`, `weights`, `features`, `labels` and `cosines_means`, and where a figure needs them `margins`,
    `margins_test`, `spectrum_within` and `spectrum_between`.
    """

    epoch: float
    step: int
    class_names: Sequence[str]
    view: str
    view_matrix: F64
    """(R, 3), from coordinates to the picture."""
    vertices: F64
    """(K, R), the vertices of the ETF."""
    arrays: Mapping[str, npt.NDArray[Any]]
    residual: float | None
    """Share of the class means' norm outside the frame."""
    smallest_angle_deg: float
    smallest_pair: tuple[int, int]
    mean_angle_error_deg: float
    cosine_quantiles: Mapping[str, float] = field(default_factory=dict)
    """By share of pairs, written as a number, the cosine that so many pairs are at least."""
    shown_classes: tuple[int, ...] | None = None
    """Labels of the classes that are drawn, None for all."""


@dataclass(frozen=True, slots=True)
class StepCosts:
    """Time and memory of a training step, from the newest reports of a run."""

    seconds: Mapping[str, float]
    """By phase, the median."""
    memory_bytes: Mapping[str, int]
    """The maximum: by phase on a GPU, of the whole process on a CPU."""
    reports: int


@dataclass(frozen=True, slots=True)
class RunData:
    """One run and the parts of it that a figure draws."""

    id: str
    name: str
    config_hash: str
    last_seq: int
    classes: int
    device: str
    implicit_gradient: bool | None
    """Whether the gradient passes through the choice of the nearest ETF; None for other heads."""
    versions: Mapping[str, str] = field(default_factory=dict)
    curves: MetricCurves | None = None
    captures: Sequence[CaptureData] = ()
    costs: StepCosts | None = None
    collapse_epochs: Mapping[tuple[str, str], int | None] = field(default_factory=dict)
    """By metric and split, the first epoch from which on the metric stays at or beyond its threshold, None if never."""


@dataclass(frozen=True, slots=True)
class SeedGroup:
    """Runs that differ in their seed only, drawn as one: median and range."""

    label: str
    head: str
    dash: Dash
    runs: Sequence[RunData]


@dataclass(frozen=True, slots=True)
class FigureRequest:
    """A figure with its data and its options."""

    figure: FigureName
    format: Format
    groups: Sequence[SeedGroup]
    options: FigureOptions
    metrics: Mapping[str, MetricDescription]
    software: str
    """Name and version of the program, written into the file."""
    notices: Sequence[str] = ()
    """What was asked for and is not available, and what is drawn instead."""

    def first_run(self) -> RunData:
        """Return the first run of the first group."""
        return self.groups[0].runs[0]

    def last_epoch(self) -> int:
        """Return the last measured epoch of all runs."""
        return max(run.curves.epochs[-1] for run in self.all_runs() if run.curves is not None)

    def shown_captures(self) -> list[CaptureData]:
        """Return the captures of each group's first run; raises FigureError where there is none."""
        captures = [capture for group in self.groups for capture in group.runs[0].captures]
        if not captures:
            raise FigureError("this figure needs a geometry capture, and the run has none yet")
        return captures

    def all_runs(self) -> list[RunData]:
        """Return the runs of all groups."""
        return [run for group in self.groups for run in group.runs]
