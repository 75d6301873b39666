"""From runs in the store to a figure request: one way, for the API and the command line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import get_args

from backend.api import run_views, views, wire
from backend.api.configurations import group_by_configuration
from backend.store import artifacts, event_log, runs
from backend.store.database import Store
from backend.store.errors import Invalid, NotFound
from backend.store.suggestions import did_you_mean
from ncengine.metrics import METRICS
from ncfigures.camera import parse_camera
from ncfigures.catalogue import FIGURES, LAYERS, VENUES, FigureName, Format
from ncfigures.figure_request import Costs, DrawnEntry, FigureRequest, Member
from ncfigures.options import FigureOptions

MAX_RUNS = 200
MAX_EPOCHS = 6
"""Captures side by side."""
MAX_CURVE_POINTS = 2000
"""DataPaths of a curve, at most: more than a printer's dots in a column."""
MAX_COST_REPORTS = 200
EXTRA_ARRAYS = {
    "margins": ("margins", "margins_test"),
    "spectra": ("spectrum_within", "spectrum_between"),
}
"""Arrays of a capture that a figure needs beside those that everybody gets."""


def check_figure(figure: str, format_: str, options: FigureOptions) -> None:
    """Raise Invalid where a name is not one that there is."""
    if figure not in FIGURES:
        raise Invalid(f"the figure must be one of {', '.join(FIGURES)}, got {figure!r}{did_you_mean(figure, FIGURES)}")
    if format_ not in get_args(Format):
        raise Invalid(f"the format must be one of {', '.join(get_args(Format))}, got {format_!r}")
    if options.venue not in VENUES:
        hint = did_you_mean(options.venue, VENUES)
        raise Invalid(f"venue must be one of {', '.join(VENUES)}, got {options.venue!r}{hint}")
    unknown = [layer for layer in listed(options.layers) if layer not in LAYERS]
    if unknown:
        raise Invalid(f"layers must be among {', '.join(LAYERS)}, got {unknown[0]!r}")
    parse_camera(options.camera)


