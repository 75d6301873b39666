"""Wire models of runs: launch, list, update, bulk actions, groups, attempts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from backend.api.wire.base import RenamedModel, Summary, WireModel, example_config, named_in_json
from backend.store.run_status import RunAction as RunAction
from backend.store.run_status import RunStatus as RunStatus
from backend.store.validation import Name, Tags
from ncengine.config import RunConfig


class RunWire(WireModel):
    """A run and its current state."""

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
    status: RunStatus
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
    """What the user requested of a running run: with `pause` or `cancel` it is about to stop."""
    priority: int
    """Runs of higher priority start first."""
    attempt: int
    """Number of attempts so far."""
    running_s: float
    """Running time over all attempts, in seconds."""
    time_limit_s: float | None
    cloned_from: str | None
    notes: str
    last_seq: int
    summary: Summary
    error: str | None
    demonstration: bool
    """Whether this is the run that the first start of a server queues."""


class RunPage(WireModel):
    """A page of runs, newest first."""

    items: list[RunWire]
    next_cursor: str | None
    total: int


Priority = Annotated[int, Field(ge=-1000, le=1000)]

Seconds = Annotated[float, Field(ge=1, le=1e9, allow_inf_nan=False)]

RunId = Annotated[str, Field(max_length=16)]


class LaunchOptions(WireModel):
    """Options of a new run besides its config."""

    name: Name | None = None
    tags: Tags = Field(default_factory=list)
    group: Name | None = None
    priority: Priority = 0
    """Runs of higher priority start first."""
    time_limit_s: Seconds | None = None
    """Running time over all attempts, in seconds, after which the run stops with a checkpoint."""


class LaunchRequest(LaunchOptions):
    """A run to launch. Unknown config keys and invalid combinations are refused, with the fields named."""

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
    """Values by dotted setting; every combination is launched."""
    seeds: Annotated[int, Field(ge=1, le=1000)] = 1
    """Number of seeds per combination, counted up from the config's own."""
    group: Name


class CloneRequest(LaunchOptions):
    """A copy of a run with some settings changed."""

    model_config = example_config(set={"seed": 1, "head.name": "linear"}, name="the same with a linear classifier")
    set: dict[str, Any] = Field(default_factory=dict)
    """Changed settings by dotted name."""


class RunUpdate(WireModel):
    """Changes to a run; omitted fields stay as they are."""

    model_config = example_config(tags=["paper", "figure 2"], notes="Delta of 1e-3; see the runs of group *rates*.")
    name: Name | None = None
    tags: Tags | None = None
    group: Name | None = None
    notes: str | None = Field(default=None, max_length=100_000, pattern=r"^[^\x00]*$")
    """Markdown."""
    priority: Priority | None = None
    time_limit_s: Seconds | None = None


class QueueMove(WireModel):
    """A new position in the queue."""

    model_config = example_config(before="r3k5q7w9x1")
    before: RunId | None
    """The queued run to insert it before, or null for the end."""


class Sweep(WireModel):
    """Runs that were queued together as a group."""

    group: str
    items: list[RunWire]


class BulkRequest(WireModel):
    """One action on several runs, given by ids or by a filter."""

    model_config = example_config(action="cancel", q="group:rates status:queued")
    action: RunAction
    runs: Annotated[list[RunId], Field(max_length=10_000)] | None = None
    q: str | None = Field(default=None, min_length=1, max_length=500)
    value: Name | Priority | None = None
    """The tag, group or priority, if the action needs one."""


class BulkResult(WireModel):
    """Result of a bulk action for one run."""

    id: str
    done: bool
    detail: str
    """The reason if it was not done, else empty."""


class GroupSummary(WireModel):
    """A group of runs, such as a sweep, with run counts."""

    group: str
    created_at: str
    runs: dict[RunStatus, int]
    """Number of runs by status."""


class MetricRange(RenamedModel):
    """Median, minimum and maximum of a number over the runs of a group that have it."""

    median: float
    min: float = named_in_json("least")
    max: float = named_in_json("most")
    count: int = named_in_json("runs")
    """Number of runs."""


class RunGroup(RenamedModel):
    """Runs grouped by a shared value, or by everything except the seed."""

    value: str | None
    """The shared value of the grouping field; null when grouped by seeds, or if the runs lack the field."""
    run_ids: list[str] = named_in_json("runs")
    """Run ids, newest first."""
    status_counts: dict[RunStatus, int] = named_in_json("states")
    """Number of runs by status."""
    created_at: str
    """Creation time of the newest run."""
    shared: dict[str, str | None]
    """Name, group, head, data, backbone and seed; null if they differ."""
    ranges: dict[str, MetricRange] = named_in_json("spreads")
    """Requested metrics by `SPLIT.KEY`, and `duration` in seconds."""


class RunGroupPage(WireModel):
    """Groups of runs, ordered by their newest run; `total` is the number of groups."""

    items: list[RunGroup]
    total: int


class AttemptWire(WireModel):
    """One attempt at a run: one worker process."""

    number: int
    device: str
    pid: int | None
    claimed_at: str
    ended_at: str | None
    outcome: str | None
    """The final event's type, or the reason of the failure."""
