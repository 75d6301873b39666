"""Angles between class means: the K×K cosines as a heatmap, and the histogram over all pairs."""

from __future__ import annotations

import math

import numpy as np

from ncengine.geometry.views import cosine_block_size
from ncfigures import palette
from ncfigures.figure_data import FigureRequest, SeedGroup
from ncfigures.figure_spec import (
    F64,
    Axis,
    ChartSpec,
    FigureSpec,
    HeatmapSpec,
    HistogramSteps,
    LineSpec,
    ReferenceLine,
    SummaryTable,
    TableCell,
)
from ncfigures.figures import seed_statistics as seeds


def build_angles(request: FigureRequest) -> FigureSpec:
    """Return a heatmap for each group and epoch, all on one scale."""
    unit = request.options.unit
    captures = request.shown_captures()
    classes = len(captures[0].class_names)  # rows may stand for blocks of neighbouring classes
    ideal = -1 / (classes - 1)
    centre = ideal if unit == "cos" else _ideal_deg(classes)
    shown = []
    for capture in captures:
        cosines = capture.arrays["cosines_means"].astype(np.float64)
        values = cosines if unit == "cos" else _degrees(cosines)
        own = np.eye(len(values), dtype=bool) & (len(values) == len(capture.class_names))
        shown.append(np.where(own, math.nan, values))
    spread = max(palette.MIN_COLOUR_RANGE[unit], *(float(np.nanmax(np.abs(values - centre))) for values in shown))
    ends = (palette.LOW, palette.HIGH) if unit == "cos" else (palette.HIGH, palette.LOW)
    digits = 2 if unit == "cos" else 0
    tick_labels = (
        f"{centre - spread:.{digits}f}".replace("-", "−"),
        f"−1/{classes - 1}" if unit == "cos" else f"{centre:.1f}°",
        f"{centre + spread:.{digits}f}",
    )
    names = captures[0].class_names
    size = cosine_block_size(classes)
    notices = []
    if size > 1:
        names = [f"{first + 1}–{min(classes, first + size)}" for first in range(0, classes, size)]
        notices.append(f"{classes} classes are drawn as means over blocks of {size} neighbouring ones")
    if len(names) > palette.COLOURED_CLASSES:
        notices.append(f"names of more than {palette.COLOURED_CLASSES} classes are left out; the table has them")
    several = len(captures) > 1
    panels = [
        HeatmapSpec(
            values,
            names,
            centre,
            spread,
            ends,
            tick_labels,
            seeds.format_panel_title(request, index) if several else "",
            len(names) <= palette.COLOURED_CLASSES,
        )
        for index, values in enumerate(shown)
    ]
    what = "Cosines" if unit == "cos" else "Angles"
    when = ", ".join(f"{capture.epoch:g}" for capture in captures[: len(request.first_run().captures)])
    return FigureSpec(
        panels=panels,
        legend=[],
        caption=f"{what} between class means at epoch {when}; the scale is centred at the simplex ETF's "
        f"{tick_labels[1]}, the diagonal is left empty.",
        table=_table(request),
        columns=min(len(panels), 3),
        notices=notices,
    )


def _table(request: FigureRequest) -> SummaryTable:
    rows = []
    for group in request.groups:
        for capture in group.runs[0].captures:
            smallest, off = capture.smallest_angle_deg, capture.mean_angle_error_deg
            ideal = _ideal_deg(len(capture.class_names))
            cells: list[TableCell | None] = [TableCell(float(smallest)), TableCell(ideal), TableCell(float(off))]
            rows.append((f"{group.label}, epoch {capture.epoch:g}", cells))
    return SummaryTable("degrees", ["smallest angle", "simplex ETF", "mean distance from it"], rows)


BINS = 36


def build_histogram(request: FigureRequest) -> FigureSpec:
    """Return the histogram of the angles of each group's captures, or above 128 classes their quantiles."""
    classes = request.first_run().classes
    ideal = _ideal_deg(classes)
    colours = seeds.choose_colours(request)
    legend = seeds.make_legend(request, ["train"])
    epoch = request.first_run().captures[-1].epoch
    description = (
        f"at epoch {epoch:g}; vertical line: arccos(−1/(K−1)) = {ideal:.1f}°, where all are at perfect collapse"
    )
    whole = all(_angles(group) is not None for group in request.groups)
    angles_by_group = [_angles(group) if whole else _quantiles(group)[1] for group in request.groups]
    rows: list[tuple[str, list[TableCell | None]]] = []
    for group, angles in zip(request.groups, angles_by_group, strict=True):
        values = np.zeros(0) if angles is None else angles
        numbers = (values.min(), np.median(values), values.max(), values.std(), np.abs(values - ideal).mean())
        rows.append((group.label, [TableCell(float(each)) for each in numbers]))
    table = SummaryTable("degrees", ["smallest", "median", "largest", "std", "mean distance from the ETF's"], rows)
    if not whole:
        lines = [
            LineSpec(group.label, _quantiles(group)[1], _quantiles(group)[0], colour, group.dash, markers=True)
            for group, colour in zip(request.groups, colours, strict=True)
        ]
        chart = ChartSpec(
            x=Axis("angle, degrees"),
            y=Axis("share of pairs", percent=True),
            lines=lines,
            reference_lines=[ReferenceLine(ideal, "x", "ideal")],
        )
        return FigureSpec(
            [chart],
            legend,
            f"Quantiles of the angles between class means {description}.",
            table,
            notices=[f"of {classes} classes captures hold quantiles of the angles, not every pair: those are drawn"],
        )
    known = np.concatenate([each for each in angles_by_group if each is not None])
    low, high = min(known.min(), ideal) - 0.5, max(known.max(), ideal) + 0.5
    edges = np.linspace(low, high, BINS + 1)
    steps = [
        HistogramSteps(
            group.label,
            edges,
            np.histogram(values, edges)[0].astype(np.float64) / len(group.runs),
            colour,
            group.dash,
        )
        for group, values, colour in zip(request.groups, angles_by_group, colours, strict=True)
        if values is not None
    ]
    chart = ChartSpec(
        x=Axis("angle, degrees", limits=(float(low), float(high))),
        y=Axis("pairs"),
        histograms=steps,
        reference_lines=[ReferenceLine(ideal, "x", "ideal")],
    )
    return FigureSpec([chart], legend, f"Angles between all pairs of class means {description}.", table)


def _angles(group: SeedGroup) -> F64 | None:
    """Return the angles of all pairs i < j of all seeds; None where captures hold blocks of classes."""
    parts = []
    for run in group.runs:
        capture = run.captures[-1]
        cosines = capture.arrays["cosines_means"].astype(np.float64)
        if len(cosines) < len(capture.class_names):
            return None
        upper = cosines[np.triu_indices(len(cosines), 1)]
        parts.append(_degrees(upper))
    return np.concatenate(parts)


def _quantiles(group: SeedGroup) -> tuple[F64, F64]:
    """Return shares of pairs in rising order, and the angle that so many pairs do not exceed."""
    known = group.runs[0].captures[-1].cosine_quantiles
    shares = np.array([1 - float(share) for share in known])
    angles = _degrees(np.array([float(value) for value in known.values()]))
    order = shares.argsort()
    return shares[order], angles[order]


def _ideal_deg(classes: int) -> float:
    """Return the angle between all class means at perfect collapse, arccos(−1/(K−1))."""
    return math.degrees(math.acos(-1 / (classes - 1)))


def _degrees(cosines: F64) -> F64:
    return np.degrees(np.arccos(np.clip(cosines, -1, 1)))
