"""Wire models of runs and what is listed with them, from the rows of the store.

Imports no NumPy and nothing that draws, so that commands which list runs start quickly.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from backend.api import wire
from backend.store import runs


def run_to_wire(row: sa.Row[Any]) -> wire.RunWire:
    """Return a run's row as a wire model."""
    config = runs.parse_config(row)
    columns = {name: getattr(row, name) for name in wire.RunWire.model_fields if hasattr(row, name)}
    request = row.want if row.status == "running" else "run"
    derived = {"config": config, "classes": config.classes, "class_names": list(config.class_names), "want": request}
    return wire.RunWire(**columns | derived)


def event_to_json(row: sa.Row[Any]) -> dict[str, Any]:
    """Return an event as JSON; a capture has `href`, the address of its arrays."""
    content = {"run": row.run_id, "seq": row.seq, "type": row.type, "at": row.at, **row.payload}
    if row.type == "GeometryCaptured":
        content["href"] = f"/api/v1/runs/{row.run_id}/geometry?epoch={row.payload['epoch']!r}"
    return content


def list_presets() -> list[wire.PresetWire]:
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