def listed(text: str | None) -> list[str]:
    """Return the parts of a comma-separated text."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def panels_of(options: FigureOptions) -> list[tuple[FigureName, FigureOptions]]:
    """Return the figures that a composed one consists of, each with its options; raises Invalid for an unknown one."""
    found: list[tuple[FigureName, FigureOptions]] = []
    for text in listed(options.panels) or ["geometry", "angles", "curves:nc1", "margins"]:
        name, _, keys = text.partition(":")
        if name not in FIGURES or name == "composed":
            raise Invalid(f"panels must be among {', '.join(n for n in FIGURES if n != 'composed')}, got {name!r}")
        own = ",".join(key for key in keys.split("+") if key)
        found.append((name, options.model_copy(update={"keys": own} if own else {})))
    return found


def epochs_of(options: FigureOptions) -> list[float | None]:
    """Return the epochs whose captures are drawn, None for the newest; raises Invalid where they are no numbers."""
    if options.epochs is None:
        return [options.epoch]
    try:
        wanted = [float(part) for part in listed(options.epochs)]
    except ValueError:
        raise Invalid(f"epochs must be numbers with commas between them, got {options.epochs!r}") from None
    if not 0 < len(wanted) <= MAX_EPOCHS or not all(math.isfinite(each) and each >= 0 for each in wanted):
        raise Invalid(f"epochs must be 1 to {MAX_EPOCHS} numbers from 0 on, got {options.epochs!r}")
    return list(wanted)


def _kinds(figure: FigureName, options: FigureOptions) -> list[FigureName]:
    return [name for name, _ in panels_of(options)] if figure == "composed" else [figure]


def keys_of(figure: FigureName, options: FigureOptions) -> list[str]:
    """Return the metrics that a figure draws."""
    if figure == "composed":
        return list(dict.fromkeys(key for name, own in panels_of(options) for key in keys_of(name, own)))
    asked = listed(options.keys) if "keys" in FIGURES[figure].options else []
    return asked or list(FIGURES[figure].metrics)


def collect(
    store: Store, run_ids: Sequence[str], figure: FigureName, format_: Format, options: FigureOptions
) -> FigureRequest:
    """Return the request that draws `figure` of runs; raises NotFound and Invalid with the remedy."""
    check_figure(figure, format_, options)
    unique = list(dict.fromkeys(run_ids))
    if not 0 < len(unique) <= MAX_RUNS:
        raise Invalid(f"a figure is of 1 to {MAX_RUNS} runs, got {len(unique)}")
    rows = {run_id: runs.get(store, run_id) for run_id in unique}
    kinds = _kinds(figure, options)
    needs = {need for kind in kinds for need in FIGURES[kind].needs}
    keys = keys_of(figure, options)
    found: list[DrawnEntry] = []
    for entry in group_by_configuration(run_views.run_wire(row) for row in rows.values()):
        members = []
        for number, run in enumerate(entry.runs):
            started = event_log.newest_event(store, run.id, "RunStarted")
            member = Member(
                run=run,
                config_hash=rows[run.id].config_hash,
                versions={} if started is None else started.payload["versions"],
            )
            if "series" in needs:
                member.series = _series(store, run.id, keys, kinds, options.until)
            # Pictures are of one run; order statistics are pooled over seeds.
            if "captures" in needs and (number == 0 or set(kinds) & {"margins", "histogram", "spectra"}):
                member.captures = _captures(store, run, kinds, options)
            if "costs" in needs:
                member.costs = costs_of(store, run.id)
            members.append(member)
        found.append(DrawnEntry(label=entry.label, head=entry.head, dash=entry.dash, members=members))
    request = FigureRequest(figure=figure, format=format_, entries=found, options=options)
    return request.model_copy(
        update={"options": _with_numbers_for_latest(request), "notices": _missing_epoch_notices(store, request)}
    )


def _missing_epoch_notices(store: Store, request: FigureRequest) -> list[str]:
    """Return of each epoch that was asked for and not captured, which one is drawn and which is next."""
    first, options = request.first(), request.options
    notices = []
    for epoch, capture in zip(epochs_of(options), first.captures, strict=False):
        if epoch is None or math.isclose(epoch, capture.epoch, rel_tol=1e-6):
            continue
        later = [step for step in artifacts.steps(store, first.run.id, "geometry") if step > capture.step]
        started = event_log.newest_event(store, first.run.id, "RunStarted")
        after = f"; the next is {later[0] / started.payload['steps_per_epoch']:g}" if later and started else ""
        notices.append(f"epoch {epoch:g} was not captured: the nearest before it is drawn, {capture.epoch:g}{after}")
    return notices


def _with_numbers_for_latest(request: FigureRequest) -> FigureOptions:
    """Return the options with "the newest" said in numbers, so that the same is drawn when the run has gone on."""
    options, first = request.options, request.first()
    changes: dict[str, object] = {}
    if first.captures and options.epochs is None:
        changes["epoch"] = first.captures[-1].epoch
    last = [m.series.epochs[-1] for entry in request.entries for m in entry.members if m.series and m.series.epochs]
    if last and options.until is None:
        changes["until"] = max(last)
    return options.model_copy(update=changes)


def _series(
    store: Store, run_id: str, keys: list[str], kinds: Sequence[FigureName], until: int | None
) -> wire.MetricSeries:
    unknown = [key for key in keys if key not in METRICS]
    if unknown:
        hint = did_you_mean(unknown[0], METRICS)
        raise Invalid(f"there is no metric {unknown[0]!r}{hint}; `nc.catalogue()` and GET /api/v1/metrics list them")
    found = views.series(store, run_id, None, MAX_CURVE_POINTS)
    if not found.epochs:
        raise NotFound(f"run {run_id} has no measured epoch yet; wait until its first epoch is done")
    layered = "layers" in kinds
    if layered and not any(split.startswith("layer:") for split in found.values):
        raise NotFound(f"run {run_id} measured no hidden layers; launch it with measure.layers to record them")
    kept = {s for s in found.values if s in ("train", "test") or (layered and s.startswith("layer"))}
    place = len(found.epochs) if until is None else sum(epoch <= until for epoch in found.epochs)
    if not place:
        raise NotFound(f"run {run_id} has no epoch at or before {until}: its first measured one is {found.epochs[0]}")
    values = {
        split: {key: held[:place] for key, held in known.items() if key in keys or split.startswith("layer")}
        for split, known in found.values.items()
        if split in kept
    }
    lacking = [key for key in keys if not any(key in known for known in values.values())]
    if lacking:
        have = ", ".join(found.values.get("train", []))
        raise NotFound(f"run {run_id} has no metric {lacking[0]!r}; it has {have}")
    return found.model_copy(update={"values": values, "epochs": found.epochs[:place]})


def film_request(store: Store, run_ids: Sequence[str], options: FigureOptions) -> FigureRequest:
    """Return the request of a geometry whose entries' first runs hold all their captures; raises as `collect` does."""
    if options.epoch is not None or options.epochs is not None:
        raise Invalid("a film shows all epochs; leave epoch and epochs out")
    request = collect(store, run_ids, "geometry", "png", options)
    view, four = _view(options)
    drawn = []
    for entry in request.entries:
        first = entry.members[0]
        steps = artifacts.steps(store, first.run.id, "geometry")
        started = event_log.newest_event(store, first.run.id, "RunStarted")
        per_epoch = 1 if started is None else started.payload["steps_per_epoch"]
        held = [views.geometry(store, first.run.id, step / per_epoch, view=view, four=four) for step in steps]
        drawn.append(entry.model_copy(update={"members": [first.model_copy(update={"captures": held})]}))
    return request.model_copy(update={"entries": drawn})


