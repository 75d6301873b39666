"""From rows to wire: how a run, an event, a capture and a series look to those who read them."""

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
from backend.store.errors import Invalid, NotFound, Unusable
from backend.store.models import artifact, event
from backend.store.suggestions import did_you_mean
from ncengine.events import STREAMED_ARRAYS
from ncengine.geometry.seen import see
from ncengine.metrics import METRICS
from ncengine.milestones import time_to_collapse

ALL = sys.maxsize


def series(store: Store, run_id: str, keys: list[str] | None = None, at_most: int = ALL) -> wire.MetricSeries:
    """Return a run's metrics over its epochs, or their extremes at about `at_most` places where there are more.

    A key that an epoch lacks is null there. Hidden layers that were measured are splits of their own, `layer:NAME` of
    the training and `layer-test:NAME` of the test split.
    """
    runs.get(store, run_id)
    found = curves.read(store, run_id, "epoch", at_most)
    values = found.values
    if keys is not None:
        values = {split: {key: known[key] for key in keys if key in known} for split, known in values.items()}
        unknown = [key for key in keys if found.points and not any(key in known for known in values.values())]
        if unknown:
            have = ", ".join(found.values.get("train", []))
            hint = did_you_mean(unknown[0], METRICS)
            raise NotFound(f"run {run_id} has no metric {unknown[0]!r}{hint}; it has {have}")
    return wire.MetricSeries(
        run=run_id,
        epochs=[int(place) for place in found.positions],
        values=values,
        measured=found.points,
        decimated=found.decimated,
    )


def sparklines(store: Store, run_ids: Sequence[str], key: str, split: str, at_most: int) -> list[wire.Sparkline]:
    """Return one metric of several runs over their epochs; of runs that are not there, nothing."""
    found = query.list_runs(store, only=run_ids, limit=len(run_ids))
    return [_sparkline(store, row.id, row.last_seq, key, split, at_most) for row in found.rows]


@functools.lru_cache(maxsize=2000)
def _sparkline(store: Store, run_id: str, last_seq: int, key: str, split: str, at_most: int) -> wire.Sparkline:
    found = curves.read(store, run_id, "epoch", at_most)
    values = found.values.get(split, {}).get(key, [])
    epochs = [int(place) for place in found.positions] if values else []
    return wire.Sparkline(run=run_id, last_seq=last_seq, epochs=epochs, values=values)


@functools.lru_cache(maxsize=32)
def typed_arrays(store: Store, run_id: str, step: int) -> dict[str, wire.TypedArray]:
    """Return a capture's arrays as they travel; read and encoded once for all who look."""
    arrays = captured_arrays(store, run_id, step)
    return {name: wire.typed_array(arrays[name]) for name in STREAMED_ARRAYS if name in arrays}


def captured_arrays(store: Store, run_id: str, step: int) -> artifacts.Arrays:
    """Return all arrays of a capture; raises Unusable where its file is not whole."""
    row = artifacts.row_at(store, run_id, "geometry", step)
    loaded = None if row is None else artifacts.read(store, row)
    if loaded is None:
        raise Unusable(f"the geometry of run {run_id} at step {step} is damaged or missing on disk")
    return loaded.arrays


def at_epoch(store: Store, run_id: str, type_: str, epoch: float | None) -> sa.Row[Any]:
    """Return the newest event of a type that has arrays, at or before `epoch` where one is given.

    The file's row knows the step; how many steps an epoch has, the run's first event says.
    """
    kind, what, remedy = WITH_ARRAYS[type_]
    started = event_log.newest_event(store, run_id, "RunStarted")
    held = sa.select(artifact.c.seq, artifact.c.step).where(artifact.c.run_id == run_id, artifact.c.kind == kind)
    fitting = held
    if epoch is not None and started is not None:
        # A billionth, because a fraction of an epoch is a rounded quotient.
        last = min(epoch * started.payload["steps_per_epoch"] * (1 + 1e-9), 2**31 - 1)
        fitting = held.where(artifact.c.step <= math.floor(last))
    with store.reading() as connection:
        found = connection.execute(fitting.order_by(artifact.c.step.desc()).limit(1)).one_or_none()
        if found is not None:
            query = sa.select(event).where(event.c.run_id == run_id, event.c.seq == found.seq)
            return connection.execute(query).one()
        first = connection.execute(held.order_by(artifact.c.step).limit(1)).one_or_none()
    when = "" if epoch is None else f" at epoch {epoch:g}"
    if first is None or started is None:
        raise NotFound(f"run {run_id} has no {what}{when}: none yet{remedy}")
    at = first.step / started.payload["steps_per_epoch"]
    raise NotFound(f"run {run_id} has no {what}{when}: the first is at epoch {at:g}")


WITH_ARRAYS = {
    "GeometryCaptured": ("geometry", "geometry", ""),
    "FeaturesKept": ("features", "features", "; a run keeps them where measure.keep_features is sample or all"),
}
"""Events with arrays: the kind of their files, what they are of, in words, and how to have some."""


