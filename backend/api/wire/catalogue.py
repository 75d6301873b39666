"""Presets, metrics, the check of a config and the estimate of a launch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from backend.api.wire.base import Number, WireModel, example_config
from backend.store.validation import FieldError
from ncengine.config import RunConfig


class MetricWire(WireModel):
    """What a metric says about itself."""

    key: str
    label: str
    symbol: str
    formula: str
    family: str
    direction: Literal["low", "high"]
    ideal: Number | None
    """Its value at perfect collapse for the number of classes asked for, or null where there is none."""
    source: str
    reading: str
    exact: bool
    """Every sample counts, however many there are; otherwise those that were kept for a second pass do."""
    share: bool
    """One of 0 … 1, read as per cent."""


class PresetWire(WireModel):
    """A ready-made config; `group` says whether it is quick, larger, or of a publication."""

    name: str
    group: Literal["quick", "larger", "paper", "released-code"]
    title: str
    description: str
    config: RunConfig


class ConfigCheck(WireModel):
    """Whether a config could be launched, and how large it is."""

    errors: list[FieldError]
    config: RunConfig | None
    facts: dict[str, Any]


class LaunchPlan(WireModel):
    """Runs that might be launched: a config, a grid of settings over it, and seeds."""

    model_config = example_config(
        config={"data": {"name": "digits"}, "epochs": 20}, grid={"optimiser.lr": [0.05, 0.1]}, seeds=3
    )
    config: RunConfig
    grid: dict[str, Annotated[list[Any], Field(min_length=1, max_length=1000)]] = Field(default_factory=dict)
    seeds: Annotated[int, Field(ge=1, le=1000)] = 1


class LaunchEstimate(WireModel):
    """What runs will take, from runs like them on this machine; null where there was none."""

    runs: int
    """How many runs it would be."""
    seconds: float | None
    """Of computing, for all of them."""
    wall_seconds: float | None
    """From the first one's start to the last one's end, with as many at once as the device takes."""
    memory_bytes: int | None
    """The most that one of them will take."""
    measured_runs: int
    """From how many runs that is known; of the config that is known worst."""
    alike: str | None
    """How these runs are like those."""
    unknown: int
    """Of how many runs nothing is known; they are not in the sums."""
    ahead: int
    """Runs that wait already or run now."""
    slots: int
    """How many runs the device takes at once."""
