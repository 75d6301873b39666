"""Collect a figure's data from the store, for the API, the command line and reports alike."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from backend.api import run_views, views, wire
from backend.api.run_groups import group_by_configuration
from backend.store import artifacts, event_log, runs
from backend.store.database import Store
from backend.store.errors import Invalid, NotFound, Unusable, did_you_mean
from backend.store.run_filter import require_metric
from ncengine import __version__
from ncengine.heads.nearest_etf_config import NearestETFHeadConfig
from ncengine.metrics import METRICS
from ncengine.milestones import time_to_collapse
from ncfigures.catalogue import DEFAULT_THRESHOLDS, FIGURES, FigureName, Format
from ncfigures.errors import FigureError, MissingPackageError, UnknownNameError
from ncfigures.figure_data import (
    CaptureData,
    FigureRequest,
    MetricCurves,
    MetricDescription,
    RunData,
    SeedGroup,
    StepCosts,
)
from ncfigures.options import (
    FigureOptions,
    check_figure,
    choose_metric_keys,
    list_figures,
    parse_epochs,
)

MAX_RUNS = 200
MAX_CURVE_POINTS = 2000
"""Points of a curve: more than a printer's dots in a column."""
MAX_COST_REPORTS = 200
EXTRA_ARRAYS = {
    "margins": ("margins", "margins_test"),
    "spectra": ("spectrum_within", "spectrum_between"),
}
"""Arrays of a capture that a figure needs beside those that every figure gets."""
POOLED = {"margins", "histogram", "spectra"}
"""Figures that pool the captures of all seeds; the others show the capture of the first run."""
SOFTWARE = f"Collapse Lab {__version__}"


@contextmanager
def figure_errors() -> Iterator[None]:
    """Raise Invalid for a FigureError inside, Unusable for a missing package. Also works as a decorator."""
    try:
        yield
    except MissingPackageError as error:
        raise Unusable(str(error)) from error
    except UnknownNameError as error:
        suggestion = did_you_mean(error.name, error.candidates)
        raise Invalid(f"{error.problem}{suggestion}{error.remedy}") from error
    except FigureError as error:
        raise Invalid(str(error)) from error


@figure_errors()
def collect(
    store: Store, run_ids: Sequence[str], figure: FigureName, format_: Format, options: FigureOptions
) -> FigureRequest:
    """Return the request that draws `figure` of runs; raises NotFound and Invalid with the remedy."""
    check_figure(figure, format_, options)
    unique = list(dict.fromkeys(run_ids))
    if not 0 < len(unique) <= MAX_RUNS:
        raise Invalid(f"a figure is of 1 to {MAX_RUNS} runs, got {len(unique)}")
    rows = {run_id: runs.get(store, run_id) for run_id in unique}
    figures = list_figures(figure, options)
    keys = choose_metric_keys(figure, options)
    groups = [
        SeedGroup(
            label=entry.label,
            head=entry.head,
            dash=entry.dash,
            runs=[
                _run_data(store, run, rows[run.id].config_hash, figures, keys, options, first=number == 0)
                for number, run in enumerate(entry.runs)
            ],
        )
        for entry in group_by_configuration(run_views.run_to_wire(row) for row in rows.values())
    ]
    request = FigureRequest(
        figure=figure,
        format=format_,
        groups=groups,
        options=options,
        metrics=describe_metrics(keys, groups[0].runs[0].classes),
        software=SOFTWARE,
    )
    return replace(request, options=_with_numbers_for_latest(request), notices=_missing_epoch_notices(store, request))


def _run_data(
    store: Store,
    run: wire.RunWire,
    config_hash: str,
    figures: Sequence[FigureName],
    keys: Sequence[str],
    options: FigureOptions,
    *,
    first: bool,
) -> RunData:
    """Return what the figures need of a run; `first` is whether it is the first of its seeds."""
    needs = {need for figure in figures for need in FIGURES[figure].needs}
    started = event_log.find_newest_event(store, run.id, "RunStarted")
    head = run.config.head
    curves = _figure_curves(store, run.id, keys, figures, options.until) if "series" in needs else None
    with_captures = "captures" in needs and (first or bool(POOLED & set(figures)))
    return RunData(
        id=run.id,
        name=run.name,
        config_hash=config_hash,
        last_seq=run.last_seq,
        classes=run.classes,
        device=run.config.device,
        implicit_gradient=head.implicit_gradient if isinstance(head, NearestETFHeadConfig) else None,
        versions={} if started is None else started.payload["versions"],
        curves=curves,
        captures=_captures(store, run.id, figures, options) if with_captures else (),
        costs=read_step_costs(store, run.id) if "costs" in needs else None,
        collapse_epochs=_collapse_epochs(curves, keys, options) if curves and "times" in figures else {},
    )


