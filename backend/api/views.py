"""Wire models of a run's measurements: metrics over epochs, captures, samples, milestones, the overview of a run."""

from __future__ import annotations

import contextlib
import functools
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from backend.api import run_views, wire
from backend.store import artifacts, curves, event_log, query, runs
from backend.store.database import Store
from backend.store.errors import Invalid, NotFound, Unusable, did_you_mean
from backend.store.models import artifact, event
from backend.store.run_filter import require_metric
from ncengine.events import STREAMED_ARRAYS
from ncengine.geometry.projections import project_capture
from ncengine.metrics import METRICS
from ncengine.milestones import time_to_collapse

UNLIMITED = sys.maxsize


def read_series(
    store: Store, run_id: str, keys: list[str] | None = None, max_points: int = UNLIMITED
) -> wire.MetricSeries:
    """Return a run's metrics over epochs, thinned to extremes at about `max_points` epochs if there are more.

    Metrics missing at an epoch are null. Measured hidden layers are splits of their own: `layer:NAME` (training split)
    and `layer-test:NAME` (test split). Raises NotFound for a key that no split has.
    """
    runs.get(store, run_id)
    stored = curves.read_curves(store, run_id, "epoch", max_points)
    values = stored.values
    if keys is not None:
        values = {split: {key: known[key] for key in keys if key in known} for split, known in values.items()}
        unknown = [key for key in keys if stored.points and not any(key in known for known in values.values())]
        if unknown:
            have = ", ".join(stored.values.get("train", []))
            hint = did_you_mean(unknown[0], METRICS)
            raise NotFound(f"run {run_id} has no metric {unknown[0]!r}{hint}; it has {have}")
    return wire.MetricSeries(
        run=run_id,
        epochs=[int(place) for place in stored.positions],
        values=values,
        measured=stored.points,
        decimated=stored.decimated,
    )


def read_sparklines(
    store: Store, run_ids: Sequence[str], key: str, split: str, max_points: int
) -> list[wire.Sparkline]:
    """Return one metric of several runs over epochs; unknown runs are skipped."""
    page = query.list_runs(store, only=run_ids, limit=len(run_ids))
    return [_sparkline(store, row.id, row.last_seq, key, split, max_points) for row in page.rows]


@functools.lru_cache(maxsize=2000)
def _sparkline(store: Store, run_id: str, last_seq: int, key: str, split: str, max_points: int) -> wire.Sparkline:
    stored = curves.read_curves(store, run_id, "epoch", max_points)
    values = stored.values.get(split, {}).get(key, [])
    epochs = [int(place) for place in stored.positions] if values else []
    return wire.Sparkline(run=run_id, last_seq=last_seq, epochs=epochs, values=values)


@functools.lru_cache(maxsize=32)
def read_typed_arrays(store: Store, run_id: str, step: int) -> dict[str, wire.TypedArray]:
    """Return a capture's streamed arrays, encoded; cached because every viewer asks for the newest."""
    arrays = read_captured_arrays(store, run_id, step)
    return {name: wire.typed_array(arrays[name]) for name in STREAMED_ARRAYS if name in arrays}


def read_captured_arrays(store: Store, run_id: str, step: int) -> artifacts.Arrays:
    """Return all arrays of a capture; raises Unusable if its file is damaged or missing."""
    row = artifacts.find_row(store, run_id, "geometry", step)
    loaded = None if row is None else artifacts.read(store, row)
    if loaded is None:
        raise Unusable(f"the geometry of run {run_id} at step {step} is damaged or missing on disk")
    return loaded.arrays


