"""What a figure consists of, said once: matplotlib prints it, Plotly shows it, tables list it.

A *spec* is panels and what belongs to all of them. A panel is a chart (lines with their range, steps, bars, dots with
whiskers), a heatmap, or a scene of points in three dimensions. Colours are the light theme's, as `#rrggbb`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from backend.api.configurations import Dash

F64 = npt.NDArray[np.float64]
Symbol = Literal["ring", "dot", "diamond", "speck"]


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis: what stands beside it, its scale, where it ends, and words in the place of numbers."""

    label: str = ""
    log: bool = False
    limits: tuple[float, float] | None = None
    tick_labels: Sequence[tuple[float, str]] | None = None
    percent: bool = False
    """Shares of one, read as per cent."""


@dataclass(frozen=True, slots=True)
class Line:
    """Points (x, y) joined by a line; NaN interrupts it. `low` and `high` are the range that lies behind it."""

    label: str
    x: F64
    y: F64
    colour: str
    dash: Dash = "solid"
    low: F64 | None = None
    high: F64 | None = None
    column_name: str = ""
    """What it is called in a table, where that is more than its label."""
    markers: bool = False
    """Mark each point too, where they are few."""


@dataclass(frozen=True, slots=True)
class HistogramSteps:
    """Counts (n) between edges (n + 1)."""

    label: str
    edges: F64
    counts: F64
    colour: str
    dash: Dash = "solid"


@dataclass(frozen=True, slots=True)
class Bars:
    """One part of horizontal bars: `values` (n) by row, stacked on the parts before it; NaN draws nothing."""

    label: str
    values: F64
    colours: Sequence[str]
    low: F64 | None = None
    high: F64 | None = None


@dataclass(frozen=True, slots=True)
class DotIntervals:
    """By row, a dot at `values` (n) with a line from `low` to `high`."""

    values: F64
    low: F64
    high: F64
    colours: Sequence[str]


@dataclass(frozen=True, slots=True)
class ReferenceLine:
    """A line across the chart at a value of the axis `along`: an ideal, dashed, or zero."""

    value: float
    axis: Literal["x", "y"] = "y"
    label: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart; `rows` are the names of horizontal bars or spans, the first at the top."""

    title: str = ""
    x: Axis = Axis()
    y: Axis = Axis()
    lines: Sequence[Line] = ()
    histograms: Sequence[HistogramSteps] = ()
    bars: Sequence[Bars] = ()
    intervals: DotIntervals | None = None
    row_labels: Sequence[str] = ()
    hide_row_labels: bool = False
    """The rows are told apart by their colours, which the legend explains."""
    reference_lines: Sequence[ReferenceLine] = ()
    aspect: float = 0.72
    """Height by width."""


@dataclass(frozen=True, slots=True)
class Heatmap:
    """A matrix in colours that are centred on `centre`, where they are neutral; NaN is left empty."""

    values: F64
    labels: Sequence[str]
    centre: float
    half_range: float
    end_colours: tuple[str, str]
    """The colours at `centre − spread` and `centre + spread`."""
    tick_labels: tuple[str, str, str]
    """What stands at the ends and the middle of the scale."""
    title: str = ""
    show_labels: bool = True
    """Write the names at both sides."""
    aspect: float = 0.82


@dataclass(frozen=True, slots=True)
class ScenePoints:
    """Points (n, 3) of one kind, with a colour each; `labels` (n) are their classes."""

    kind: str
    symbol: Symbol
    positions_N3: F64
    colours: Sequence[str]
    labels: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ScenePath:
    """A line (n, 3) in a scene: a spoke, a trail."""

    kind: str
    positions_N3: F64
    colour: str
    label: int = -1


@dataclass(frozen=True, slots=True)
class Scene:
    """Points and paths as a camera sees them, with the names of some classes beside their means."""

    points: Sequence[ScenePoints]
    paths: Sequence[ScenePath]
    camera: str | None
    class_names: Sequence[str]
    labelled_classes: Sequence[tuple[int, F64]] = ()
    """Classes whose names are written, with the point (3) that each names."""
    coordinates: dict[str, F64] = field(default_factory=dict)
    """By kind, the coordinates in the frame of the nearest ETF that the points were seen from."""
    title: str = ""
    aspect: float = 0.92


Panel = Chart | Heatmap | Scene


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """What a mark means, for the legend: a line, a symbol, or a patch of colour."""

    label: str
    colour: str
    dash: Dash | None = None
    symbol: Symbol | Literal["patch"] | None = None


@dataclass(frozen=True, slots=True)
class TableCell:
    """A number of a table: a value, or a median with its range over `of` runs; `best` stands out."""

    value: float
    low: float | None = None
    high: float | None = None
    count: int = 1
    best: bool = False
    percent: bool = False


@dataclass(frozen=True, slots=True)
class SummaryTable:
    """What a figure shows, in numbers: a name and a cell for each column, or None where there is none."""

    corner: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[TableCell | None]]]


@dataclass(frozen=True, slots=True)
class FigureSpec:
    """A figure: its panels in reading order, `columns` of them a row, and what is to be said of it."""

    panels: Sequence[Panel]
    legend: Sequence[LegendEntry]
    caption: str
    table: SummaryTable
    columns: int = 1
    notices: Sequence[str] = ()
    """What the figure could not show as asked, in a sentence each."""
    letters: bool = False
