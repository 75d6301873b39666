"""Time to collapse: the first epoch from which on a metric stays at or beyond a threshold."""

from __future__ import annotations

import math

import numpy as np

from backend.figures.collect import keys_of
from backend.store.errors import Invalid
from ncengine.metrics import METRICS
from ncengine.milestones import time_to_collapse
from ncfigures.catalogue import DEFAULT_THRESHOLDS
from ncfigures.figure_request import DrawnEntry, FigureRequest
from ncfigures.figure_spec import Axis, Bars, Chart, FigureSpec, SummaryTable, TableCell
from ncfigures.figures import seed_statistics as seeds
from ncfigures.figures.curves import definition, splits_of


def times(request: FigureRequest) -> FigureSpec:
    """Return a panel for each metric, a bar for each entry with the range over its seeds."""
    keys, split = keys_of(request.figure, request.options), splits_of(request)[0]
    asked = request.options.threshold
    unknown = [key for key in keys if asked is None and key not in DEFAULT_THRESHOLDS]
    if unknown:
        raise Invalid(f"say with --threshold from which value on {unknown[0]} counts as collapsed")
    longest = max(m.series.epochs[-1] for entry in request.entries for m in entry.members if m.series is not None)
    panels, notices = [], []
    held: list[list[TableCell | None]] = []
    for key in keys:
        threshold = DEFAULT_THRESHOLDS[key] if asked is None else asked
        reached = [_reached(entry, key, split, threshold) for entry in request.entries]
        for entry, epochs in zip(request.entries, reached, strict=True):
            never = sum(epoch is None for epoch in epochs)
            if never:
                notices.append(f"{entry.label}: {never} of {len(epochs)} runs did not get there within their epochs")
        known = [[float(epoch) for epoch in epochs if epoch is not None] for epochs in reached]
        middle, low, high = (
            np.array([float(part(k)) if k else math.nan for k in known]) for part in (np.median, np.min, np.max)
        )
        sign = "≤" if METRICS[key].direction == "low" else "≥"
        several = any(len(entry.members) > 1 for entry in request.entries)
        panels.append(
            Chart(
                title=f"{METRICS[key].label} {sign} {threshold:g}, {split}",
                x=Axis("epochs", limits=(0.0, float(longest))),
                bars=[
                    Bars("", middle, seeds.head_colours(request), low if several else None, high if several else None)
                ],
                row_labels=[_name(entry, epochs) for entry, epochs in zip(request.entries, reached, strict=True)],
                aspect=0.2 + 0.1 * len(request.entries),
            )
        )
        cells: list[TableCell | None] = [
            TableCell(m, lo, hi, len(k)) if len(k) > 1 else TableCell(m) if k else None
            for m, lo, hi, k in zip(middle, low, high, known, strict=True)
        ]
        held.append(seeds.mark_best(cells, "low"))
    rows = [(entry.label, [column[i] for column in held]) for i, entry in enumerate(request.entries)]
    words = "; ".join(definition(METRICS[key]) for key in keys)
    more = f" {'; '.join(notices)}." if notices else ""
    return FigureSpec(
        panels=panels,
        legend=[],
        caption="Time to collapse: the first epoch from which on the metric stays at or beyond the threshold."
        f"{seeds.caption_note(request).replace('shaded', 'whiskers')} {words}.{more}",
        table=SummaryTable("epochs until", [panel.title for panel in panels], rows),
        columns=2 if len(panels) > 1 else 1,
        notices=notices,
    )


def _name(entry: DrawnEntry, epochs: list[int | None]) -> str:
    """Return what stands beside a bar: where not all runs got there, how many did."""
    there = sum(epoch is not None for epoch in epochs)
    if there == len(epochs):
        return entry.label
    return f"{entry.label} (not reached)" if there == 0 else f"{entry.label} ({there} of {len(epochs)} runs)"


def _reached(entry: DrawnEntry, key: str, split: str, threshold: float) -> list[int | None]:
    found = []
    for member in entry.members:
        series = member.series
        if series is None:
            continue
        values = seeds.numbers(series.values.get(split, {}).get(key, [None] * len(series.epochs)))
        found.append(
            time_to_collapse(
                series.epochs,
                [None if math.isnan(value) else value for value in values],
                threshold,
                METRICS[key].direction,
            )
        )
    return found
