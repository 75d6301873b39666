"""The K×K cosines (or angles) between class means, in colours centred at the simplex's −1/(K−1)."""

from __future__ import annotations

import math

import numpy as np

from ncengine.geometry.views import cosine_block_size
from ncfigures import palette
from ncfigures.errors import FigureError
from ncfigures.figure_data import FigureRequest
from ncfigures.figure_spec import FigureSpec, HeatmapSpec, SummaryTable, TableCell
from ncfigures.figures import seed_statistics as seeds


def angles(request: FigureRequest) -> FigureSpec:
    """Return a heatmap for each group and epoch, all on one scale."""
    unit = request.options.unit
    captures = [(group, capture) for group in request.groups for capture in group.runs[0].captures]
    if not captures:
        raise FigureError("this figure needs a geometry capture, and the run has none yet")
    classes = len(captures[0][1].class_names)  # rows may stand for blocks of neighbouring classes
    ideal = -1 / (classes - 1)
    centre = ideal if unit == "cos" else math.degrees(math.acos(ideal))
    shown = []
    for _, capture in captures:
        cosines = capture.arrays["cosines_means"].astype(np.float64)
        values = cosines if unit == "cos" else np.degrees(np.arccos(np.clip(cosines, -1, 1)))
        own = np.eye(len(values), dtype=bool) & (len(values) == len(capture.class_names))
        shown.append(np.where(own, math.nan, values))
    spread = max(palette.MIN_COLOUR_RANGE[unit], *(float(np.nanmax(np.abs(values - centre))) for values in shown))
    ends = (palette.LOW, palette.HIGH) if unit == "cos" else (palette.HIGH, palette.LOW)
    digits = 2 if unit == "cos" else 0
    words = (
        f"{centre - spread:.{digits}f}".replace("-", "−"),
        f"−1/{classes - 1}" if unit == "cos" else f"{centre:.1f}°",
        f"{centre + spread:.{digits}f}",
    )
    names = captures[0][1].class_names
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
            words,
            seeds.panel_title(request, index) if several else "",
            len(names) <= 30,
        )
        for index, values in enumerate(shown)
    ]
    what = "Cosines" if unit == "cos" else "Angles"
    when = ", ".join(f"{capture.epoch:g}" for _, capture in captures[: len(request.first_run().captures)])
    return FigureSpec(
        panels=panels,
        legend=[],
        caption=f"{what} between class means at epoch {when}; the scale is centred at the simplex ETF's "
        f"{words[1]}, the diagonal is left empty.",
        table=_table(request),
        columns=min(len(panels), 3),
        notices=notices,
    )


def _table(request: FigureRequest) -> SummaryTable:
    rows = []
    for group in request.groups:
        for capture in group.runs[0].captures:
            smallest, off = capture.smallest_angle_deg, capture.mean_angle_error_deg
            ideal = math.degrees(math.acos(-1 / (len(capture.class_names) - 1)))
            cells: list[TableCell | None] = [TableCell(float(smallest)), TableCell(ideal), TableCell(float(off))]
            rows.append((f"{group.label}, epoch {capture.epoch:g}", cells))
    return SummaryTable("degrees", ["smallest angle", "simplex ETF", "mean distance from it"], rows)
