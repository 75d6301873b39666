"""What travels over HTTP: the typed shapes that pages, scripts and the command line share.

Numbers that JSON lacks travel as "NaN", "Infinity" and "-Infinity" (see `store.event_log.encode_numbers`). Arrays
travel in Plotly's own typed form, so that a browser draws what the store sends with no conversion on the way.
"""

from __future__ import annotations

import base64
from typing import Annotated, Any, Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from backend.store.scopes import TokenScope
from backend.store.validation import FieldError, Name, Tags
from ncengine.config import RunConfig

Status = Literal["queued", "running", "paused", "finished", "cancelled", "failed"]
Number = Annotated[float | Literal["NaN", "Infinity", "-Infinity"], BeforeValidator(lambda value: value)]
Summary = dict[str, dict[str, Number]]
Item = TypeVar("Item")


class Wire(BaseModel):
    """Base of wire models: unknown keys in a request are errors."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


def _example(**fields: Any) -> ConfigDict:
    """Return a model's config with one example, which OpenAPI shows."""
    return ConfigDict(json_schema_extra={"examples": [fields]})


def _require_preview(value: Any) -> Any:
    """Refuse the old `dry_run=false`, which removed files without naming what was previewed."""
    if value is not True:
        raise ValueError(
            "this request only previews: leave dry_run out, and delete the plan that comes back with "
            "POST /api/v1/gc/{id}/delete"
        )
    return value


class TypedArray(Wire):
    """An array as Plotly.js reads it: `dtype` f4, i4 or u1, base64 of little-endian bytes, `shape` "rows,columns"."""

    dtype: Literal["f4", "i4", "u1"]
    bdata: str
    shape: str


