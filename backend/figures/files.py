"""Make the file of a figure or of an offline replay from the store, in this process."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

import numpy as np

from backend.api import page_constants, run_views, views
from backend.api.run_groups import Configuration, group_by_configuration
from backend.figures.collect import (
    MAX_CURVE_POINTS,
    collect,
    convert_series,
    figure_errors,
    list_capture_epochs,
    read_capture,
)
from backend.figures.process import Job, LabelledFile, ReplayJob
from backend.store import event_log, runs
from backend.store.database import Store
from backend.store.errors import NotFound
from ncengine.metrics import METRICS
from ncfigures.catalogue import FigureName, Format
from ncfigures.options import FigureOptions
from ncfigures.render import render_figure
from ncfigures.replay import ReplayGroup, ReplayPage, render_replay, require_group_count, select_captures


@figure_errors()
def make_figure_file(
    store: Store, run_ids: Sequence[str], figure: FigureName, format_: Format, options: FigureOptions
) -> LabelledFile:
    """Return the file of a figure of runs; raises NotFound and Invalid with the remedy."""
    request = collect(store, run_ids, figure, format_, options)
    return LabelledFile(render_figure(request), request.groups[0].label)


def make_job_file(store: Store, job: Job) -> LabelledFile:
    """Return the file that a job asks for; raises NotFound and Invalid with the remedy."""
    if isinstance(job, ReplayJob):
        return LabelledFile(make_replay_file(store, job.runs), "-".join(job.runs[:4]))
    return make_figure_file(store, job.runs, job.figure, job.format, job.options)


@figure_errors()
def make_replay_file(store: Store, run_ids: Sequence[str]) -> bytes:
    """Return the HTML file of one run, or of several to compare.

    Raises NotFound where a run has no capture yet, Invalid for more groups of seeds than fit side by side.
    """
    compared = group_by_configuration(
        run_views.run_to_wire(runs.get(store, run_id)) for run_id in dict.fromkeys(run_ids)
    )
    require_group_count(len(compared))
    groups = [_group(store, entry, len(compared)) for entry in compared]
    page = ReplayPage(
        metric_labels={key: metric.label for key, metric in METRICS.items()},
        view_labels={"spherical": "Spherical"} | {view.id: view.label for view in page_constants.VIEWS},
        constants_element=page_constants.script_element(),
        read_module=_read_module,
    )
    return render_replay(groups, page)


def _read_module(name: str) -> str:
    """Return the text of a JavaScript module of the pages."""
    return (files("dashboard") / "assets" / "js" / name).read_text(encoding="utf-8")


def _group(store: Store, entry: Configuration, groups: int) -> ReplayGroup:
    """Return the captures of an entry's first run and the metrics of all its runs."""
    run = entry.runs[0]
    started = event_log.find_newest_event(store, run.id, "RunStarted")
    epochs = list_capture_epochs(store, run.id)
    if started is None or not epochs:
        raise NotFound(f"run {run.id} has no geometry yet: a replay needs at least one capture")
    kept = select_captures(len(epochs), read_capture(store, run.id, epochs[0]), groups)
    return ReplayGroup(
        label=entry.label,
        head=entry.head,
        dash=entry.dash,
        run_id=run.id,
        class_names=run.class_names,
        view=started.payload["view"],
        view_matrix=np.asarray(started.payload["view_matrix"], dtype=np.float64),
        vertices=np.asarray(started.payload["vertices"], dtype=np.float64),
        captures=[read_capture(store, run.id, epochs[index]) for index in kept],
        captures_left_out=len(epochs) - len(kept),
        curves=[convert_series(views.read_series(store, each.id, None, MAX_CURVE_POINTS)) for each in entry.runs],
    )
