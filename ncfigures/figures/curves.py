"""Metrics over epochs: train solid, test dotted for one entry; for several a panel a split, with ranges over seeds."""

from __future__ import annotations

import numpy as np

from backend.figures.collect import keys_of
from backend.store.errors import Invalid
from ncengine.metrics import METRICS, MetricSpec
from ncfigures.catalogue import FIGURES
from ncfigures.figure_request import DrawnEntry, FigureRequest
from ncfigures.figure_spec import Axis, Chart, FigureSpec, Line, ReferenceLine, SummaryTable
from ncfigures.figures import seed_statistics as seeds

DECADES = 20.0
"""A metric that spans a larger factor stands on a logarithmic axis."""


def splits_of(request: FigureRequest) -> list[str]:
    """Return the splits asked for: where several entries are drawn, training alone unless both are named."""
    if request.figure == "test":
        return ["test"]
    if request.options.split is not None:
        return request.options.split.split(",")
    return ["train"] if len(request.entries) > 1 else ["train", "test"]


def curves(request: FigureRequest) -> FigureSpec:
    """Return each metric over epochs."""
    keys, splits = keys_of(request.figure, request.options), splits_of(request)
    several = len(request.entries) > 1
    wanted = (
        [(key, (split,)) for key in keys for split in splits] if several else [(key, tuple(splits)) for key in keys]
    )
    panels = [_panel(request, key, shown, several=several and len(splits) > 1) for key, shown in wanted]
    drawn = [panel for panel in panels if panel.lines]
    if not drawn:
        raise Invalid(f"none of {', '.join(keys)} was measured on {' or '.join(splits)}")
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
            f"{METRICS[key].label} was not measured on {' or '.join(shown)}"
            for (key, shown), panel in zip(wanted, panels, strict=True)
            if not panel.lines
        ],
    )


def _panel(request: FigureRequest, key: str, splits: tuple[str, ...], *, several: bool) -> Chart:
    metric = METRICS[key]
    lines: list[Line] = []
    for entry in request.entries:
        for split in splits:
            found = seeds.metric_statistics(entry, split, key)
            if found is None or not np.isfinite(found.median).any():
                continue
            lines.append(seeds.line(found, request, entry, split, key))
    log = _log(request, lines)
    ideal = None if metric.ideal is None else metric.ideal(request.first().run.classes)
    # Zero cannot stand on a logarithmic axis: it is then left to the caption.
    rules = [] if ideal is None or (log and ideal <= 0) else [ReferenceLine(float(ideal), label="ideal")]
    title = f"{metric.label}, {splits[0]}" if several else metric.label
    return Chart(
        title=title,
        x=Axis("epoch"),
        y=Axis(log=log, percent=metric.share),
        lines=lines,
        reference_lines=rules if lines else [],
    )


def _log(request: FigureRequest, lines: list[Line]) -> bool:
    scale = request.options.scale
    if scale == "linear" or not lines:
        return False
    values = np.concatenate([part for line in lines for part in (line.y, line.low, line.high) if part is not None])
    values = values[np.isfinite(values)]
    if scale == "log":
        return bool((values > 0).any())
    return bool((values > 0).all() and values.max() > DECADES * values.min())


def table(request: FigureRequest, keys: list[str], splits: list[str]) -> SummaryTable:
    """Return the metrics at the end, by entry, the best of each column marked."""
    columns: list[str] = []
    held = []
    for key in keys:
        metric = METRICS[key]
        for split in splits:
            cells = [
                seeds.final_cell(seeds.metric_statistics(entry, split, key), percent=metric.share)
                for entry in request.entries
            ]
            if any(cells):
                columns.append(f"{metric.label}, {split}")
                held.append(seeds.mark_best(cells, metric.direction))
    rows = [(entry.label, [column[i] for column in held]) for i, entry in enumerate(request.entries)]
    return SummaryTable("", columns, rows)


def definition(metric: MetricSpec) -> str:
    """Return a metric's name, formula and source."""
    return f"{metric.label}: {metric.formula} ({metric.source})"


def caption(request: FigureRequest, keys: list[str], splits: list[str]) -> str:
    """Return what is drawn, with the definitions of the metrics."""
    title = FIGURES[request.figure].title
    if len(request.entries) > 1:
        lines = f"{' and '.join(splits)} split; entries in the colours of their heads"
    else:
        lines = " and ".join(f"{split} {'solid' if split == 'train' else 'dotted'}" for split in splits)
    classes = request.first().run.classes
    ideals = [f"{METRICS[key].label} {ideal(classes):.4g}" for key in keys if (ideal := METRICS[key].ideal) is not None]
    words = "; ".join(definition(METRICS[key]) for key in keys)
    at = f" At perfect collapse: {', '.join(ideals)}." if ideals else ""
    return f"{title}: {lines}.{seeds.caption_note(request)} {words}.{at}"


def implicit(request: FigureRequest) -> FigureSpec:
    """Return the same metrics with and without the gradient through the choice of the nearest ETF."""
    sorted_out: dict[bool, list[DrawnEntry]] = {True: [], False: []}
    for entry in request.entries:
        head = entry.members[0].run.config.head
        if head.name == "nearest-etf":
            sorted_out[head.implicit_gradient].append(entry)
    missing = [words for on, words in ((True, "true"), (False, "false")) if not sorted_out[on]]
    if missing:
        raise Invalid(
            "this figure compares nearest-ETF runs with head.implicit_gradient true and false; choose runs of both "
            f"(none here has {' nor '.join(missing)}; clone one with --set head.implicit_gradient={missing[0]})"
        )
    words = {True: ("gradient through the ETF", "solid"), False: ("gradient cut", "dash")}
    entries = [
        entry.model_copy(
            update={"label": words[on][0] if len(held) == 1 else f"{entry.label}, {words[on][0]}", "dash": words[on][1]}
        )
        for on, held in sorted_out.items()
        for entry in held
    ]
    return curves(request.model_copy(update={"entries": entries}))
