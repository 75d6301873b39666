"""Metrics at the end of runs: a dot at the median, a line over the range of seeds; as a table, the paper's own."""

from __future__ import annotations

import math

import numpy as np

from backend.figures.collect import keys_of
from backend.store.errors import Invalid
from ncengine.metrics import METRICS
from ncfigures.figure_request import FigureRequest
from ncfigures.figure_spec import Axis, Chart, DotIntervals, FigureSpec, LegendEntry, ReferenceLine
from ncfigures.figures import seed_statistics as seeds
from ncfigures.figures.curves import definition, splits_of, table


def finals(request: FigureRequest) -> FigureSpec:
    """Return a panel for each metric and split, a row for each entry."""
    keys, splits = keys_of(request.figure, request.options), splits_of(request)
    colours = seeds.head_colours(request)
    panels = []
    for key in keys:
        metric = METRICS[key]
        for split in splits:
            ends = [
                None if (s := seeds.metric_statistics(entry, split, key)) is None else s.final()
                for entry in request.entries
            ]
            if not any(ends):
                continue
            middle, low, high = np.array([(math.nan,) * 3 if end is None else end for end in ends]).T
            known = np.concatenate([low, high])
            known = known[np.isfinite(known)]
            log = bool((known > 0).all() and known.max() > 20 * known.min())
            ideal = None if metric.ideal is None else metric.ideal(request.first().run.classes)
            panels.append(
                Chart(
                    title=f"{metric.label}, {split}",
                    x=Axis(log=log, percent=metric.share),
                    intervals=DotIntervals(middle, low, high, colours),
                    row_labels=[entry.label for entry in request.entries],
                    hide_row_labels=True,
                    reference_lines=[]
                    if ideal is None or (log and ideal <= 0)
                    else [ReferenceLine(float(ideal), "x", "ideal")],
                    aspect=0.34 + 0.05 * len(request.entries),
                )
            )
    if not panels:
        raise Invalid(f"none of {', '.join(keys)} was measured on {' or '.join(splits)}")
    last = max(m.series.epochs[-1] for entry in request.entries for m in entry.members if m.series is not None)
    words = "; ".join(definition(METRICS[key]) for key in keys)
    note = seeds.caption_note(request).replace("shaded", "lines")
    return FigureSpec(
        panels=panels,
        legend=[LegendEntry(entry.label, c, symbol="dot") for entry, c in zip(request.entries, colours, strict=True)],
        caption=f"Metrics at the last measured epoch ({last}).{note} {words}.",
        table=table(request, keys, splits),
        columns=min(len(panels), 3),
    )
