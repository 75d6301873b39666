"""Collapse over the layers: NC1 and the accuracy of the nearest class mean, from the first measured one to the last."""

from __future__ import annotations

import math

import numpy as np

from ncfigures.errors import FigureError
from ncfigures.figure_data import FigureRequest, SeedGroup
from ncfigures.figure_spec import Axis, ChartSpec, FigureSpec, SummaryTable, TableCell, needs_log_axis
from ncfigures.figures import seed_statistics as seeds
from ncfigures.figures.curves import definition

KEYS = ("nc1", "ncc_accuracy")
PREFIX = {"train": "layer:", "test": "layer-test:"}
LAST = "penultimate"


def layers(request: FigureRequest) -> FigureSpec:
    """Return a panel for NC1 and one for the accuracy of the nearest class mean, over layers."""
    several = len(request.groups) > 1
    asked = None if request.options.split is None else request.options.split.split(",")
    splits = asked or (["train"] if several else ["train", "test"])
    names = _names(request)
    words = [(float(index), name) for index, name in enumerate(names)]
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
                found = seeds.seed_statistics([(np.arange(len(names)), each) for each in table])
                lines.append(seeds.line(found, request, group, split, key, markers=True))
                cells = [
                    None if math.isnan(value) else TableCell(value, low, high, found.count, percent=metric.share)
                    for value, low, high in zip(found.median, found.min, found.max, strict=True)
                ]
                rows.append((f"{group.label}, {metric.label}, {split}", cells))
        values = np.concatenate([line.y for line in lines]) if lines else np.zeros(0)
        log = key == "nc1" and needs_log_axis(values)
        panels.append(
            ChartSpec(title=metric.label, x=Axis(tick_labels=words), y=Axis(log=log, percent=metric.share), lines=lines)
        )
    return FigureSpec(
        panels=panels,
        legend=seeds.legend_entries(request, splits),
        caption=f"Collapse over the layers, in the order of the forward pass, {' and '.join(splits)} split."
        f"{seeds.caption_note(request)} {'; '.join(definition(request.metrics[key]) for key in KEYS)}.",
        table=SummaryTable("", names, rows),
        columns=2,
    )


def _names(request: FigureRequest) -> list[str]:
    series = request.first_run().curves
    if series is None:
        raise FigureError("this figure needs at least one measured epoch, and the run has none yet")
    found = [split.removeprefix(PREFIX["train"]) for split in series.values if split.startswith(PREFIX["train"])]
    return [*found, LAST]


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
    found = [series.values.get(each, {}).get(key) for each in splits]
    return [math.nan if values is None else float(values[places[-1]]) for values in found]