def find_event(store: Store, run_id: str, type_: str, epoch: float | None) -> sa.Row[Any]:
    """Return the newest event with arrays of a type, at or before `epoch` if given; raises NotFound.

    Found by the artifact's step; RunStarted has the number of steps per epoch.
    """
    kind, what, remedy = WITH_ARRAYS[type_]
    started = event_log.find_newest_event(store, run_id, "RunStarted")
    stored = sa.select(artifact.c.seq, artifact.c.step).where(artifact.c.run_id == run_id, artifact.c.kind == kind)
    candidates = stored
    if epoch is not None and started is not None:
        # With a tolerance of 1e-9, because a fractional epoch is a rounded quotient.
        last = min(epoch * started.payload["steps_per_epoch"] * (1 + 1e-9), 2**31 - 1)
        candidates = stored.where(artifact.c.step <= math.floor(last))
    with store.reading() as connection:
        newest = connection.execute(candidates.order_by(artifact.c.step.desc()).limit(1)).one_or_none()
        if newest is not None:
            query = sa.select(event).where(event.c.run_id == run_id, event.c.seq == newest.seq)
            return connection.execute(query).one()
        first = connection.execute(stored.order_by(artifact.c.step).limit(1)).one_or_none()
    when = "" if epoch is None else f" at epoch {epoch:g}"
    if first is None or started is None:
        raise NotFound(f"run {run_id} has no {what}{when}: none yet{remedy}")
    first_epoch = first.step / started.payload["steps_per_epoch"]
    raise NotFound(f"run {run_id} has no {what}{when}: the first is at epoch {first_epoch:g}")


WITH_ARRAYS = {
    "GeometryCaptured": ("geometry", "geometry", ""),
    "FeaturesKept": ("features", "features", "; a run keeps them where measure.keep_features is sample or all"),
}
"""Events with arrays: the kind of their artifact, its name in messages, and how to enable it."""


def parse_four_classes(text: str) -> list[int]:
    """Parse labels such as "0,3,5,8"; raises Invalid."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() for part in parts):
        raise Invalid(f"classes must be whole numbers with commas between them, got {text!r}")
    return [int(part) for part in parts]


def read_geometry(
    store: Store,
    run_id: str,
    epoch: float | None,
    *,
    view: str | None = None,
    four: tuple[int, ...] = (),
    names: tuple[str, ...] = (),
) -> wire.GeometryWire:
    """Return the newest capture at or before `epoch`, or the newest of all.

    Args:
        view: `pca` or `tetrahedron` instead of the run's own view.
        four: the four classes of a tetrahedron.
        names: additional arrays.
    """
    runs.get(store, run_id)
    row = find_event(store, run_id, "GeometryCaptured", epoch)
    started = event_log.find_newest_event(store, run_id, "RunStarted")
    if started is None:
        raise NotFound(f"run {run_id} has no geometry yet: it has not started")
    known = read_captured_arrays(store, run_id, row.payload["step"]) if names or view else {}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise NotFound(f"this capture has no array {unknown[0]!r}; it has {', '.join(sorted(known))}")
    arrays = read_typed_arrays(store, run_id, row.payload["step"])
    arrays = arrays | {name: wire.typed_array(known[name]) for name in names}
    shown: dict[str, Any] = {key: started.payload[key] for key in ("view", "view_matrix", "vertices")}
    if view is not None and view != shown["view"]:
        try:
            seen = project_capture(known, view, four)
        except ValueError as error:
            raise Invalid(str(error)) from error
        shown = {"view": view, "view_matrix": seen.matrix.tolist(), "vertices": seen.vertices.tolist()}
        arrays = arrays | {name: wire.typed_array(array) for name, array in seen.arrays.items()}
    return wire.GeometryWire(
        run=run_id,
        seq=row.seq,
        epoch=row.payload["epoch"],
        step=row.payload["step"],
        class_names=list(started.payload["class_names"]),
        facts={key: value for key, value in row.payload.items() if key not in ("epoch", "step")},
        arrays=arrays,
        **shown,
    )


def find_samples(store: Store, run_id: str) -> sa.Row[Any]:
    """Return the artifact row of a run's sample thumbnails; raises NotFound if there is none."""
    row = runs.get(store, run_id)
    rows = artifacts.list_rows(store, run_id, "samples")
    if not rows:
        kind = row.config["data"]["name"]
        raise NotFound(
            f"run {run_id} has no pictures of samples: a run of images makes them when it starts, and this one "
            f"({kind}) has not started, was made by an older version, or is not of images"
        )
    return rows[0]


