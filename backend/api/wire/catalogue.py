"""Presets, metrics, the check of a config, the estimate of a launch, the machine and the server's readiness."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from backend.api.wire.base import Number, WireModel, example_config
from backend.jobs.doctor import CheckResult as CheckResult
from backend.store.validation import FieldError
from ncengine.config import RunConfig


class MetricWire(WireModel):
    """A metric's description."""

    key: str
    label: str
    symbol: str
    formula: str
    family: str
    direction: Literal["low", "high"]
    ideal: Number | None
    """Value at perfect collapse for the requested number of classes; null if there is none."""
    source: str
    reading: str
    exact: bool
    """Computed from all samples; otherwise from a class-balanced subset."""
    share: bool
    """A share in 0 … 1, shown in per cent."""


class PresetWire(WireModel):
    """A ready-made config; `group` is its size or publication."""

    name: str
    group: Literal["quick", "larger", "paper", "released-code"]
    title: str
    description: str
    config: RunConfig


class ConfigCheck(WireModel):
    """Result of validating a config: its errors, or the completed config and derived facts."""

    errors: list[FieldError]
    config: RunConfig | None
    facts: dict[str, Any]


class LaunchPlan(WireModel):
    """A launch to estimate: a config, a grid of settings, and seeds."""

    model_config = example_config(
        config={"data": {"name": "digits"}, "epochs": 20}, grid={"optimiser.lr": [0.05, 0.1]}, seeds=3
    )
    config: RunConfig
    grid: dict[str, Annotated[list[Any], Field(min_length=1, max_length=1000)]] = Field(default_factory=dict)
    seeds: Annotated[int, Field(ge=1, le=1000)] = 1


class LaunchEstimate(WireModel):
    """Estimate from similar runs on this machine; null if there are none."""

    runs: int
    """Number of runs."""
    seconds: float | None
    """Computing time of all runs."""
    wall_seconds: float | None
    """Time from the first start to the last end, with the device's number of slots."""
    memory_bytes: int | None
    """Maximum memory of one run."""
    measured_runs: int
    """Number of runs the estimate is based on, for the least known config."""
    alike: str | None
    """How the runs are similar."""
    unknown: int
    """Number of runs without an estimate; the sums exclude them."""
    ahead: int
    """Runs that are queued or running."""
    slots: int
    """Number of runs the device takes at once."""


class SystemStatus(WireModel):
    """The machine's resources and the server's load."""

    version: str
    devices: list[str]
    slots: dict[str, int]
    """Number of runs at once by device."""
    cores: int
    memory_bytes: int
    server_memory_bytes: int
    disk_free_bytes: int
    disk_full: bool
    """Whether too little of the disk is free to start runs."""
    running: int
    queued: int
    documentation: bool
    """Whether the documentation is built and served at `/docs`."""


class Readiness(WireModel):
    """Whether the server can take runs, and its problems if not."""

    ready: bool
    problems: list[str]
