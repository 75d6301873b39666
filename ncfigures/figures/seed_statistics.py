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
from ncfigures.figure_spec import F64, Cell, Key, Line

SPLIT_DASHES: dict[str, Dash] = {"train": "solid", "test": "dot"}
IDEAL = Key("ideal", palette.TOKENS["light"]["ink-3"], "dash")


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, least and largest over seeds at places `x`."""

    x: F64
    middle: F64
    low: F64
    high: F64
    of: int

    def bounds(self) -> tuple[F64, F64] | tuple[None, None]:
        """Return the range where it is of several seeds."""
        return (self.low, self.high) if self.of > 1 else (None, None)

    def end(self) -> tuple[float, float, float] | None:
        """Return the three at the last place that has them."""
        here = np.flatnonzero(np.isfinite(self.middle))
        if not len(here):
            return None
        last = here[-1]
        return float(self.middle[last]), float(self.low[last]), float(self.high[last])


def numbers(values: Sequence[Any]) -> F64:
    """Return wire numbers as floats; what is missing or infinite is NaN, which no line runs through."""
    found = np.array([math.nan if value is None else float(value) for value in values], dtype=np.float64)
    return np.where(np.isfinite(found), found, math.nan)


def spread(curves: Sequence[tuple[npt.ArrayLike, F64]]) -> Spread:
    """Return the median and range of curves (places, values) over all places."""
    places = np.unique(np.concatenate([np.asarray(x, np.float64) for x, _ in curves]))
    table = np.full((len(curves), len(places)), math.nan)
    for row, (x, values) in zip(table, curves, strict=True):
        row[np.searchsorted(places, np.asarray(x, np.float64))] = values
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a place where no seed has a value stays NaN
        return Spread(
            places, np.nanmedian(table, axis=0), np.nanmin(table, axis=0), np.nanmax(table, axis=0), len(curves)
        )


def line(
    found: Spread, request: FigureRequest, entry: DrawnEntry, split: str, key: str = "", *, dots: bool = False
) -> Line:
    """Return the line of an entry on a split, with its range where it is of several seeds.

    Of one entry, splits are told apart by their dashes; of several, entries by the colours of their heads.
    """
    several = len(request.entries) > 1
    low, high = found.bounds()
    column = f"{split}/{key}" if key else split
    return Line(
        label=entry.label if several else split,
        x=found.x,
        y=found.middle,
        colour=palette.HEADS["light"][entry.head],
        dash=entry.dash if several else SPLIT_DASHES[split],
        low=low,
        high=high,
        column=f"{entry.label} {column}" if several else column,
        dots=dots,
    )


def legend(request: FigureRequest, splits: Sequence[str]) -> list[Key]:
    """Return what tells lines apart: splits of one entry, or entries."""
    held = colours(request)
    if len(request.entries) > 1:
        return [Key(entry.label, colour, entry.dash) for entry, colour in zip(request.entries, held, strict=True)]
    return [Key(split, held[0], SPLIT_DASHES[split]) for split in splits]


def of_metric(entry: DrawnEntry, split: str, key: str) -> Spread | None:
    """Return a metric of an entry's runs over epochs; None where none of them has it."""
    held = [member.series for member in entry.members if member.series is not None]
    having = [series for series in held if key in series.values.get(split, {})]
    curves = [(series.epochs, numbers(series.values[split][key])) for series in having]
    return spread(curves) if curves else None


def cell(found: Spread | None, *, percent: bool = False) -> Cell | None:
    """Return a metric at its end as a table has it."""
    end = None if found is None else found.end()
    if found is None or end is None:
        return None
    middle, low, high = end
    return Cell(middle, low, high, found.of, percent=percent) if found.of > 1 else Cell(middle, percent=percent)


def over_runs(values: Sequence[float], *, percent: bool = False) -> Cell:
    """Return a number of each run as a table has it: a median and a range where there are several."""
    if len(values) == 1:
        return Cell(values[0], percent=percent)
    return Cell(float(np.median(values)), min(values), max(values), len(values), percent=percent)


def best(cells: Sequence[Cell | None], direction: str) -> list[Cell | None]:
    """Return a column with the best of its medians marked; nothing is best where all are equal."""
    values = [each.value for each in cells if each is not None]
    if len(set(values)) < 2:
        return list(cells)
    leading = max(values) if direction == "high" else min(values)
    return [each if each is None else replace(each, best=each.value == leading) for each in cells]


def colours(request: FigureRequest) -> list[str]:
    """Return a colour for each entry: its head's, as everywhere."""
    return [palette.HEADS["light"][entry.head] for entry in request.entries]


def seeds(request: FigureRequest) -> str:
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
