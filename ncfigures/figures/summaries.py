"""Runs as a few numbers: metrics at the end, time to collapse, time and memory of a training step."""

from __future__ import annotations

import math

import numpy as np

from ncfigures.catalogue import DEFAULT_THRESHOLDS
from ncfigures.errors import FigureError
from ncfigures.figure_data import FigureRequest, SeedGroup
from ncfigures.figure_spec import (
    Axis,
    Bars,
    ChartSpec,
    DotIntervals,
    FigureSpec,
    LegendEntry,
    SummaryTable,
    TableCell,
)
from ncfigures.figures import seed_statistics as seeds
from ncfigures.figures.curves import build_metric_table
from ncfigures.options import choose_metric_keys
from ncfigures.palette import CLASSES_10


def build_finals(request: FigureRequest) -> FigureSpec:
    """Return a panel for each metric and split, a row for each group."""
    keys, splits = choose_metric_keys(request.figure, request.options), seeds.choose_splits(request)
    colours = seeds.choose_colours(request)
    panels = []
    for key in keys:
        metric = request.metrics[key]
        for split in splits:
            ends = [
                None if (s := seeds.summarise_metric(group, split, key)) is None else s.final()
                for group in request.groups
            ]
            if not any(ends):
                continue
            middle, low, high = np.array([(math.nan,) * 3 if end is None else end for end in ends]).T
            log = seeds.needs_log_axis(np.concatenate([low, high]))
            panels.append(
                ChartSpec(
                    title=f"{metric.label}, {split}",
                    x=Axis(log=log, percent=metric.share),
                    intervals=DotIntervals(middle, low, high, colours),
                    row_labels=[group.label for group in request.groups],
                    hide_row_labels=True,
                    reference_lines=seeds.make_ideal_lines(metric, log=log, axis="x"),
                    aspect=0.34 + 0.05 * len(request.groups),
                )
            )
    if not panels:
        raise FigureError(f"none of {', '.join(keys)} was measured on {' or '.join(splits)}")
    note, definitions = seeds.format_seed_note(request, "lines"), seeds.format_definitions(request, keys)
    return FigureSpec(
        panels=panels,
        legend=[LegendEntry(group.label, c, symbol="dot") for group, c in zip(request.groups, colours, strict=True)],
        caption=f"Metrics at the last measured epoch ({request.last_epoch()}).{note} {definitions}.",
        table=build_metric_table(request, keys, splits),
        columns=min(len(panels), 3),
    )


def build_times(request: FigureRequest) -> FigureSpec:
    """Return a panel for each metric, a bar for each group with the range over its seeds."""
    keys, split = choose_metric_keys(request.figure, request.options), seeds.choose_splits(request)[0]
    asked = request.options.threshold
    unknown = [key for key in keys if asked is None and key not in DEFAULT_THRESHOLDS]
    if unknown:
        raise FigureError(f"say with --threshold from which value on {unknown[0]} counts as collapsed")
    longest = request.last_epoch()
    panels, notices = [], []
    cells_by_column: list[list[TableCell | None]] = []
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
                    Bars("", middle, seeds.choose_colours(request), low if several else None, high if several else None)
                ],
                row_labels=[_name(group, epochs) for group, epochs in zip(request.groups, reached, strict=True)],
                aspect=0.2 + 0.1 * len(request.groups),
            )
        )
        cells: list[TableCell | None] = [
            TableCell(m, lo, hi, len(k)) if len(k) > 1 else TableCell(m) if k else None
            for m, lo, hi, k in zip(middle, low, high, known, strict=True)
        ]
        cells_by_column.append(seeds.mark_best(cells, "low"))
    rows = [(group.label, [column[i] for column in cells_by_column]) for i, group in enumerate(request.groups)]
    note, definitions = seeds.format_seed_note(request, "whiskers"), seeds.format_definitions(request, keys)
    more = f" {'; '.join(notices)}." if notices else ""
    return FigureSpec(
        panels=panels,
        legend=[],
        caption="Time to collapse: the first epoch from which on the metric stays at or beyond the threshold."
        f"{note} {definitions}.{more}",
        table=SummaryTable("epochs until", [panel.title for panel in panels], rows),
        columns=2 if len(panels) > 1 else 1,
        notices=notices,
    )


def _name(group: SeedGroup, epochs: list[int | None]) -> str:
    """Return what is written beside a bar: the label, and how many runs reached the threshold if not all did."""
    there = sum(epoch is not None for epoch in epochs)
    if there == len(epochs):
        return group.label
    return f"{group.label} (not reached)" if there == 0 else f"{group.label} ({there} of {len(epochs)} runs)"


ORDER = ("data", "forward", "head", "backward", "optimiser")


def build_costs(request: FigureRequest) -> FigureSpec:
    """Return stacked bars of milliseconds by phase, and bars of memory."""
    costs_by_group = [[run.costs for run in group.runs if run.costs is not None] for group in request.groups]
    present = dict.fromkeys(phase for costs in costs_by_group for each in costs for phase in each.seconds)
    phases = sorted(present, key=lambda phase: ORDER.index(phase) if phase in ORDER else len(ORDER))
    labels = [group.label for group in request.groups]
    table_ms = {
        phase: np.array(
            [1e3 * float(np.median([each.seconds.get(phase, 0.0) for each in costs])) for costs in costs_by_group]
        )
        for phase in phases
    }
    memory = np.array(
        [max(max(each.memory_bytes.values(), default=0) for each in costs) / 2**20 for costs in costs_by_group]
    )
    memory[memory == 0] = math.nan
    on_cpu = all("process" in each.memory_bytes for costs in costs_by_group for each in costs)
    ratio = 0.24 + 0.1 * len(labels)
    colours = {phase: CLASSES_10[index % len(CLASSES_10)] for index, phase in enumerate(phases)}
    panels = [
        ChartSpec(
            title="Time of a step, ms",
            bars=[Bars(phase, table_ms[phase], [colours[phase]] * len(labels)) for phase in phases],
            row_labels=labels,
            aspect=ratio,
        ),
        ChartSpec(
            title="Memory of the process, MiB" if on_cpu else "Most memory of a phase, MiB",
            x=Axis(),
            bars=[Bars("", memory, seeds.choose_colours(request))],
            row_labels=labels,
            aspect=ratio,
        ),
    ]
    reports = sum(each.reports for costs in costs_by_group for each in costs)
    device = sorted({run.device for group in request.groups for run in group.runs})
    rows = []
    for index, label in enumerate(labels):
        cells: list[TableCell | None] = [TableCell(float(table_ms[phase][index])) for phase in phases]
        total = TableCell(float(sum(table_ms[phase][index] for phase in phases)))
        rows.append((label, [*cells, total, None if math.isnan(memory[index]) else TableCell(float(memory[index]))]))
    return FigureSpec(
        panels=panels,
        legend=[LegendEntry(phase, colours[phase], symbol="patch") for phase in phases],
        caption=f"What a training step takes: the median of {reports} reports by phase, and the most memory "
        f"({'of the whole process' if on_cpu else 'allocated on the device'}; device {', '.join(device)}).",
        table=SummaryTable("ms", [*phases, "step", "memory, MiB"], rows),
        columns=2,
    )
