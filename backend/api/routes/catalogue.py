"""Routes of presets, the config schema, metrics, data sets and the machine, and the check of a config."""

from __future__ import annotations

import functools
import os
import shutil
from typing import Annotated, Any

import orjson
import psutil
from fastapi import APIRouter, Body, Query, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from backend.api import run_views, wire
from backend.api.routes.context import ContextDep, EncodedRoute
from backend.api.routes.docs import is_site_built
from backend.api.security.permissions import current_caller
from backend.jobs import slots, sweep
from backend.jobs.sweep import estimate_runs
from backend.store import runs
from backend.store.errors import Invalid
from backend.store.scopes import includes
from backend.store.validation import field_errors
from ncengine import __version__
from ncengine.config import RunConfig
from ncengine.data.registry import DATASETS, LabelledConfig, OwnDataConfig
from ncengine.metrics import METRICS

router = APIRouter(prefix="/api/v1", tags=["catalogue"], route_class=EncodedRoute)


@router.get("/presets")
def presets() -> wire.ItemList[wire.PresetWire]:
    """List presets."""
    return wire.ItemList[wire.PresetWire](items=run_views.list_presets())


@router.get("/schema/config", response_class=JSONResponse)
def schema() -> Response:
    """Return the JSON schema of RunConfig."""
    return Response(_schema(), media_type="application/json")


@functools.cache
def _schema() -> bytes:
    return orjson.dumps(RunConfig.model_json_schema())


@router.post("/config/check")
def check(context: ContextDep, config: Annotated[dict[str, Any], Body()]) -> wire.ConfigCheck:
    """Validate a config; returns its errors by field, or the config with derived facts."""
    try:
        resolved = context.resolve_config(RunConfig.model_validate(config))
        context.require_device(resolved)
    except ValidationError as error:
        return wire.ConfigCheck(errors=field_errors(list(error.errors())), config=None, facts={})
    except Invalid as error:
        return wire.ConfigCheck.model_validate({"errors": error.extra["errors"], "config": None, "facts": {}})
    facts = {
        "classes": resolved.classes,
        "train": resolved.train_size,
        "steps": resolved.steps_per_epoch * resolved.epochs,
        "kept_captures": resolved.kept_features.captures,
        "kept_bytes_each": resolved.kept_features.bytes,
    }
    return wire.ConfigCheck(errors=[], config=resolved, facts=facts)


@router.post("/config/estimate")
def estimate(context: ContextDep, body: wire.LaunchPlan) -> wire.LaunchEstimate:
    """Estimate time and memory of a launch from similar runs on this machine."""
    estimates = estimate_runs(context.store, sweep.expand_grid(body.config, body.grid, body.seeds))
    known = [each for each in estimates if each.seconds is not None]
    seconds = sum(each.seconds or 0 for each in known)
    device = slots.pick_slot(body.config.device, list(context.supervisor.slots))
    at_once = context.supervisor.limits.slots.get(device or "", 1)
    worst = min(known, key=lambda each: each.runs, default=None)
    return wire.LaunchEstimate(
        runs=len(estimates),
        seconds=seconds if known else None,
        wall_seconds=max(seconds / at_once, *(each.seconds or 0 for each in known)) if known else None,
        memory_bytes=max((each.memory_bytes or 0 for each in known), default=0) or None,
        measured_runs=0 if worst is None else worst.runs,
        alike=None if worst is None else worst.alike,
        unknown=len(estimates) - len(known),
        ahead=runs.count_runs(context.store, "queued") + runs.count_runs(context.store, "running"),
        slots=at_once,
    )


@router.get("/data")
def data() -> dict[str, dict[str, Any]]:
    """Return titles, class names and sizes of the built-in data sets."""
    infos = {
        name: config().info()
        for name, config in DATASETS.items()
        if issubclass(config, LabelledConfig) and not issubclass(config, OwnDataConfig)
    }
    return {
        name: {"title": info.title, "class_names": list(info.class_names), "train": info.train, "test": info.test}
        for name, info in infos.items()
    }


@router.get("/metrics")
def metrics(classes: Annotated[int, Query(ge=2, le=1_000_000)] = 10) -> wire.ItemList[wire.MetricWire]:
    """List metrics with label, formula, direction, source, and the ideal value for `classes` classes."""
    fields = ("key", "label", "symbol", "formula", "family", "direction", "source", "reading", "exact", "share")
    items = [
        wire.MetricWire(
            **{name: getattr(spec, name) for name in fields},
            ideal=None if spec.ideal is None else spec.ideal(classes),
        )
        for spec in METRICS.values()
    ]
    return wire.ItemList[wire.MetricWire](items=items)


@router.get("/readiness")
def readiness(context: ContextDep) -> wire.Readiness:
    """Return whether the server can take runs, and the problems if not; scope `admin` also sees paths and remedies."""
    problems = context.monitor.readiness()
    visible = problems.values() if includes(current_caller().scope, "admin") else problems
    return wire.Readiness(ready=not problems, problems=list(visible))


@router.get("/system")
def system(context: ContextDep) -> wire.SystemStatus:
    """Return the machine's resources and the server's load."""
    return wire.SystemStatus(
        version=__version__,
        devices=list(context.supervisor.slots),
        slots=dict(context.supervisor.limits.slots),
        cores=os.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        server_memory_bytes=psutil.Process().memory_info().rss,
        disk_free_bytes=shutil.disk_usage(context.store.data_dir).free,
        disk_full=context.supervisor.is_disk_full,
        running=runs.count_runs(context.store, "running"),
        queued=runs.count_runs(context.store, "queued"),
        documentation=is_site_built(),
    )
