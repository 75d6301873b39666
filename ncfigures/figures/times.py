"""Time to collapse: the first epoch from which on a metric stays at or beyond a threshold."""

from __future__ import annotations

import math

import numpy as np

from ncfigures.catalogue import DEFAULT_THRESHOLDS
from ncfigures.errors import FigureError
from ncfigures.figure_data import FigureRequest, SeedGroup
from ncfigures.figure_spec import Axis, Bars, ChartSpec, FigureSpec, SummaryTable, TableCell
from ncfigures.figures import seed_statistics as seeds
from ncfigures.figures.curves import definition, splits_of
from ncfigures.options import metric_keys


def times(request: FigureRequest) -> FigureSpec:
    """Return a panel for each metric, a bar for each group with the range over its seeds."""
    keys, split = metric_keys(request.figure, request.options), splits_of(request)[0]
    asked = request.options.threshold
    unknown = [key for key in keys if asked is None and key not in DEFAULT_THRESHOLDS]
    if unknown:
        raise FigureError(f"say with --threshold from which value on {unknown[0]} counts as collapsed")
    longest = max(m.curves.epochs[-1] for group in request.groups for m in group.runs if m.curves is not None)
    panels, notices = [], []
    held: list[list[TableCell | None]] = []
    for key in keys:
        threshold = DEFAULT_THRESHOLDS[key] if asked is None else asked
        reached = [[run.collapse_epochs.get((key, split)) for run in group.runs] for group in request.groups]
        for group, epochs in zip(request.groups, reached, strict=True):
            never = sum(epoch is None for epoch in epochs)
            if never:
                notices.append(f"{group.label}: {never} of {len(epochs)} runs did not get there within their epochs")
        known = [[float(epoch) for epoch in epochs if epoch is not None] for epochs in reached]
        middle, low, high = (
            np.array([float(part(k)) if k else math.nan for k in known]) for part in (np.median, np.min, np.max)
        )
        sign = "≤" if request.metrics[key].direction == "low" else "≥"
        several = any(len(group.runs) > 1 for group in request.groups)
        panels.append(
            ChartSpec(
                title=f"{request.metrics[key].label} {sign} {threshold:g}, {split}",
                x=Axis("epochs", limits=(0.0, float(longest))),
                bars=[
                    Bars("", middle, seeds.head_colours(request), low if several else None, high if several else None)
                ],
                row_labels=[_name(group, epochs) for group, epochs in zip(request.groups, reached, strict=True)],
                aspect=0.2 + 0.1 * len(request.groups),
            )
        )
        cells: list[TableCell | None] = [
            TableCell(m, lo, hi, len(k)) if len(k) > 1 else TableCell(m) if k else None
            for m, lo, hi, k in zip(middle, low, high, known, strict=True)
        ]
        held.append(seeds.mark_best(cells, "low"))
    rows = [(group.label, [column[i] for column in held]) for i, group in enumerate(request.groups)]
    words = "; ".join(definition(request.metrics[key]) for key in keys)
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


def _name(group: SeedGroup, epochs: list[int | None]) -> str:
    """Return what stands beside a bar: where not all runs got there, how many did."""
    there = sum(epoch is not None for epoch in epochs)
    if there == len(epochs):
        return group.label
    return f"{group.label} (not reached)" if there == 0 else f"{group.label} ({there} of {len(epochs)} runs)"
