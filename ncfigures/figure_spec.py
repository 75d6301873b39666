"""The content of a figure, independent of how it is rendered: matplotlib, Plotly and tables use the same spec.

A spec is panels, a legend, a caption and a table. A panel is a chart (lines with their range, histograms, bars, dots
with intervals), a heatmap, or a scene of points in three dimensions. Colours are the light theme's, as `#rrggbb`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from ncfigures.errors import FigureError
from ncfigures.palette import Dash

F64 = npt.NDArray[np.float64]
Symbol = Literal["ring", "dot", "diamond", "speck"]


MIN_LOG_RATIO = 20.0
"""Positive values that span a larger factor have a logarithmic axis."""


@dataclass(frozen=True, slots=True)
class Axis:
    """Axis title, scale, limits and tick labels."""

    label: str = ""
    log: bool = False
    limits: tuple[float, float] | None = None
    tick_labels: Sequence[tuple[float, str]] | None = None
    percent: bool = False
    """Whether values are fractions of one, shown in per cent."""


@dataclass(frozen=True, slots=True)
class LineSpec:
    """Points (x, y) joined by a line; NaN interrupts it. `low` and `high` are the shaded range."""

    label: str
    x: F64
    y: F64
    colour: str
    dash: Dash = "solid"
    low: F64 | None = None
    high: F64 | None = None
    column_name: str = ""
    """Its name in a table, if that is not its label."""
    markers: bool = False
    """Whether each point has a marker."""


@dataclass(frozen=True, slots=True)
class HistogramSteps:
    """A histogram: counts (n) between edges (n + 1)."""

    label: str
    edges: F64
    counts: F64
    colour: str
    dash: Dash = "solid"


@dataclass(frozen=True, slots=True)
class Bars:
    """Horizontal bars: `values` (n), one a row, stacked on the bars before; NaN draws nothing."""

    label: str
    values: F64
    colours: Sequence[str]
    low: F64 | None = None
    high: F64 | None = None


@dataclass(frozen=True, slots=True)
class DotIntervals:
    """Dots at `values` (n), one a row, each with a line from `low` to `high`."""

    values: F64
    low: F64
    high: F64
    colours: Sequence[str]


@dataclass(frozen=True, slots=True)
class ReferenceLine:
    """A line across the chart at `value` of an axis: dashed with a label (an ideal), solid without (zero)."""

    value: float
    axis: Literal["x", "y"] = "y"
    label: str = ""


@dataclass(frozen=True, slots=True)
class ChartSpec:
    """A chart; `row_labels` are the names of horizontal bars or intervals, the first at the top."""

    title: str = ""
    x: Axis = Axis()
    y: Axis = Axis()
    lines: Sequence[LineSpec] = ()
    histograms: Sequence[HistogramSteps] = ()
    bars: Sequence[Bars] = ()
    intervals: DotIntervals | None = None
    row_labels: Sequence[str] = ()
    hide_row_labels: bool = False
    """Whether colours, explained by the legend, replace the row labels."""
    reference_lines: Sequence[ReferenceLine] = ()
    aspect: float = 0.72
    """Height divided by width."""


@dataclass(frozen=True, slots=True)
class HeatmapSpec:
    """A matrix on a diverging colour scale that is neutral at `centre`; NaN is left empty."""

    values: F64
    labels: Sequence[str]
    centre: float
    half_range: float
    end_colours: tuple[str, str]
    """The colours at `centre − half_range` and `centre + half_range`."""
    tick_labels: tuple[str, str, str]
    """Labels of the colour scale: lower end, middle, upper end."""
    title: str = ""
    show_labels: bool = True
    """Whether the labels are written along both axes."""
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
class SceneSpec:
    """Points and paths in 3D, with a camera, and class names beside some of the means."""

    points: Sequence[ScenePoints]
    paths: Sequence[ScenePath]
    camera: str | None
    class_names: Sequence[str]
    labelled_classes: Sequence[tuple[int, F64]] = ()
    """Labels of the classes whose names are written, each with its position (3)."""
    coordinates: dict[str, F64] = field(default_factory=dict)
    """By kind of point, the coordinates (n, R) in the frame of the nearest ETF."""
    title: str = ""
    aspect: float = 0.92


Panel = ChartSpec | HeatmapSpec | SceneSpec


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """An entry of the legend: a line, a symbol, or a patch of colour."""

    label: str
    colour: str
    dash: Dash | None = None
    symbol: Symbol | Literal["patch"] | None = None


@dataclass(frozen=True, slots=True)
class TableCell:
    """A number of a table: a value, or a median with its range over `count` runs; `best` is set in bold."""

    value: float
    low: float | None = None
    high: float | None = None
    count: int = 1
    best: bool = False
    percent: bool = False


@dataclass(frozen=True, slots=True)
class SummaryTable:
    """The numbers of a figure: rows of a name and a cell for each column, None where there is no number."""

    corner: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[TableCell | None]]]


@dataclass(frozen=True, slots=True)
class FigureSpec:
    """A figure: its panels in reading order, `columns` of them a row, with legend, caption and table."""

    panels: Sequence[Panel]
    legend: Sequence[LegendEntry]
    caption: str
    table: SummaryTable
    columns: int = 1
    notices: Sequence[str] = ()
    """One sentence for each thing that could not be shown as requested."""
    letters: bool = False


@dataclass(frozen=True)
class Camera:
    """Position of the eye, up vector and zoom; the camera looks at the origin."""

    eye: tuple[float, float, float] = (1.25, 1.25, 0.8)
    up: tuple[float, float, float] = (0.0, 0.0, 1.0)
    zoom: float = 1.0

    def project(self, points_N3: F64) -> tuple[F64, F64]:
        """Return screen coordinates (N, 2) and depth towards the eye (N) of points (N, 3)."""
        back = np.asarray(self.eye) / np.linalg.norm(self.eye)
        right = np.cross(np.asarray(self.up), back)
        right /= np.linalg.norm(right)
        upward = np.cross(back, right)
        return points_N3 @ np.stack([right, upward], axis=1), points_N3 @ back


def parse_camera(text: str | None) -> Camera:
    """Read `ex,ey,ez,ux,uy,uz,zoom`; raises FigureError for any other text."""
    if not text:
        return Camera()
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 7 or not np.isfinite(numbers).all() or not numbers[6] > 0:
        raise FigureError(f"camera must be seven numbers ex,ey,ez,ux,uy,uz,zoom with zoom > 0, got {text!r}")
    eye, up = tuple(numbers[:3]), tuple(numbers[3:6])
    if np.linalg.norm(np.cross(eye, up)) < 1e-6 * max(1.0, float(np.linalg.norm(eye))):
        raise FigureError(f"the camera's up must not point along its eye, got {text!r}")
    return Camera(eye, up, numbers[6])  # type: ignore[arg-type]
