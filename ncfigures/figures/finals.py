"""Metrics at the end of runs: a dot at the median, a line over the range of seeds; as a table, the paper's own."""

from __future__ import annotations

import math

import numpy as np

from backend.figures.collect import keys_of
from backend.store.errors import Invalid
from ncengine.metrics import METRICS
from ncfigures.figure_request import FigureRequest
from ncfigures.figure_spec import Axis, Chart, Key, Plate, Rule, Spans
from ncfigures.figures import seed_statistics as of
from ncfigures.figures.curves import definition, splits_of, table


def finals(request: FigureRequest) -> Plate:
    """Return a panel for each metric and split, a row for each entry."""
    keys, splits = keys_of(request.figure, request.options), splits_of(request)
    colours = of.colours(request)
    panels = []
    for key in keys:
        spec = METRICS[key]
        for split in splits:
            ends = [None if (s := of.of_metric(entry, split, key)) is None else s.end() for entry in request.entries]
            if not any(ends):
                continue
            middle, low, high = np.array([(math.nan,) * 3 if end is None else end for end in ends]).T
            known = np.concatenate([low, high])
            known = known[np.isfinite(known)]
            log = bool((known > 0).all() and known.max() > 20 * known.min())
            ideal = None if spec.ideal is None else spec.ideal(request.first().run.classes)
            panels.append(
                Chart(
                    title=f"{spec.label}, {split}",
                    x=Axis(log=log, percent=spec.share),
                    spans=Spans(middle, low, high, colours),
                    rows=[entry.label for entry in request.entries],
                    nameless=True,
                    rules=[] if ideal is None or (log and ideal <= 0) else [Rule(float(ideal), "x", "ideal")],
                    ratio=0.34 + 0.05 * len(request.entries),
                )
            )
    if not panels:
        raise Invalid(f"none of {', '.join(keys)} was measured on {' or '.join(splits)}")
    last = max(m.series.epochs[-1] for entry in request.entries for m in entry.members if m.series is not None)
    words = "; ".join(definition(METRICS[key]) for key in keys)
    seeds = of.seeds(request).replace("shaded", "lines")
    return Plate(
        panels=panels,
        keys=[Key(entry.label, c, symbol="dot") for entry, c in zip(request.entries, colours, strict=True)],
        caption=f"Metrics at the last measured epoch ({last}).{seeds} {words}.",
        table=table(request, keys, splits),
        columns=min(len(panels), 3),
    )
