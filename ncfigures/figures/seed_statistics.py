"""Statistics over seeds, and what figures share: splits, scales, lines at ideals, legends, captions, table cells."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from ncfigures import palette
from ncfigures.figure_data import FigureRequest, MetricDescription, SeedGroup
from ncfigures.figure_spec import F64, MIN_LOG_RATIO, LegendEntry, LineSpec, ReferenceLine, TableCell
from ncfigures.palette import Dash

SPLIT_DASHES: dict[str, Dash] = {"train": "solid", "test": "dot"}
IDEAL = LegendEntry("ideal", palette.TOKENS["light"]["ink-3"], "dash")


@dataclass(frozen=True, slots=True)
class SeedStatistics:
    """Median, minimum and maximum over `count` seeds at `x`."""

    x: F64
    median: F64
    min: F64
    max: F64
    count: int

    def range(self) -> tuple[F64, F64] | tuple[None, None]:
        """Return minimum and maximum, or None twice for one seed."""
        return (self.min, self.max) if self.count > 1 else (None, None)

    def final(self) -> tuple[float, float, float] | None:
        """Return median, minimum and maximum at the last `x` that has them."""
        here = np.flatnonzero(np.isfinite(self.median))
        if not len(here):
            return None
        last = here[-1]
        return float(self.median[last]), float(self.min[last]), float(self.max[last])


def summarise_seeds(curves: Sequence[tuple[npt.ArrayLike, F64]]) -> SeedStatistics:
    """Return the statistics of curves (x, values) at every x of any curve; NaN where no seed has a value."""
    places = np.unique(np.concatenate([np.asarray(x, np.float64) for x, _ in curves]))
    table = np.full((len(curves), len(places)), math.nan)
    for row, (x, values) in zip(table, curves, strict=True):
        row[np.searchsorted(places, np.asarray(x, np.float64))] = values
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a place where no seed has a value stays NaN
        return SeedStatistics(
            places, np.nanmedian(table, axis=0), np.nanmin(table, axis=0), np.nanmax(table, axis=0), len(curves)
        )


def make_line(
    statistics: SeedStatistics,
    request: FigureRequest,
    group: SeedGroup,
    split: str,
    key: str = "",
    *,
    markers: bool = False,
) -> LineSpec:
    """Return the line of a group on a split, with its range over several seeds.

    Splits of one group differ in their dashes; several groups have the colours of their heads.
    """
    several = len(request.groups) > 1
    low, high = statistics.range()
    column = f"{split}/{key}" if key else split
    return LineSpec(
        label=group.label if several else split,
        x=statistics.x,
        y=statistics.median,
        colour=palette.HEAD_COLOURS["light"][palette.head_key(group.head)],
        dash=group.dash if several else SPLIT_DASHES[split],
        low=low,
        high=high,
        column_name=f"{group.label} {column}" if several else column,
        markers=markers,
    )


def choose_splits(request: FigureRequest) -> list[str]:
    """Return the requested splits; by default train and test for one group, train only for several."""
    if request.figure == "test":
        return ["test"]
    if request.options.split is not None:
        return request.options.split.split(",")
    return ["train"] if len(request.groups) > 1 else ["train", "test"]


def needs_log_axis(values: F64) -> bool:
    """Return whether the finite values are positive and span more than a factor of MIN_LOG_RATIO."""
    finite = values[np.isfinite(values)]
    return bool(len(finite) and (finite > 0).all() and finite.max() > MIN_LOG_RATIO * finite.min())


def make_ideal_lines(metric: MetricDescription, *, log: bool, axis: Literal["x", "y"] = "y") -> list[ReferenceLine]:
    """Return the line at a metric's ideal; none at zero on a logarithmic axis, where the caption names it."""
    if metric.ideal is None or (log and metric.ideal <= 0):
        return []
    return [ReferenceLine(float(metric.ideal), axis, "ideal")]


def format_definitions(request: FigureRequest, keys: Iterable[str]) -> str:
    """Return the names, formulas and sources of metrics."""
    metrics = [request.metrics[key] for key in keys]
    return "; ".join(f"{metric.label}: {metric.formula} ({metric.source})" for metric in metrics)


def make_legend(request: FigureRequest, splits: Sequence[str]) -> list[LegendEntry]:
    """Return the legend: the splits of one group, or several groups."""
    colours = choose_colours(request)
    if len(request.groups) > 1:
        return [
            LegendEntry(group.label, colour, group.dash) for group, colour in zip(request.groups, colours, strict=True)
        ]
    return [LegendEntry(split, colours[0], SPLIT_DASHES[split]) for split in splits]


def summarise_metric(group: SeedGroup, split: str, key: str) -> SeedStatistics | None:
    """Return a metric of a group's runs over epochs; None if no run has it."""
    of_runs = [run.curves for run in group.runs if run.curves is not None]
    having = [series for series in of_runs if key in series.values.get(split, {})]
    curves = [(series.epochs, series.values[split][key]) for series in having]
    return summarise_seeds(curves) if curves else None


def make_final_cell(statistics: SeedStatistics | None, *, percent: bool = False) -> TableCell | None:
    """Return the final value of a metric as a table cell."""
    end = None if statistics is None else statistics.final()
    if statistics is None or end is None:
        return None
    middle, low, high = end
    return (
        TableCell(middle, low, high, statistics.count, percent=percent)
        if statistics.count > 1
        else TableCell(middle, percent=percent)
    )


def make_runs_cell(values: Sequence[float], *, percent: bool = False) -> TableCell:
    """Return one number a run as a table cell: median and range over several runs."""
    if len(values) == 1:
        return TableCell(values[0], percent=percent)
    return TableCell(float(np.median(values)), min(values), max(values), len(values), percent=percent)


def mark_best(cells: Sequence[TableCell | None], direction: str) -> list[TableCell | None]:
    """Return a column with its best median marked; nothing is marked if all are equal."""
    values = [each.value for each in cells if each is not None]
    if len(set(values)) < 2:
        return list(cells)
    leading = max(values) if direction == "high" else min(values)
    return [each if each is None else replace(each, best=each.value == leading) for each in cells]


def choose_colours(request: FigureRequest) -> list[str]:
    """Return the colour of each group's head."""
    return [palette.HEAD_COLOURS["light"][palette.head_key(group.head)] for group in request.groups]


def format_seed_note(request: FigureRequest, mark: str = "shaded") -> str:
    """Return the sentence of a caption about seeds and what marks their range, empty for single runs."""
    counts = sorted({len(group.runs) for group in request.groups})
    if counts == [1]:
        return ""
    number = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f" Median over {number} seeds, {mark} from the least to the largest."


def format_panel_title(request: FigureRequest, index: int) -> str:
    """Return the title of a panel: its group, its epoch, or both."""
    each = len(request.first_run().captures)
    label = request.groups[index // each].label
    epoch = f"epoch {request.groups[index // each].runs[0].captures[index % each].epoch:g}"
    if len(request.groups) == 1:
        return epoch
    return label if each == 1 else f"{label}, {epoch}"
