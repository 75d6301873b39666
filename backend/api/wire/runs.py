"""Runs: what is launched, listed, changed and grouped."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from backend.api.wire.base import Status, Summary, WireModel, example_config
from backend.store.validation import Name, Tags
from ncengine.config import RunConfig


class RunWire(WireModel):
    """A run as it stands."""

    model_config = example_config(
        id="r3k5q7w9x1",
        name="digits, nearest ETF",
        status="running",
        group="heads",
        tags=["first"],
        config={"data": {"name": "digits"}, "head": {"name": "nearest-etf"}, "epochs": 20},
        created_at="2026-01-31T12:00:00.000000+00:00",
        started_at="2026-01-31T12:00:00.150000+00:00",
        ended_at=None,
        epoch=7,
        classes=10,
        class_names=[str(digit) for digit in range(10)],
        want="run",
        priority=0,
        attempt=1,
        running_s=4.2,
        time_limit_s=None,
        cloned_from=None,
        notes="",
        last_seq=31,
        summary={"train": {"nc1": 0.21, "top1": 0.998}, "test": {"nc1": 0.48, "top1": 0.957}},
        error=None,
        demonstration=False,
    )
    id: str
    name: str
    status: Status
    group: str | None
    tags: list[str]
    config: RunConfig
    created_at: str
    started_at: str | None
    ended_at: str | None
    epoch: int
    """The last epoch measured."""
    classes: int
    class_names: list[str]
    want: Literal["run", "pause", "cancel"]
    """What the user has asked a running run for: it is about to pause or to stop where that is not `run`."""
    priority: int
    """Runs of higher priority start first."""
    attempt: int
    """How many attempts have begun."""
    running_s: float
    """Seconds it has run, in all its attempts."""
    time_limit_s: float | None
    cloned_from: str | None
    notes: str
    last_seq: int
    summary: Summary
    error: str | None
    demonstration: bool
    """The run that a first start begins by itself."""


class RunPage(WireModel):
    """A page of runs, newest first."""

    items: list[RunWire]
    next_cursor: str | None
    total: int


Priority = Annotated[int, Field(ge=-1000, le=1000)]

Seconds = Annotated[float, Field(ge=1, le=1e9, allow_inf_nan=False)]

RunId = Annotated[str, Field(max_length=16)]


class LaunchOptions(WireModel):
    """What is said of a new run beside its config."""

    name: Name | None = None
    tags: Tags = Field(default_factory=list)
    group: Name | None = None
    priority: Priority = 0
    """Runs of higher priority start first."""
    time_limit_s: Seconds | None = None
    """Seconds of running, over all attempts, after which the run stops with a checkpoint."""


class LaunchRequest(LaunchOptions):
    """A run to launch. Unknown config keys and impossible combinations are refused with the fields named."""

    model_config = example_config(config={"data": {"name": "digits"}, "epochs": 20}, tags=["first"])
    config: RunConfig


class SweepRequest(LaunchOptions):
    """Runs over a grid of settings, each with several seeds, queued together as one group."""

    model_config = example_config(
        config={"data": {"name": "digits"}, "epochs": 20},
        grid={"optimiser.lr": [0.05, 0.1], "head.name": ["nearest-etf", "linear"]},
        seeds=3,
        group="rates",
    )
    config: RunConfig
    grid: dict[str, Annotated[list[Any], Field(min_length=1, max_length=1000)]] = Field(default_factory=dict)
    """Values by dotted setting; every combination is run."""
    seeds: Annotated[int, Field(ge=1, le=1000)] = 1
    """How many seeds each combination gets, counted up from the config's own."""
    group: Name


class CloneRequest(LaunchOptions):
    """A run like another one, with some settings changed."""

    model_config = example_config(set={"seed": 1, "head.name": "linear"}, name="the same with a linear classifier")
    set: dict[str, Any] = Field(default_factory=dict)
    """Changed settings by dotted name."""


class RunUpdate(WireModel):
    """What may be changed of a run at any time."""

    model_config = example_config(tags=["paper", "figure 2"], notes="Delta of 1e-3; see the runs of group *rates*.")
    name: Name | None = None
    tags: Tags | None = None
    group: Name | None = None
    notes: str | None = Field(default=None, max_length=100_000, pattern=r"^[^\x00]*$")
    """Markdown."""
    priority: Priority | None = None
    time_limit_s: Seconds | None = None


class QueueMove(WireModel):
    """Where in the queue a run goes."""

    model_config = example_config(before="r3k5q7w9x1")
    before: RunId | None
    """The queued run before which it goes, or null for the end."""


class Sweep(WireModel):
    """A group of runs that were queued together."""

    group: str
    items: list[RunWire]


BulkAction = Literal["cancel", "pause", "resume", "retry", "delete", "restore", "tag", "untag", "group", "priority"]


class BulkRequest(WireModel):
    """One action on several runs, named by id or by a filter."""

    model_config = example_config(action="cancel", q="group:rates status:queued")
    action: BulkAction
    runs: Annotated[list[RunId], Field(max_length=10_000)] | None = None
    q: str | None = Field(default=None, min_length=1, max_length=500)
    value: Name | Priority | None = None
    """The tag, the group, or the priority, where the action needs one."""


class BulkResult(WireModel):
    """What became of one run of a bulk action."""

    id: str
    done: bool
    detail: str
    """Why it was not done, or nothing."""


class GroupSummary(WireModel):
    """Runs under one name, such as the seeds of a sweep."""

    group: str
    created_at: str
    runs: dict[Status, int]
    """How many there are in each state."""


class MetricRangeWire(WireModel):
    """Median and range of a number over those runs of a fold that have it."""

    median: float
    least: float
    most: float
    runs: int


class RunGroupWire(WireModel):
    """Runs that a table shows as one row."""

    value: str | None
    """What they have in common of the field that was asked for; null for seeds, or where none of them has it."""
    runs: list[str]
    """Their ids, newest first."""
    states: dict[Status, int]
    created_at: str
    """When the newest one was made."""
    shared: dict[str, str | None]
    """Name, group, head, data, backbone and seed, each null where they differ."""
    spreads: dict[str, MetricRangeWire]
    """The metrics asked for, as `SPLIT.KEY`, and `duration` in seconds."""


class RunGroupPage(WireModel):
    """Runs folded into rows, the one with the newest run first; `total` counts the rows there are."""

    items: list[RunGroupWire]
    total: int


class AttemptWire(WireModel):
    """One attempt at a run: a process from its start to its end."""

    number: int
    device: str
    pid: int | None
    claimed_at: str
    ended_at: str | None
    outcome: str | None
    """How it ended: an event's name, or the reason why it failed."""
