"""From rows to wire: how a run, an event, a capture and a series look to those who read them."""

from __future__ import annotations

import functools
from typing import Any

import sqlalchemy as sa

from backend import wire
from backend.errors import NotFound, Unusable
from backend.store import artifacts, event_log, runs
from backend.store.database import Store
from backend.store.models import artifact, event
from ncengine.events import STREAMED_ARRAYS


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

    Hidden layers that were measured are splits of their own, `layer:NAME`.
    """
    runs.get(store, run_id)
    query = sa.select(event.c.payload).where(event.c.run_id == run_id, event.c.type == "EpochMeasured")
    with store.reading() as connection:
        payloads = list(connection.execute(query.order_by(event.c.seq)).scalars())
    splits: dict[str, dict[str, list[Any]]] = {}
    measured = [
        payload["scalars"] | {f"layer:{name}": scalars for name, scalars in payload.get("layers", {}).items()}
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
    row = artifacts.row_at(store, run_id, "geometry", step)
    loaded = None if row is None else artifacts.read(store, row)
    if loaded is None:
        raise Unusable(f"the geometry of run {run_id} at step {step} is damaged or missing on disk")
    return {name: wire.typed_array(loaded.arrays[name]) for name in STREAMED_ARRAYS if name in loaded.arrays}


def geometry(store: Store, run_id: str, epoch: float | None) -> wire.Geometry:
    """Return the capture at `epoch` (the newest at or before it), or the newest of all."""
    runs.get(store, run_id)
    started = event_log.newest(store, run_id, "RunStarted")
    query = (
        sa.select(event)
        .join(artifact, sa.and_(artifact.c.run_id == event.c.run_id, artifact.c.seq == event.c.seq))
        .where(event.c.run_id == run_id, event.c.type == "GeometryCaptured")
    )
    with store.reading() as connection:
        captures = list(connection.execute(query.order_by(event.c.seq)))
    fitting = [row for row in captures if epoch is None or row.payload["epoch"] <= epoch]
    if not fitting or started is None:
        first = "none yet" if not captures else f"the first is at epoch {captures[0].payload['epoch']:g}"
        raise NotFound(f"run {run_id} has no geometry at epoch {epoch}: {first}")
    row = fitting[-1]
    return wire.Geometry(
        run=run_id,
        seq=row.seq,
        epoch=row.payload["epoch"],
        step=row.payload["step"],
        class_names=list(started.payload["class_names"]),
        view=started.payload["view"],
        view_matrix=started.payload["view_matrix"],
        vertices=started.payload["vertices"],
        facts={key: value for key, value in row.payload.items() if key not in ("epoch", "step")},
        arrays=typed_arrays(store, run_id, row.payload["step"]),
    )