def four_classes(text: str) -> list[int]:
    """Return the labels in "0,3,5,8"; raises Invalid where a part is no whole number."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() for part in parts):
        raise Invalid(f"classes must be whole numbers with commas between them, got {text!r}")
    return [int(part) for part in parts]


def geometry(
    store: Store,
    run_id: str,
    epoch: float | None,
    *,
    view: str | None = None,
    four: tuple[int, ...] = (),
    names: tuple[str, ...] = (),
) -> wire.GeometryWire:
    """Return the capture at `epoch` (the newest at or before it), or the newest of all.

    `view` is another than the run's own: `pca` or `tetrahedron`, of the classes `four`. `names` are further arrays.
    """
    runs.get(store, run_id)
    row = at_epoch(store, run_id, "GeometryCaptured", epoch)
    started = event_log.newest_event(store, run_id, "RunStarted")
    if started is None:
        raise NotFound(f"run {run_id} has no geometry yet: it has not started")
    known = captured_arrays(store, run_id, row.payload["step"]) if names or view else {}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise NotFound(f"this capture has no array {unknown[0]!r}; it has {', '.join(sorted(known))}")
    arrays = typed_arrays(store, run_id, row.payload["step"])
    arrays = arrays | {name: wire.typed_array(known[name]) for name in names}
    shown: dict[str, Any] = {key: started.payload[key] for key in ("view", "view_matrix", "vertices")}
    if view is not None and view != shown["view"]:
        try:
            seen = see(known, view, four)
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


def pictured(store: Store, run_id: str) -> sa.Row[Any]:
    """Return the row of the file that pictures a run's samples; raises NotFound where there is none."""
    row = runs.get(store, run_id)
    held = artifacts.rows(store, run_id, "samples")
    if not held:
        kind = row.config["data"]["name"]
        raise NotFound(
            f"run {run_id} has no pictures of samples: a run of images makes them when it starts, and this one "
            f"({kind}) has not started, was made by an older version, or is not of images"
        )
    return held[0]


def samples(store: Store, row: sa.Row[Any]) -> wire.SampleImages:
    """Return the pictures that a file holds; raises Unusable where it is not whole."""
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


def features(store: Store, run_id: str, epoch: float | None) -> tuple[float, Path]:
    """Return the epoch and the file of the features kept at `epoch` (the newest at or before it), or the newest."""
    runs.get(store, run_id)
    row = at_epoch(store, run_id, "FeaturesKept", epoch)
    kept = artifacts.row_at(store, run_id, "features", row.payload["step"])
    path = None if kept is None else artifacts.verified_path(store, kept)
    if path is None:
        raise Unusable(f"the features of run {run_id} at step {row.payload['step']} are damaged or missing on disk")
    return float(row.payload["epoch"]), path


def milestones(store: Store, run_id: str, key: str, split: str, threshold: float) -> wire.Milestones:
    """Return when the terminal phase began, and from when on a metric stays at or beyond a threshold."""
    if key not in METRICS:
        raise Invalid(f"key must be a metric, got {key!r}{did_you_mean(key, METRICS)}; GET /api/v1/metrics lists them")
    found = series(store, run_id)
    if split not in found.values and found.epochs:
        raise NotFound(f"run {run_id} has no split {split!r}; it has {', '.join(found.values)}")
    values = found.values.get(split, {}).get(key, [None] * len(found.epochs))
    newest = event_log.newest_event(store, run_id, "EpochMeasured")
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
            found.epochs, [None if value is None else float(value) for value in values], threshold, direction
        ),
        collapse_layer=payload.get("collapse_layer"),
    )


def overview(store: Store, run_id: str, at_most: int) -> dict[str, Any]:
    """Return all that a page of a run begins with, a `wire.RunOverview`, its curves at about `at_most` places each.

    It is JSON-able as it is: to check a hundred thousand numbers one by one would take longer than to read them.
    What happens while this is read may be in it already; a reader that follows from `seq` on passes over what it has.
    """
    row = runs.get(store, run_id)
    started = event_log.newest_event(store, run_id, "RunStarted")
    newest = {type_: event_log.newest_event(store, run_id, type_) for type_ in NEWEST}
    steps = curves.read(store, run_id, "step", at_most)
    stepped = steps.values.get("steps", {})
    captured = artifacts.steps(store, run_id, "geometry")
    shown = None
    # A newest capture that is damaged is no reason to show nothing of the run.
    with contextlib.suppress(Unusable):
        shown = geometry(store, run_id, None) if captured and started is not None else None
    epochs = curves.read(store, run_id, "epoch", at_most)
    return {
        "run": run_views.run_wire(row).model_dump(mode="json"),
        "seq": row.last_seq,
        "started": None if started is None else run_views.event_json(started),
        "series": {
            "run": run_id,
            "epochs": epochs.positions,
            "values": epochs.values,
            "measured": epochs.points,
            "decimated": epochs.decimated,
        },
        "steps": {"step": list(steps.positions)} | {key: stepped.get(key, []) for key in OF_STEPS},
        "captures": wire.typed_array(np.array(captured, np.int32)).model_dump(),
        "newest": {type_: run_views.event_json(each) for type_, each in newest.items() if each is not None},
        "geometry": None if shown is None else shown.model_dump(mode="json"),
    }


OF_STEPS = ("loss", "lr", "samples_per_s", "memory_bytes")
NEWEST = ("EpochMeasured", "StepMeasured", "LogLine", "DataProgressed", "SamplesPictured")
