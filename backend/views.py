"""From rows to wire: how a run, an event, a capture and a series look to those who read them."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from backend import wire
from backend.errors import Invalid, NotFound, Unusable
from backend.store import artifacts, event_log, runs
from backend.store.database import Store
from backend.store.models import artifact, event
from ncengine.events import STREAMED_ARRAYS
from ncengine.geometry.seen import see
from ncengine.metrics import METRICS
from ncengine.milestones import time_to_collapse


def run_wire(row: sa.Row[Any]) -> wire.RunWire:
    """Return a run's row as it travels."""
    config = runs.config_of(row)
    return wire.RunWire(
        id=row.id,
        name=row.name,
        status=row.status,
        group=row.group,
        tags=row.tags,
        config=config,
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        epoch=row.epoch,
        classes=config.classes,
        class_names=list(config.class_names),
        stopping=row.status == "running" and row.want == "cancel",
        last_seq=row.last_seq,
        summary=row.summary,
        error=row.error,
        demonstration=row.demonstration,
    )


def event_json(row: sa.Row[Any]) -> dict[str, Any]:
    """Return an event as it travels; a capture carries `href`, where its arrays are."""
    found = {"run": row.run_id, "seq": row.seq, "type": row.type, "at": row.at, **row.payload}
    if row.type == "GeometryCaptured":
        found["href"] = f"/api/v1/runs/{row.run_id}/geometry?epoch={row.payload['epoch']!r}"
    return found


def series(store: Store, run_id: str, keys: list[str] | None = None) -> wire.Series:
    """Return a run's metrics over its epochs; a key that an epoch lacks is null there.

    Hidden layers that were measured are splits of their own, `layer:NAME` of the training and `layer-test:NAME` of the
    test split.
    """
    runs.get(store, run_id)
    query = sa.select(event.c.payload).where(event.c.run_id == run_id, event.c.type == "EpochMeasured")
    with store.reading() as connection:
        payloads = list(connection.execute(query.order_by(event.c.seq)).scalars())
    splits: dict[str, dict[str, list[Any]]] = {}
    measured = [
        payload["scalars"]
        | {f"layer:{name}": scalars for name, scalars in payload.get("layers", {}).items()}
        | {f"layer-test:{name}": scalars for name, scalars in payload.get("layers_test", {}).items()}
        for payload in payloads
    ]
    present = {split: list(scalars) for epoch in measured for split, scalars in epoch.items()}
    for split, known in present.items():
        chosen = known if keys is None else [key for key in keys if key in known]
        splits[split] = {key: [epoch.get(split, {}).get(key) for epoch in measured] for key in chosen}
    if keys is not None:
        unknown = [key for key in keys if payloads and not any(key in values for values in splits.values())]
        if unknown:
            raise NotFound(f"run {run_id} has no metric {unknown[0]!r}; it has {', '.join(present.get('train', []))}")
    return wire.Series(run=run_id, epochs=[payload["epoch"] for payload in payloads], values=splits)


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
    """Return the newest event of a type that has arrays, at or before `epoch` where one is given."""
    query = (
        sa.select(event)
        .join(artifact, sa.and_(artifact.c.run_id == event.c.run_id, artifact.c.seq == event.c.seq))
        .where(event.c.run_id == run_id, event.c.type == type_)
    )
    with store.reading() as connection:
        found = list(connection.execute(query.order_by(event.c.seq)))
    fitting = [row for row in found if epoch is None or row.payload["epoch"] <= epoch]
    if fitting:
        return fitting[-1]
    first = "none yet" if not found else f"the first is at epoch {found[0].payload['epoch']:g}"
    what, remedy = WHAT[type_]
    when = "" if epoch is None else f" at epoch {epoch:g}"
    raise NotFound(f"run {run_id} has no {what}{when}: {first}{'' if found else remedy}")


WHAT = {
    "GeometryCaptured": ("geometry", ""),
    "FeaturesKept": ("features", "; a run keeps them where measure.keep_features is sample or all"),
}
"""What events with arrays are of, in words, and how to have some."""


def geometry(
    store: Store,
    run_id: str,
    epoch: float | None,
    *,
    view: str | None = None,
    four: tuple[int, ...] = (),
    names: tuple[str, ...] = (),
) -> wire.Geometry:
    """Return the capture at `epoch` (the newest at or before it), or the newest of all.

    `view` is another than the run's own: `pca` or `tetrahedron`, of the classes `four`. `names` are further arrays.
    """
    runs.get(store, run_id)
    row = at_epoch(store, run_id, "GeometryCaptured", epoch)
    started = event_log.newest(store, run_id, "RunStarted")
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
    return wire.Geometry(
        run=run_id,
        seq=row.seq,
        epoch=row.payload["epoch"],
        step=row.payload["step"],
        class_names=list(started.payload["class_names"]),
        facts={key: value for key, value in row.payload.items() if key not in ("epoch", "step")},
        arrays=arrays,
        **shown,
    )


def features(store: Store, run_id: str, epoch: float | None) -> tuple[float, Path]:
    """Return the epoch and the file of the features kept at `epoch` (the newest at or before it), or the newest."""
    runs.get(store, run_id)
    row = at_epoch(store, run_id, "FeaturesKept", epoch)
    kept = artifacts.row_at(store, run_id, "features", row.payload["step"])
    path = None if kept is None else artifacts.whole_path(store, kept)
    if path is None:
        raise Unusable(f"the features of run {run_id} at step {row.payload['step']} are damaged or missing on disk")
    return float(row.payload["epoch"]), path


def milestones(store: Store, run_id: str, key: str, split: str, threshold: float) -> wire.Milestones:
    """Return when the terminal phase began, and from when on a metric stays at or beyond a threshold."""
    if key not in METRICS:
        raise Invalid(f"key must be a metric, got {key!r}; GET /api/v1/metrics lists them")
    found = series(store, run_id)
    if split not in found.values and found.epochs:
        raise NotFound(f"run {run_id} has no split {split!r}; it has {', '.join(found.values)}")
    values = found.values.get(split, {}).get(key, [None] * len(found.epochs))
    newest = event_log.newest(store, run_id, "EpochMeasured")
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