def read_samples(store: Store, row: sa.Row[Any]) -> wire.SampleImages:
    """Return the thumbnails of an artifact; raises Unusable if it is damaged or missing."""
    loaded = artifacts.read(store, row)
    if loaded is None:
        raise Unusable(f"the pictures of samples of run {row.run_id} are damaged or missing on disk")
    images, true_labels = loaded.arrays["images"], loaded.arrays.get("true_labels")
    count, height, width, channels = images.shape
    return wire.SampleImages(
        run=row.run_id,
        height=height,
        width=width,
        channels=channels,
        images=wire.typed_array(images.reshape(count, -1)),
        true_labels=None if true_labels is None else wire.typed_array(true_labels),
    )


def find_features(store: Store, run_id: str, epoch: float | None) -> tuple[float, Path]:
    """Return the epoch and the file of the newest features kept at or before `epoch`, or the newest of all."""
    runs.get(store, run_id)
    row = find_event(store, run_id, "FeaturesKept", epoch)
    kept = artifacts.find_row(store, run_id, "features", row.payload["step"])
    path = None if kept is None else artifacts.verified_path(store, kept)
    if path is None:
        raise Unusable(f"the features of run {run_id} at step {row.payload['step']} are damaged or missing on disk")
    return float(row.payload["epoch"]), path


def find_milestones(store: Store, run_id: str, key: str, split: str, threshold: float) -> wire.Milestones:
    """Return the first epoch of the terminal phase, and the first from which on a metric stays beyond a threshold."""
    require_metric(key)
    series = read_series(store, run_id)
    if split not in series.values and series.epochs:
        raise NotFound(f"run {run_id} has no split {split!r}; it has {', '.join(series.values)}")
    values = series.values.get(split, {}).get(key, [None] * len(series.epochs))
    newest = event_log.find_newest_event(store, run_id, "EpochMeasured")
    payload = {} if newest is None else newest.payload
    direction = METRICS[key].direction
    return wire.Milestones(
        run=run_id,
        terminal_phase=payload.get("terminal_phase"),
        key=key,
        split=split,
        threshold=threshold,
        direction=direction,
        time_to_collapse=time_to_collapse(
            series.epochs, [None if value is None else float(value) for value in values], threshold, direction
        ),
        collapse_layer=payload.get("collapse_layer"),
    )


def read_overview(store: Store, run_id: str, max_points: int) -> dict[str, Any]:
    """Return the content of a `wire.RunOverview` as JSON, with curves thinned to about `max_points` positions.

    Not a model: validating a hundred thousand numbers would take longer than reading them. Events appended meanwhile
    may be included; a client that streams from `seq` on skips those that it has.
    """
    row = runs.get(store, run_id)
    started = event_log.find_newest_event(store, run_id, "RunStarted")
    newest = {type_: event_log.find_newest_event(store, run_id, type_) for type_ in NEWEST}
    steps = curves.read_curves(store, run_id, "step", max_points)
    stepped = steps.values.get("steps", {})
    captured = artifacts.list_steps(store, run_id, "geometry")
    shown = None
    # The overview is useful without the newest capture, which may be damaged.
    with contextlib.suppress(Unusable):
        shown = read_geometry(store, run_id, None) if captured and started is not None else None
    epochs = curves.read_curves(store, run_id, "epoch", max_points)
    return {
        "run": run_views.run_to_wire(row).model_dump(mode="json"),
        "seq": row.last_seq,
        "started": None if started is None else run_views.event_to_json(started),
        "series": {
            "run": run_id,
            "epochs": epochs.positions,
            "values": epochs.values,
            "measured": epochs.points,
            "decimated": epochs.decimated,
        },
        "steps": {"step": list(steps.positions)} | {key: stepped.get(key, []) for key in OF_STEPS},
        "captures": wire.typed_array(np.array(captured, np.int32)).model_dump(),
        "newest": {type_: run_views.event_to_json(each) for type_, each in newest.items() if each is not None},
        "geometry": None if shown is None else shown.model_dump(mode="json"),
    }


OF_STEPS = ("loss", "lr", "samples_per_s", "memory_bytes")
NEWEST = ("EpochMeasured", "StepMeasured", "LogLine", "DataProgressed", "SamplesPictured")
