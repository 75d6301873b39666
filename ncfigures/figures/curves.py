"""Metrics over epochs: for one group train solid and test dotted, for several a panel for each split."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ncfigures.catalogue import FIGURES
from ncfigures.errors import FigureError
from ncfigures.figure_data import FigureRequest, MetricDescription, SeedGroup
from ncfigures.figure_spec import (
    Axis,
    ChartSpec,
    FigureSpec,
    LineSpec,
    ReferenceLine,
    SummaryTable,
    needs_log_axis,
)
from ncfigures.figures import seed_statistics as seeds
from ncfigures.options import metric_keys
from ncfigures.palette import Dash


def splits_of(request: FigureRequest) -> list[str]:
    """Return the requested splits; by default train and test for one group, train only for several."""
    if request.figure == "test":
        return ["test"]
    if request.options.split is not None:
        return request.options.split.split(",")
    return ["train"] if len(request.groups) > 1 else ["train", "test"]


def curves(request: FigureRequest) -> FigureSpec:
    """Return each metric over epochs."""
    keys, splits = metric_keys(request.figure, request.options), splits_of(request)
    several = len(request.groups) > 1
    wanted = (
        [(key, (split,)) for key in keys for split in splits] if several else [(key, tuple(splits)) for key in keys]
    )
    panels = [_panel(request, key, shown, several=several and len(splits) > 1) for key, shown in wanted]
    drawn = [panel for panel in panels if panel.lines]
    if not drawn:
        raise FigureError(f"none of {', '.join(keys)} was measured on {' or '.join(splits)}")
    legend = seeds.legend_entries(request, splits)
    if any(panel.reference_lines for panel in drawn):
        legend.append(seeds.IDEAL)
    return FigureSpec(
        panels=drawn,
        legend=legend,
        caption=caption(request, keys, splits),
        table=table(request, keys, splits),
        columns=min(len(drawn), 2),
        notices=[
            f"{request.metrics[key].label} was not measured on {' or '.join(shown)}"
            for (key, shown), panel in zip(wanted, panels, strict=True)
            if not panel.lines
        ],
    )


def _panel(request: FigureRequest, key: str, splits: tuple[str, ...], *, several: bool) -> ChartSpec:
    metric = request.metrics[key]
    lines: list[LineSpec] = []
    for group in request.groups:
        for split in splits:
            found = seeds.metric_statistics(group, split, key)
            if found is None or not np.isfinite(found.median).any():
                continue
            lines.append(seeds.line(found, request, group, split, key))
    log = _log(request, lines)
    ideal = metric.ideal
    # A logarithmic axis has no zero: the caption names the ideal then.
    rules = [] if ideal is None or (log and ideal <= 0) else [ReferenceLine(float(ideal), label="ideal")]
    title = f"{metric.label}, {splits[0]}" if several else metric.label
    return ChartSpec(
        title=title,
        x=Axis("epoch"),
        y=Axis(log=log, percent=metric.share),
        lines=lines,
        reference_lines=rules if lines else [],
    )


def _log(request: FigureRequest, lines: list[LineSpec]) -> bool:
    scale = request.options.scale
    if scale == "linear" or not lines:
        return False
    values = np.concatenate([part for line in lines for part in (line.y, line.low, line.high) if part is not None])
    values = values[np.isfinite(values)]
    if scale == "log":
        return bool((values > 0).any())
    return needs_log_axis(values)


def table(request: FigureRequest, keys: list[str], splits: list[str]) -> SummaryTable:
    """Return the metrics at the end, by group, the best of each column marked."""
    columns: list[str] = []
    held = []
    for key in keys:
        metric = request.metrics[key]
        for split in splits:
            cells = [
                seeds.final_cell(seeds.metric_statistics(group, split, key), percent=metric.share)
                for group in request.groups
            ]
            if any(cells):
                columns.append(f"{metric.label}, {split}")
                held.append(seeds.mark_best(cells, metric.direction))
    rows = [(group.label, [column[i] for column in held]) for i, group in enumerate(request.groups)]
    return SummaryTable("", columns, rows)


def definition(metric: MetricDescription) -> str:
    """Return a metric's name, formula and source."""
    return f"{metric.label}: {metric.formula} ({metric.source})"


def caption(request: FigureRequest, keys: list[str], splits: list[str]) -> str:
    """Return the caption, with the definitions of the metrics."""
    title = FIGURES[request.figure].title
    if len(request.groups) > 1:
        lines = f"{' and '.join(splits)} split; entries in the colours of their heads"
    else:
        lines = " and ".join(f"{split} {'solid' if split == 'train' else 'dotted'}" for split in splits)
    metrics = [request.metrics[key] for key in keys]
    ideals = [f"{metric.label} {metric.ideal:.4g}" for metric in metrics if metric.ideal is not None]
    words = "; ".join(definition(metric) for metric in metrics)
    at = f" At perfect collapse: {', '.join(ideals)}." if ideals else ""
    return f"{title}: {lines}.{seeds.caption_note(request)} {words}.{at}"


def implicit(request: FigureRequest) -> FigureSpec:
    """Return the same metrics with and without the gradient through the choice of the nearest ETF."""
    groups_by_gradient: dict[bool, list[SeedGroup]] = {True: [], False: []}
    for group in request.groups:
        gradient = group.runs[0].implicit_gradient
        if gradient is not None:
            groups_by_gradient[gradient].append(group)
    missing = [words for on, words in ((True, "true"), (False, "false")) if not groups_by_gradient[on]]
    if missing:
        raise FigureError(
            "this figure compares nearest-ETF runs with head.implicit_gradient true and false; choose runs of both "
            f"(none here has {' nor '.join(missing)}; clone one with --set head.implicit_gradient={missing[0]})"
        )
    looks: dict[bool, tuple[str, Dash]] = {True: ("gradient through the ETF", "solid"), False: ("gradient cut", "dash")}
    groups = [
        replace(group, label=looks[on][0] if len(same) == 1 else f"{group.label}, {looks[on][0]}", dash=looks[on][1])
        for on, same in groups_by_gradient.items()
        for group in same
    ]
    return curves(replace(request, groups=groups))