def describe_metrics(keys: Iterable[str], classes: int) -> dict[str, MetricDescription]:
    """Return what captions and axes say about metrics, with their ideals for `classes` classes."""
    return {
        key: MetricDescription(
            label=METRICS[key].label,
            formula=METRICS[key].formula,
            source=METRICS[key].source,
            direction=METRICS[key].direction,
            ideal=None if (ideal := METRICS[key].ideal) is None or classes < 2 else ideal(classes),
            share=METRICS[key].share,
        )
        for key in keys
    }


def _collapse_epochs(
    curves: MetricCurves, keys: Sequence[str], options: FigureOptions
) -> dict[tuple[str, str], int | None]:
    """Return the time to collapse by metric and split, for metrics that have a threshold."""
    epochs: dict[tuple[str, str], int | None] = {}
    for key in keys:
        threshold = DEFAULT_THRESHOLDS.get(key) if options.threshold is None else options.threshold
        if threshold is None:
            continue
        for split, values in curves.values.items():
            if key in values:
                epochs[key, split] = time_to_collapse(
                    curves.epochs, values[key].tolist(), threshold, METRICS[key].direction
                )
    return epochs


def _missing_epoch_notices(store: Store, request: FigureRequest) -> list[str]:
    """Return for each requested epoch without a capture which epoch is drawn and which one is next."""
    first, options = request.first_run(), request.options
    notices = []
    for epoch, capture in zip(parse_epochs(options), first.captures, strict=False):
        if epoch is None or math.isclose(epoch, capture.epoch, rel_tol=1e-6):
            continue
        later = [step for step in artifacts.list_steps(store, first.id, "geometry") if step > capture.step]
        after = f"; the next is {later[0] / _steps_per_epoch(store, first.id):g}" if later else ""
        notices.append(f"epoch {epoch:g} was not captured: the nearest before it is drawn, {capture.epoch:g}{after}")
    return notices


def _with_numbers_for_latest(request: FigureRequest) -> FigureOptions:
    """Return the options with the latest epoch as a number, so that the figure stays the same when the run goes on."""
    options, first = request.options, request.first_run()
    changes: dict[str, object] = {}
    if first.captures and options.epochs is None:
        changes["epoch"] = first.captures[-1].epoch
    last = [run.curves.epochs[-1] for run in request.all_runs() if run.curves and run.curves.epochs]
    if last and options.until is None:
        changes["until"] = max(last)
    return options.model_copy(update=changes)


def parse_numbers(values: Sequence[Any]) -> npt.NDArray[np.float64]:
    """Return numbers of the wire as floats; missing and infinite ones are NaN."""
    numbers = np.array([math.nan if value is None else float(value) for value in values], dtype=np.float64)
    return np.where(np.isfinite(numbers), numbers, math.nan)


def convert_series(series: wire.MetricSeries) -> MetricCurves:
    """Return a run's metrics as arrays."""
    values = {split: {key: parse_numbers(v) for key, v in known.items()} for split, known in series.values.items()}
    return MetricCurves(series.epochs, values)


def _figure_curves(
    store: Store, run_id: str, keys: Sequence[str], figures: Sequence[FigureName], until: int | None
) -> MetricCurves:
    """Return the metrics `keys` of a run up to an epoch, and those of its layers where a figure draws them."""
    for key in keys:
        require_metric(key)
    series = views.read_series(store, run_id, None, MAX_CURVE_POINTS)
    if not series.epochs:
        raise NotFound(f"run {run_id} has no measured epoch yet; wait until its first epoch is done")
    layered = "layers" in figures
    if layered and not any(split.startswith("layer:") for split in series.values):
        raise NotFound(f"run {run_id} measured no hidden layers; launch it with measure.layers to record them")
    count = len(series.epochs) if until is None else sum(epoch <= until for epoch in series.epochs)
    if not count:
        raise NotFound(f"run {run_id} has no epoch at or before {until}: its first measured one is {series.epochs[0]}")
    values = {
        split: {key: parse_numbers(v[:count]) for key, v in known.items() if key in keys or split.startswith("layer")}
        for split, known in series.values.items()
        if split in ("train", "test") or (layered and split.startswith("layer"))
    }
    missing = [key for key in keys if not any(key in known for known in values.values())]
    if missing:
        have = ", ".join(series.values.get("train", []))
        raise NotFound(f"run {run_id} has no metric {missing[0]!r}; it has {have}")
    return MetricCurves(series.epochs[:count], values)


