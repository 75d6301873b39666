"""Wire models of a run's data: events, metrics over epochs, captures, artifacts, resource use, origin of figures."""

from __future__ import annotations

from typing import Any, Literal

from backend.api.wire.base import Number, TypedArray, WireModel, example_config
from backend.api.wire.runs import RunWire


class EventPage(WireModel):
    """Events of a run in order; the next page is `after=next_after`."""

    model_config = example_config(
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


class MetricSeries(WireModel):
    """Metrics over epochs: `values[split][key][i]` belongs to `epochs[i]`."""

    model_config = example_config(
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
    """Number of measured epochs."""
    decimated: bool
    """Whether the curve is thinned: each two positions are the extremes of an interval; the ends are exact."""


class Sparkline(WireModel):
    """One metric of a run over epochs, thinned for a small plot."""

    run: str
    last_seq: int
    """Sequence number of the run's last event; while it is unchanged, so are the values."""
    epochs: list[int]
    values: list[Number | None]


class RunOverview(WireModel):
    """Everything a run page needs to start; the stream continues after event `seq`."""

    run: RunWire
    seq: int
    """Sequence number of the last event included."""
    started: dict[str, Any] | None
    """Payload of RunStarted: metric labels, view, vertices."""
    series: MetricSeries
    steps: dict[str, list[Number | None]]
    """Curves over steps: `step`, `loss`, `lr`, `samples_per_s`, and peak `memory_bytes`."""
    captures: TypedArray
    """Steps of all captures, in order."""
    newest: dict[str, Any]
    """The newest event of some types, in the stream's format."""
    geometry: GeometryWire | None
    """The newest capture."""


class Milestones(WireModel):
    """Epochs at which a run reached milestones; null if it has not (yet)."""

    run: str
    terminal_phase: int | None
    """First epoch of the terminal phase: training accuracy of 99.9 %."""
    key: str
    split: str
    threshold: float
    direction: Literal["low", "high"]
    time_to_collapse: int | None
    """First measured epoch from which on the metric stays at or beyond the threshold."""
    collapse_layer: str | None
    """First measured layer from which on the nearest class mean classifies 99 % of the training samples correctly."""


class GeometryWire(WireModel):
    """One capture: coordinates in the frame of the nearest ETF, and a view."""

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


class SampleImages(WireModel):
    """Thumbnails of the training samples in captures, in the captures' order.

    `images` is "n,height·width·channels" of 0 … 255 by row, pixel, channel (one is grey, three are RGB).
    """

    run: str
    height: int
    width: int
    channels: int
    images: TypedArray
    true_labels: TypedArray | None
    """True labels, under label noise."""


class ArtifactWire(WireModel):
    """A file of arrays of a run, with its address."""

    kind: str
    step: int
    seq: int
    size_bytes: int
    sha256: str
    href: str


class ResourceSampleWire(WireModel):
    """Resource use of a run's process at one time; CPU in per cent of one core."""

    at: str
    attempt: int
    cpu_percent: float
    memory_bytes: int
    gpu_percent: float | None
    gpu_memory_bytes: int | None


class FigureProvenance(WireModel):
    """Provenance of a figure file."""

    address: str
    """Path of the page with the same view."""
    made_by: str
    figure: str
    format: str
    runs: list[dict[str, Any]]
    """Id, name, config hash, last_seq and versions of each run."""
    options: dict[str, str]
    epochs: list[float]
    """Epochs of the captures shown."""
    view_matrix: list[list[float]] | None
    command: str
    """The command that recreates the file."""
