"""Metrics at the end of runs: a dot at the median, a line over the range of seeds; as a table, the paper's own."""

from __future__ import annotations

import math

import numpy as np

from ncfigures.errors import FigureError
from ncfigures.figure_data import FigureRequest
from ncfigures.figure_spec import (
    Axis,
    ChartSpec,
    DotIntervals,
    FigureSpec,
    LegendEntry,
    ReferenceLine,
    needs_log_axis,
)
from ncfigures.figures import seed_statistics as seeds
from ncfigures.figures.curves import definition, splits_of, table
from ncfigures.options import metric_keys


def finals(request: FigureRequest) -> FigureSpec:
    """Return a panel for each metric and split, a row for each group."""
    keys, splits = metric_keys(request.figure, request.options), splits_of(request)
    colours = seeds.head_colours(request)
    panels = []
    for key in keys:
        metric = request.metrics[key]
        for split in splits:
            ends = [
                None if (s := seeds.metric_statistics(group, split, key)) is None else s.final()
                for group in request.groups
            ]
            if not any(ends):
                continue
            middle, low, high = np.array([(math.nan,) * 3 if end is None else end for end in ends]).T
            log = needs_log_axis(np.concatenate([low, high]))
            ideal = metric.ideal
            panels.append(
                ChartSpec(
                    title=f"{metric.label}, {split}",
                    x=Axis(log=log, percent=metric.share),
                    intervals=DotIntervals(middle, low, high, colours),
                    row_labels=[group.label for group in request.groups],
                    hide_row_labels=True,
                    reference_lines=[]
                    if ideal is None or (log and ideal <= 0)
                    else [ReferenceLine(float(ideal), "x", "ideal")],
                    aspect=0.34 + 0.05 * len(request.groups),
                )
            )
    if not panels:
        raise FigureError(f"none of {', '.join(keys)} was measured on {' or '.join(splits)}")
    last = max(m.curves.epochs[-1] for group in request.groups for m in group.runs if m.curves is not None)
    words = "; ".join(definition(request.metrics[key]) for key in keys)
    note = seeds.caption_note(request).replace("shaded", "lines")
    return FigureSpec(
        panels=panels,
        legend=[LegendEntry(group.label, c, symbol="dot") for group, c in zip(request.groups, colours, strict=True)],
        caption=f"Metrics at the last measured epoch ({last}).{note} {words}.",
        table=table(request, keys, splits),
        columns=min(len(panels), 3),
    )