@figure_errors()
def collect_film(store: Store, run_ids: Sequence[str], options: FigureOptions) -> FigureRequest:
    """Return the request of a geometry in which the first run of each group has all its captures.

    Raises NotFound and Invalid as `collect` does.
    """
    if options.epoch is not None or options.epochs is not None:
        raise Invalid("a film shows all epochs; leave epoch and epochs out")
    request = collect(store, run_ids, "geometry", "png", options)
    groups = []
    for group in request.groups:
        first = group.runs[0]
        captures = [read_capture(store, first.id, epoch, options) for epoch in list_capture_epochs(store, first.id)]
        groups.append(replace(group, runs=[replace(first, captures=captures)]))
    return replace(request, groups=groups)


def list_capture_epochs(store: Store, run_id: str) -> list[float]:
    """Return the epochs of a run's captures, in order."""
    steps_per_epoch = _steps_per_epoch(store, run_id)
    return [step / steps_per_epoch for step in artifacts.list_steps(store, run_id, "geometry")]


def _steps_per_epoch(store: Store, run_id: str) -> int:
    started = event_log.find_newest_event(store, run_id, "RunStarted")
    return 1 if started is None else int(started.payload["steps_per_epoch"])


def read_capture(store: Store, run_id: str, epoch: float | None, options: FigureOptions | None = None) -> CaptureData:
    """Return the capture at or before `epoch` (None: the latest), in the view of `options` or the run's own."""
    view = None if options is None else options.view
    four = () if options is None or view != "tetrahedron" else _four_classes(options)
    geometry = views.read_geometry(store, run_id, epoch, view=view, four=four)
    shown = _four_classes(options) if options is not None and geometry.view == "tetrahedron" else None
    return _capture_data(geometry, shown)


def _four_classes(options: FigureOptions) -> tuple[int, ...]:
    return tuple(views.parse_four_classes(options.classes or "0,1,2,3"))


def _capture_data(geometry: wire.GeometryWire, shown_classes: tuple[int, ...] | None) -> CaptureData:
    facts = geometry.facts
    return CaptureData(
        epoch=geometry.epoch,
        step=geometry.step,
        class_names=geometry.class_names,
        view=geometry.view,
        view_matrix=np.asarray(geometry.view_matrix, dtype=np.float64),
        vertices=np.asarray(geometry.vertices, dtype=np.float64),
        arrays={name: wire.from_typed(array) for name, array in geometry.arrays.items()},
        residual=None if facts.get("residual") is None else float(facts["residual"]),
        smallest_angle_deg=float(facts["smallest_angle_deg"]),
        smallest_pair=(facts["smallest_pair"][0], facts["smallest_pair"][1]),
        mean_angle_error_deg=float(facts["mean_angle_error_deg"]),
        cosine_quantiles={share: float(value) for share, value in facts.get("cosine_quantiles", {}).items()},
        shown_classes=shown_classes,
    )


def _captures(store: Store, run_id: str, figures: Sequence[FigureName], options: FigureOptions) -> list[CaptureData]:
    """Return the requested captures, with the further arrays that the figures need."""
    in_view = options if "geometry" in figures else None
    names = tuple(name for figure in figures for name in EXTRA_ARRAYS.get(figure, ()))
    captures = []
    for epoch in parse_epochs(options):
        capture = read_capture(store, run_id, epoch, in_view)
        if names:
            known = views.read_captured_arrays(store, run_id, capture.step)
            # Through the wire's form, so that a figure has the precision of the page.
            extra = {name: wire.from_typed(wire.typed_array(known[name])) for name in names if name in known}
            if not extra:
                raise Invalid(
                    f"the capture of run {run_id} at epoch {capture.epoch:g} has no {names[0].replace('_', ' ')}: all "
                    "class means coincide in it, or an older version made it; choose a later epoch"
                )
            capture = replace(capture, arrays={**capture.arrays, **extra})
        captures.append(capture)
    return captures


def read_step_costs(store: Store, run_id: str) -> StepCosts:
    """Return the time and memory of a run's newest steps; raises NotFound where it has not reported them."""
    reports = [row.payload for row in event_log.list_newest_events(store, run_id, "StepMeasured", MAX_COST_REPORTS)]
    timed = [report for report in reports if report.get("seconds")]
    if not timed:
        raise NotFound(f"run {run_id} has not reported what its steps take; newer runs do from their first epoch on")
    phases = list(dict.fromkeys(phase for report in timed for phase in report["seconds"]))
    places = list(dict.fromkeys(place for report in timed for place in report.get("memory_bytes", {})))
    return StepCosts(
        seconds={phase: median(float(r["seconds"].get(phase, 0.0)) for r in timed) for phase in phases},
        memory_bytes={place: max(int(r.get("memory_bytes", {}).get(place, 0)) for r in timed) for place in places},
        reports=len(timed),
    )
