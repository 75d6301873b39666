"""Wire models of runs and what is listed with them, from the rows of the store.

Imports no NumPy and nothing that draws, so that commands which list runs start quickly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from backend.api import wire
from backend.store import runs

if TYPE_CHECKING:
    from backend.store import bulk, run_groups


def run_wire(row: sa.Row[Any]) -> wire.RunWire:
    """Return a run's row as a wire model."""
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
        want=row.want if row.status == "running" else "run",
        priority=row.priority,
        attempt=row.attempt,
        running_s=row.running_s,
        time_limit_s=row.time_limit_s,
        cloned_from=row.cloned_from,
        notes=row.notes,
        last_seq=row.last_seq,
        summary=row.summary,
        error=row.error,
        demonstration=row.demonstration,
    )


def event_json(row: sa.Row[Any]) -> dict[str, Any]:
    """Return an event as JSON; a capture has `href`, the address of its arrays."""
    found = {"run": row.run_id, "seq": row.seq, "type": row.type, "at": row.at, **row.payload}
    if row.type == "GeometryCaptured":
        found["href"] = f"/api/v1/runs/{row.run_id}/geometry?epoch={row.payload['epoch']!r}"
    return found


def attempt_wire(row: sa.Row[Any]) -> wire.AttemptWire:
    """Return an attempt's row as a wire model."""
    return wire.AttemptWire(**{name: getattr(row, name) for name in wire.AttemptWire.model_fields})


def artifact_wire(row: sa.Row[Any]) -> wire.ArtifactWire:
    """Return an artifact's row as a wire model."""
    href = f"/api/v1/runs/{row.run_id}/artifacts/{row.kind}/{row.step}"
    fields = {name: getattr(row, name) for name in ("kind", "step", "seq", "size_bytes", "sha256")}
    return wire.ArtifactWire(href=href, **fields)


def resource_sample_wire(row: sa.Row[Any]) -> wire.ResourceSampleWire:
    """Return a row of resource use as a wire model."""
    return wire.ResourceSampleWire(**{name: getattr(row, name) for name in wire.ResourceSampleWire.model_fields})


def token_wire(row: sa.Row[Any]) -> wire.TokenWire:
    """Return a token's row as a wire model."""
    return wire.TokenWire(**{name: getattr(row, name) for name in wire.TokenWire.model_fields})


def bulk_result(outcome: bulk.BulkOutcome) -> wire.BulkResult:
    """Return the outcome of a bulk action for one run as a wire model."""
    return wire.BulkResult(id=outcome.run_id, done=outcome.refusal is None, detail=outcome.refusal or "")


def run_group_wire(group: run_groups.RunGroup) -> wire.RunGroupWire:
    """Return a group of runs as a wire model."""
    spreads = {
        key: wire.MetricRangeWire(median=each.median, least=each.min, most=each.max, runs=each.count)
        for key, each in group.ranges.items()
    }
    return wire.RunGroupWire(
        value=group.value,
        runs=group.run_ids,
        states=group.status_counts,
        created_at=group.created_at,
        shared=group.shared,
        spreads=spreads,
    )


def preset_wires() -> list[wire.PresetWire]:
    """Return all presets, in the order of their groups."""
    from ncengine.preset_configs import PRESET_GROUPS

    return [
        wire.PresetWire(
            name=name,
            group=group,
            title=name,
            description=(preset.__doc__ or "").strip().splitlines()[0],
            config=preset(),
        )
        for group, presets in PRESET_GROUPS.items()
        for name, preset in presets.items()
    ]
