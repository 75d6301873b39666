"""What several seeds have in common: the median and the range of a metric at each place that any of them has."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from backend.api.configurations import Dash
from ncfigures import palette
from ncfigures.figure_request import DrawnEntry, FigureRequest
from ncfigures.figure_spec import F64, LegendEntry, Line, TableCell

SPLIT_DASHES: dict[str, Dash] = {"train": "solid", "test": "dot"}
IDEAL = LegendEntry("ideal", palette.TOKENS["light"]["ink-3"], "dash")


@dataclass(frozen=True, slots=True)
class SeedStatistics:
    """Median, least and largest over seeds at places `x`."""

    x: F64
    median: F64
    min: F64
    max: F64
    count: int

    def range(self) -> tuple[F64, F64] | tuple[None, None]:
        """Return the range where it is of several seeds."""
        return (self.min, self.max) if self.count > 1 else (None, None)

    def final(self) -> tuple[float, float, float] | None:
        """Return the three at the last place that has them."""
        here = np.flatnonzero(np.isfinite(self.median))
        if not len(here):
            return None
        last = here[-1]
        return float(self.median[last]), float(self.min[last]), float(self.max[last])


def numbers(values: Sequence[Any]) -> F64:
    """Return wire numbers as floats; what is missing or infinite is NaN, which no line runs through."""
    found = np.array([math.nan if value is None else float(value) for value in values], dtype=np.float64)
    return np.where(np.isfinite(found), found, math.nan)


def seed_statistics(curves: Sequence[tuple[npt.ArrayLike, F64]]) -> SeedStatistics:
    """Return the median and range of curves (places, values) over all places."""
    places = np.unique(np.concatenate([np.asarray(x, np.float64) for x, _ in curves]))
    table = np.full((len(curves), len(places)), math.nan)
    for row, (x, values) in zip(table, curves, strict=True):
        row[np.searchsorted(places, np.asarray(x, np.float64))] = values
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a place where no seed has a value stays NaN
        return SeedStatistics(
            places, np.nanmedian(table, axis=0), np.nanmin(table, axis=0), np.nanmax(table, axis=0), len(curves)
        )


def line(
    found: SeedStatistics,
    request: FigureRequest,
    entry: DrawnEntry,
    split: str,
    key: str = "",
    *,
    markers: bool = False,
) -> Line:
    """Return the line of an entry on a split, with its range where it is of several seeds.

    Of one entry, splits are told apart by their dashes; of several, entries by the colours of their heads.
    """
    several = len(request.entries) > 1
    low, high = found.range()
    column = f"{split}/{key}" if key else split
    return Line(
        label=entry.label if several else split,
        x=found.x,
        y=found.median,
        colour=palette.HEADS["light"][entry.head],
        dash=entry.dash if several else SPLIT_DASHES[split],
        low=low,
        high=high,
        column_name=f"{entry.label} {column}" if several else column,
        markers=markers,
    )


def legend_entries(request: FigureRequest, splits: Sequence[str]) -> list[LegendEntry]:
    """Return what tells lines apart: splits of one entry, or entries."""
    held = head_colours(request)
    if len(request.entries) > 1:
        return [
            LegendEntry(entry.label, colour, entry.dash) for entry, colour in zip(request.entries, held, strict=True)
        ]
    return [LegendEntry(split, held[0], SPLIT_DASHES[split]) for split in splits]


def metric_statistics(entry: DrawnEntry, split: str, key: str) -> SeedStatistics | None:
    """Return a metric of an entry's runs over epochs; None where none of them has it."""
    held = [member.series for member in entry.members if member.series is not None]
    having = [series for series in held if key in series.values.get(split, {})]
    curves = [(series.epochs, numbers(series.values[split][key])) for series in having]
    return seed_statistics(curves) if curves else None


def final_cell(found: SeedStatistics | None, *, percent: bool = False) -> TableCell | None:
    """Return a metric at its end as a table has it."""
    end = None if found is None else found.final()
    if found is None or end is None:
        return None
    middle, low, high = end
    return (
        TableCell(middle, low, high, found.count, percent=percent)
        if found.count > 1
        else TableCell(middle, percent=percent)
    )


def runs_cell(values: Sequence[float], *, percent: bool = False) -> TableCell:
    """Return a number of each run as a table has it: a median and a range where there are several."""
    if len(values) == 1:
        return TableCell(values[0], percent=percent)
    return TableCell(float(np.median(values)), min(values), max(values), len(values), percent=percent)


def mark_best(cells: Sequence[TableCell | None], direction: str) -> list[TableCell | None]:
    """Return a column with the best of its medians marked; nothing is best where all are equal."""
    values = [each.value for each in cells if each is not None]
    if len(set(values)) < 2:
        return list(cells)
    leading = max(values) if direction == "high" else min(values)
    return [each if each is None else replace(each, best=each.value == leading) for each in cells]


def head_colours(request: FigureRequest) -> list[str]:
    """Return a colour for each entry: its head's, as everywhere."""
    return [palette.HEADS["light"][entry.head] for entry in request.entries]


def caption_note(request: FigureRequest) -> str:
    """Return what is said of seeds in a caption, or nothing."""
    counts = sorted({len(entry.members) for entry in request.entries})
    if counts == [1]:
        return ""
    words = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f" Median over {words} seeds, shaded from the least to the largest."


def panel_title(request: FigureRequest, index: int) -> str:
    """Return what tells a panel from the others: its entry, its epoch, or both."""
    each = len(request.first().captures)
    label = request.entries[index // each].label
    epoch = f"epoch {request.entries[index // each].members[0].captures[index % each].epoch:g}"
    if len(request.entries) == 1:
        return epoch
    return label if each == 1 else f"{label}, {epoch}"