class RunWire(Wire):
    """A run as it stands."""

    model_config = _example(
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


class RunPage(Wire):
    """A page of runs, newest first."""

    items: list[RunWire]
    next_cursor: str | None
    total: int


Priority = Annotated[int, Field(ge=-1000, le=1000)]
Seconds = Annotated[float, Field(ge=1, le=1e9, allow_inf_nan=False)]
RunId = Annotated[str, Field(max_length=16)]


class RunFacts(Wire):
    """What is said of a new run beside its config."""

    name: Name | None = None
    tags: Tags = Field(default_factory=list)
    group: Name | None = None
    priority: Priority = 0
    """Runs of higher priority start first."""
    time_limit_s: Seconds | None = None
    """Seconds of running, over all attempts, after which the run stops with a checkpoint."""


class NewRun(RunFacts):
    """A run to launch. Unknown config keys and impossible combinations are refused with the fields named."""

    model_config = _example(config={"data": {"name": "digits"}, "epochs": 20}, tags=["first"])
    config: RunConfig


class NewSweep(RunFacts):
    """Runs over a grid of settings, each with several seeds, queued together as one group."""

    model_config = _example(
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


class NewClone(RunFacts):
    """A run like another one, with some settings changed."""

    model_config = _example(set={"seed": 1, "head.name": "linear"}, name="the same with a linear classifier")
    set: dict[str, Any] = Field(default_factory=dict)
    """Changed settings by dotted name."""


class RunChanges(Wire):
    """What may be changed of a run at any time."""

    model_config = _example(tags=["paper", "figure 2"], notes="Delta of 1e-3; see the runs of group *rates*.")
    name: Name | None = None
    tags: Tags | None = None
    group: Name | None = None
    notes: str | None = Field(default=None, max_length=100_000, pattern=r"^[^\x00]*$")
    """Markdown."""
    priority: Priority | None = None
    time_limit_s: Seconds | None = None


class Move(Wire):
    """Where in the queue a run goes."""

    model_config = _example(before="r3k5q7w9x1")
    before: RunId | None
    """The queued run before which it goes, or null for the end."""


class Sweep(Wire):
    """A group of runs that were queued together."""

    group: str
    items: list[RunWire]


BulkAction = Literal["cancel", "pause", "resume", "retry", "delete", "restore", "tag", "untag", "group", "priority"]


class Bulk(Wire):
    """One action on several runs, named by id or by a filter."""

    model_config = _example(action="cancel", q="group:rates status:queued")
    action: BulkAction
    runs: Annotated[list[RunId], Field(max_length=10_000)] | None = None
    q: str | None = Field(default=None, min_length=1, max_length=500)
    value: Name | Priority | None = None
    """The tag, the group, or the priority, where the action needs one."""


class BulkResult(Wire):
    """What became of one run of a bulk action."""

    id: str
    done: bool
    detail: str
    """Why it was not done, or nothing."""


class Group(Wire):
    """Runs under one name, such as the seeds of a sweep."""

    group: str
    created_at: str
    runs: dict[Status, int]
    """How many there are in each state."""


class Spread(Wire):
    """Median and range of a number over those runs of a fold that have it."""

    median: float
    least: float
    most: float
    runs: int


class Fold(Wire):
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
    spreads: dict[str, Spread]
    """The metrics asked for, as `SPLIT.KEY`, and `duration` in seconds."""


class Folds(Wire):
    """Runs folded into rows, the one with the newest run first; `total` counts the rows there are."""

    items: list[Fold]
    total: int


class Sparkline(Wire):
    """One metric of a run over its epochs."""

    run: str
    last_seq: int
    """The last event when it was read: of an unchanged run it need not be asked for again."""
    epochs: list[int]
    values: list[Number | None]


class AttemptWire(Wire):
    """One attempt at a run: a process from its start to its end."""

    number: int
    device: str
    pid: int | None
    claimed_at: str
    ended_at: str | None
    outcome: str | None
    """How it ended: an event's name, or the reason why it failed."""


class ArtifactWire(Wire):
    """A file of arrays of a run."""

    kind: str
    step: int
    seq: int
    size_bytes: int
    sha256: str
    href: str


class ReadingWire(Wire):
    """What a run's process took of the machine at one moment; per cent of one core."""

    at: str
    attempt: int
    cpu_percent: float
    memory_bytes: int
    gpu_percent: float | None
    gpu_memory_bytes: int | None


class EventPage(Wire):
    """Events of a run in order; ask again with `after=next_after`."""

    model_config = _example(
        items=[
            {
                "seq": 12,
                "type": "EpochMeasured",
                "at": "2026-01-31T12:00:03.000000+00:00",
                "epoch": 3,
                "scalars": {"train": {"nc1": 0.9, "top1": 0.97}, "test": {"nc1": 1.3, "top1": 0.93}},
            }
        ],
        next_after=12,
    )
    items: list[dict[str, Any]]
    next_after: int


class Geometry(Wire):
    """One capture: coordinates in the frame of the nearest ETF, ready to draw."""

    run: str
    seq: int
    epoch: float
    step: int
    class_names: list[str]
    view: str
    view_matrix: list[list[float]]
    vertices: list[list[float]]
    facts: dict[str, Any]
    arrays: dict[str, TypedArray]


class Samples(Wire):
    """Small pictures of the training samples whose features captures hold, in the captures' order.

    `images` is "n,height·width·channels" of 0 … 255 by row, pixel, channel (one is grey, three are RGB).
    """

    run: str
    height: int
    width: int
    channels: int
    images: TypedArray
    true_labels: TypedArray | None
    """Under label noise."""


class Series(Wire):
    """Metrics over epochs: `values[split][key][i]` belongs to `epochs[i]`."""

    model_config = _example(
        run="r3k5q7w9x1",
        epochs=[1, 2, 3],
        values={"train": {"nc1": [2.1, 1.3, 0.9]}, "test": {"nc1": [2.4, 1.7, 1.3]}},
        measured=3,
        decimated=False,
    )
    run: str
    epochs: list[int]
    values: dict[str, dict[str, list[Number | None]]]
    measured: int
    """How many epochs were measured."""
    decimated: bool
    """Of so many, each two places hold the extremes of a stretch of epochs; the first and the last are exact."""


class Overview(Wire):
    """All that a page of a run begins with; what comes later follows event `seq` on the stream."""

    run: RunWire
    seq: int
    """The last event that is in here."""
    started: dict[str, Any] | None
    """The payload of RunStarted: labels, views, vertices."""
    series: Series
    steps: dict[str, list[Number | None]]
    """Over steps: `step`, `loss`, `lr`, `samples_per_s`, and the most `memory_bytes` of any phase."""
    captures: TypedArray
    """The steps of the captures that have geometry, in order."""
    newest: dict[str, Any]
    """The newest event of each of some types, as they travel on the stream."""
    geometry: Geometry | None
    """The newest capture."""


class MetricWire(Wire):
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


class Milestones(Wire):
    """When a run got somewhere, in epochs; null where it has not (yet)."""

    run: str
    terminal_phase: int | None
    """The first epoch with a training accuracy of 99.9 %: the terminal phase begins."""
    key: str
    split: str
    threshold: float
    direction: Literal["low", "high"]
    time_to_collapse: int | None
    """The first measured epoch from which on the metric stays at or beyond the threshold."""
    collapse_layer: str | None
    """The first measured layer from which on the nearest class mean is right for 99 % of the training samples."""


class PresetWire(Wire):
    """A ready-made config; `group` says whether it is quick, larger, or of a publication."""

    name: str
    group: Literal["quick", "larger", "paper", "released-code"]
    title: str
    description: str
    config: RunConfig


class Items(Wire, Generic[Item]):
    """A short list that is never paged."""

    items: list[Item]


class ConfigCheck(Wire):
    """Whether a config could be launched, and how large it is."""

    errors: list[FieldError]
    config: RunConfig | None
    facts: dict[str, Any]


class Plan(Wire):
    """Runs that might be launched: a config, a grid of settings over it, and seeds."""

    model_config = _example(
        config={"data": {"name": "digits"}, "epochs": 20}, grid={"optimiser.lr": [0.05, 0.1]}, seeds=3
    )
    config: RunConfig
    grid: dict[str, Annotated[list[Any], Field(min_length=1, max_length=1000)]] = Field(default_factory=dict)
    seeds: Annotated[int, Field(ge=1, le=1000)] = 1


class Estimate(Wire):
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


class System(Wire):
    """The machine and this server."""

    version: str
    devices: list[str]
    slots: dict[str, int]
    """How many runs each device takes at once."""
    cores: int
    memory_bytes: int
    server_memory_bytes: int
    disk_free_bytes: int
    disk_full: bool
    """So little of the disk is free that no further run starts."""
    running: int
    queued: int


class Finding(Wire):
    """One thing that the doctor looked at."""

    what: str
    ok: bool
    found: str
    remedy: str
    """What to do about it, or nothing."""
    required: bool
    """Runs or pages need it."""


class Ready(Wire):
    """Whether the server can take runs, and which of its parts say no."""

    ready: bool
    problems: list[str]


class Me(Wire):
    """Who asks: the name and the rights of the token that was sent, or that the session was opened with."""

    name: str
    """Free text, for people; `owner` for the server's own token, which has no `token_id`."""
    scope: TokenScope
    may_change: bool
    token_id: str | None
    has_session: bool
    """A browser that is logged in, and can log out."""
    ends_at: str | None
    """When the session or the token ends, UTC."""


class NewToken(Wire):
    """A token to make, of one scope, with an end or without."""

    model_config = _example(name="a co-author", scope="read", expires_in_s=2_592_000)
    name: Name
    """Free text, for people: it gives no rights."""
    scope: TokenScope = "read"
    expires_at: AwareDatetime | None = None
    """When it ends, ISO 8601 with an offset."""
    expires_in_s: Annotated[int, Field(ge=60, le=315_360_000)] | None = None
    """In how many seconds it ends, instead of `expires_at`."""


class TokenWire(Wire):
    """A token, without what it says."""

    id: str
    name: str
    scope: TokenScope
    created_at: str
    expires_at: str | None
    revoked_at: str | None


class TokenMade(TokenWire):
    """A new token with what it says, told this once."""

    token: str
    url: str
    """The address to send to whoever is to use it."""


class AuditEntry(Wire):
    """Who did what, and how it was answered."""

    number: int
    at: str
    who: str
    """The token's name, which is free text: `owner` with no `token_id` is the server's own token."""
    token_id: str | None
    action: str
    run_id: str | None
    status: int


class GcRequest(Wire):
    """What a clean-up may remove beside runs deleted a week ago and files without a row; it is previewed, not done."""

    model_config = _example(thin_geometry=10, checkpoints=True, q="group:rates")
    thin_geometry: Annotated[int, Field(ge=2, le=1_000_000)] | None = None
    """Keep every n-th capture of finished runs, the first and the last; all where it is left out."""
    checkpoints: bool = False
    """Remove the checkpoints of finished runs."""
    q: str = Field(default="", max_length=500)
    """Apply the two rules only to runs that match this filter."""
    dry_run: Annotated[Literal[True], BeforeValidator(_require_preview)] = Field(
        default=True, json_schema_extra={"deprecated": True}
    )
    """Not needed any more: this request never removes anything."""


class GcItem(Wire):
    """Files that are removed, or restored, together."""

    kind: str
    what: str
    """The kind, as people read it."""
    run_id: str | None
    count: int
    """How many files."""
    size_bytes: int


class GcSkipped(Wire):
    """Something that is left where it is."""

    kind: str
    what: str
    run_id: str | None
    path: str | None
    """The file, relative to the data directory; null where the reason is about the item as a whole."""
    reason: str


class GcPlan(Wire):
    """What a clean-up would remove; `POST /gc/{id}/delete` removes that, and nothing else."""

    id: str
    created_at: str
    expires_at: str
    """Until then the plan can be used, once."""
    count: int
    """How many files."""
    size_bytes: int
    items: list[GcItem]
    skipped: list[GcSkipped]
    """What would be eligible, and is left alone for a reason."""


class GcResult(Wire):
    """What a clean-up moved to the trash, or a restore brought back."""

    count: int
    size_bytes: int
    items: list[GcItem]
    skipped: list[GcSkipped]
    """What was left, because it changed since the preview, say."""
    entry: str | None = None
    """The entry of the trash that holds it now."""


class TrashEntry(Wire):
    """What one clean-up moved to the trash."""

    name: str
    created_at: str
    expires_at: str
    """When it is removed for good."""
    count: int
    size_bytes: int
    items: list[GcItem]


class Trash(Wire):
    """What is in the trash, newest first; `digest` names this very content when it is emptied."""

    digest: str
    count: int
    size_bytes: int
    items: list[TrashEntry]


class TrashRestore(Wire):
    """Which entries of the trash to bring back."""

    model_config = _example(entries=["20260131T120000Z-0123456789abcdef"])
    entries: Annotated[list[Annotated[str, Field(max_length=64)]], Field(min_length=1, max_length=1000)]


class TrashEmpty(Wire):
    """What to remove for good: the trash as it was listed."""

    model_config = _example(digest="0123456789abcdef")
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    """The digest of the list that was shown; another content of the trash is not emptied."""


class TrashEmptied(Wire):
    """What was removed for good."""

    count: int
    size_bytes: int


class Origin(Wire):
    """Where a figure's file comes from."""

    address: str
    """The page that shows the same view."""
    made_by: str
    figure: str
    format: str
    runs: list[dict[str, Any]]
    """Id, name, config_hash, last_seq and versions of each run."""
    options: dict[str, str]
    epochs: list[float]
    """Of the captures that are drawn."""
    view_matrix: list[list[float]] | None
    command: str
    """The command that makes the file again."""


class Problem(Wire):
    """An error as RFC 9457 describes it."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Invalid input",
                    "status": 422,
                    "detail": "head.delta: Input should be greater than or equal to 0",
                    "errors": [{"path": "head.delta", "message": "Input should be greater than or equal to 0"}],
                }
            ]
        },
    )
    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldError] | None = None


def typed_array(array: npt.NDArray[Any]) -> TypedArray:
    """Return an array of floats or integers in Plotly's typed form, as f4 or i4, bytes as u1."""
    kind: Literal["f4", "i4", "u1"] = "i4" if np.issubdtype(array.dtype, np.integer) else "f4"
    if array.dtype == np.uint8:
        kind = "u1"
    content = np.ascontiguousarray(array, dtype=f"<{kind}").tobytes()
    shape = ",".join(str(size) for size in array.shape)
    return TypedArray(dtype=kind, bdata=base64.b64encode(content).decode(), shape=shape)


def from_typed(array: TypedArray) -> npt.NDArray[Any]:
    """Return the NumPy array that a typed form describes."""
    flat = np.frombuffer(base64.b64decode(array.bdata), dtype=f"<{array.dtype}")
    return flat.reshape([int(size) for size in array.shape.split(",")])
