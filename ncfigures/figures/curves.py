"""Metrics over epochs and over the layers of a network."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ncfigures.catalogue import FIGURES
from ncfigures.errors import FigureError
from ncfigures.figure_data import FigureRequest, SeedGroup
from ncfigures.figure_spec import Axis, ChartSpec, FigureSpec, LineSpec, SummaryTable, TableCell
from ncfigures.figures import seed_statistics as seeds
from ncfigures.options import choose_metric_keys
from ncfigures.palette import Dash


def build_curves(request: FigureRequest) -> FigureSpec:
    """Return each metric over epochs."""
    keys, splits = choose_metric_keys(request.figure, request.options), seeds.choose_splits(request)
    several = len(request.groups) > 1
    wanted = (
        [(key, (split,)) for key in keys for split in splits] if several else [(key, tuple(splits)) for key in keys]
    )
    panels = [_panel(request, key, shown, several=several and len(splits) > 1) for key, shown in wanted]
    drawn = [panel for panel in panels if panel.lines]
    if not drawn:
        raise FigureError(f"none of {', '.join(keys)} was measured on {' or '.join(splits)}")
    legend = seeds.make_legend(request, splits)
    if any(panel.reference_lines for panel in drawn):
        legend.append(seeds.IDEAL)
    return FigureSpec(
        panels=drawn,
        legend=legend,
        caption=build_caption(request, keys, splits),
        table=build_metric_table(request, keys, splits),
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
            statistics = seeds.summarise_metric(group, split, key)
            if statistics is None or not np.isfinite(statistics.median).any():
                continue
            lines.append(seeds.make_line(statistics, request, group, split, key))
    log = _log(request, lines)
    title = f"{metric.label}, {splits[0]}" if several else metric.label
    return ChartSpec(
        title=title,
        x=Axis("epoch"),
        y=Axis(log=log, percent=metric.share),
        lines=lines,
        reference_lines=seeds.make_ideal_lines(metric, log=log) if lines else [],
    )


def _log(request: FigureRequest, lines: list[LineSpec]) -> bool:
    scale = request.options.scale
    if scale == "linear" or not lines:
        return False
    values = np.concatenate([part for line in lines for part in (line.y, line.low, line.high) if part is not None])
    return bool((values > 0).any()) if scale == "log" else seeds.needs_log_axis(values)


def build_metric_table(request: FigureRequest, keys: list[str], splits: list[str]) -> SummaryTable:
    """Return the metrics at the end, by group, the best of each column marked."""
    columns: list[str] = []
    cells_by_column = []
    for key in keys:
        metric = request.metrics[key]
        for split in splits:
            cells = [
                seeds.make_final_cell(seeds.summarise_metric(group, split, key), percent=metric.share)
                for group in request.groups
            ]
            if any(cells):
                columns.append(f"{metric.label}, {split}")
                cells_by_column.append(seeds.mark_best(cells, metric.direction))
    rows = [(group.label, [column[i] for column in cells_by_column]) for i, group in enumerate(request.groups)]
    return SummaryTable("", columns, rows)


def build_caption(request: FigureRequest, keys: list[str], splits: list[str]) -> str:
    """Return the caption, with the definitions of the metrics."""
    title = FIGURES[request.figure].title
    if len(request.groups) > 1:
        lines = f"{' and '.join(splits)} split; entries in the colours of their heads"
    else:
        lines = " and ".join(f"{split} {'solid' if split == 'train' else 'dotted'}" for split in splits)
    metrics = [request.metrics[key] for key in keys]
    ideals = [f"{metric.label} {metric.ideal:.4g}" for metric in metrics if metric.ideal is not None]
    at = f" At perfect collapse: {', '.join(ideals)}." if ideals else ""
    return f"{title}: {lines}.{seeds.format_seed_note(request)} {seeds.format_definitions(request, keys)}.{at}"


def build_implicit(request: FigureRequest) -> FigureSpec:
    """Return the same metrics with and without the gradient through the choice of the nearest ETF."""
    groups_by_gradient: dict[bool, list[SeedGroup]] = {True: [], False: []}
    for group in request.groups:
        gradient = group.runs[0].implicit_gradient
        if gradient is not None:
            groups_by_gradient[gradient].append(group)
    missing = [word for on, word in ((True, "true"), (False, "false")) if not groups_by_gradient[on]]
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
    return build_curves(replace(request, groups=groups))


KEYS = ("nc1", "ncc_accuracy")
PREFIX = {"train": "layer:", "test": "layer-test:"}
LAST = "penultimate"


def build_layers(request: FigureRequest) -> FigureSpec:
    """Return a panel for NC1 and one for the accuracy of the nearest class mean, over layers."""
    splits = seeds.choose_splits(request)
    names = _names(request)
    tick_labels = [(float(index), name) for index, name in enumerate(names)]
    panels = []
    rows: list[tuple[str, list[TableCell | None]]] = []
    for key in KEYS:
        metric = request.metrics[key]
        lines = []
        for group in request.groups:
            for split in splits:
                table = np.array([_at(group, index, split, key, names, request) for index in range(len(group.runs))])
                if not np.isfinite(table).any():
                    continue
                statistics = seeds.summarise_seeds([(np.arange(len(names)), each) for each in table])
                lines.append(seeds.make_line(statistics, request, group, split, key, markers=True))
                cells = [
                    None if math.isnan(value) else TableCell(value, low, high, statistics.count, percent=metric.share)
                    for value, low, high in zip(statistics.median, statistics.min, statistics.max, strict=True)
                ]
                rows.append((f"{group.label}, {metric.label}, {split}", cells))
        log = key == "nc1" and seeds.needs_log_axis(np.concatenate([line.y for line in lines] or [np.zeros(0)]))
        panels.append(
            ChartSpec(
                title=metric.label, x=Axis(tick_labels=tick_labels), y=Axis(log=log, percent=metric.share), lines=lines
            )
        )
    return FigureSpec(
        panels=panels,
        legend=seeds.make_legend(request, splits),
        caption=f"Collapse over the layers, in the order of the forward pass, {' and '.join(splits)} split."
        f"{seeds.format_seed_note(request)} {seeds.format_definitions(request, KEYS)}.",
        table=SummaryTable("", names, rows),
        columns=2,
    )


def _names(request: FigureRequest) -> list[str]:
    series = request.first_run().curves
    if series is None:
        raise FigureError("this figure needs at least one measured epoch, and the run has none yet")
    names = [split.removeprefix(PREFIX["train"]) for split in series.values if split.startswith(PREFIX["train"])]
    return [*names, LAST]


def _at(group: SeedGroup, index: int, split: str, key: str, names: list[str], request: FigureRequest) -> list[float]:
    """Return a metric of one run by layer, at the epoch asked for or the last."""
    series = group.runs[index].curves
    if series is None:
        return [math.nan] * len(names)
    asked = request.options.epoch
    places = [place for place, epoch in enumerate(series.epochs) if asked is None or epoch <= asked]
    if not places:
        raise FigureError(f"the first measured epoch is {series.epochs[0]}; ask for that or a later one")
    splits = [split if name == LAST else PREFIX[split] + name for name in names]
    values_by_layer = [series.values.get(each, {}).get(key) for each in splits]
    return [math.nan if values is None else float(values[places[-1]]) for values in values_by_layer]