def _view(options: FigureOptions) -> tuple[str | None, tuple[int, ...]]:
    """Return the view that is asked for, and its four classes where it is of four."""
    four = tuple(views.four_classes(options.classes or "0,1,2,3")) if options.view == "tetrahedron" else ()
    return options.view, four


def _captures(
    store: Store, run: wire.RunWire, kinds: Sequence[FigureName], options: FigureOptions
) -> list[wire.GeometryWire]:
    view, four = _view(options) if "geometry" in kinds else (None, ())
    names = tuple(name for kind in kinds for name in EXTRA_ARRAYS.get(kind, ()))
    found = []
    for epoch in epochs_of(options):
        capture = views.geometry(store, run.id, epoch, view=view, four=four)
        if names:
            known = views.captured_arrays(store, run.id, capture.step)
            more = {name: wire.typed_array(known[name]) for name in names if name in known}
            if not more:
                raise Invalid(
                    f"the capture of run {run.id} at epoch {capture.epoch:g} has no {names[0].replace('_', ' ')}: all "
                    "class means coincide in it, or an older version made it; choose a later epoch"
                )
            capture = capture.model_copy(update={"arrays": capture.arrays | more})
        found.append(capture)
    return found


def costs_of(store: Store, run_id: str) -> Costs:
    """Return what the newest steps of a run took; raises NotFound where it has not said so."""
    reports = [row.payload for row in event_log.newest_events(store, run_id, "StepMeasured", MAX_COST_REPORTS)]
    timed = [report for report in reports if report.get("seconds")]
    if not timed:
        raise NotFound(f"run {run_id} has not reported what its steps take; newer runs do from their first epoch on")
    phases = list(dict.fromkeys(phase for report in timed for phase in report["seconds"]))
    places = list(dict.fromkeys(place for report in timed for place in report.get("memory_bytes", {})))
    return Costs(
        seconds={phase: median(float(r["seconds"].get(phase, 0.0)) for r in timed) for phase in phases},
        memory_bytes={place: max(int(r.get("memory_bytes", {}).get(place, 0)) for r in timed) for place in places},
        reports=len(timed),
    )
