"""What a run measured: events, metrics over epochs, captures of geometry, files, resources."""

from __future__ import annotations

from typing import Any, Literal

from backend.api.wire.arrays import TypedArray
from backend.api.wire.base import Number, WireModel, example_config
from backend.api.wire.runs import RunWire


class EventPage(WireModel):
    """Events of a run in order; ask again with `after=next_after`."""

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
    """How many epochs were measured."""
    decimated: bool
    """Of so many, each two places hold the extremes of a stretch of epochs; the first and the last are exact."""


class Sparkline(WireModel):
    """One metric of a run over its epochs."""

    run: str
    last_seq: int
    """The last event when it was read: of an unchanged run it need not be asked for again."""
    epochs: list[int]
    values: list[Number | None]


class RunOverview(WireModel):
    """All that a page of a run begins with; what comes later follows event `seq` on the stream."""

    run: RunWire
    seq: int
    """The last event that is in here."""
    started: dict[str, Any] | None
    """The payload of RunStarted: labels, views, vertices."""
    series: MetricSeries
    steps: dict[str, list[Number | None]]
    """Over steps: `step`, `loss`, `lr`, `samples_per_s`, and the most `memory_bytes` of any phase."""
    captures: TypedArray
    """The steps of the captures that have geometry, in order."""
    newest: dict[str, Any]
    """The newest event of each of some types, as they travel on the stream."""
    geometry: GeometryWire | None
    """The newest capture."""


class Milestones(WireModel):
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


class GeometryWire(WireModel):
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


class SampleImages(WireModel):
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


class ArtifactWire(WireModel):
    """A file of arrays of a run."""

    kind: str
    step: int
    seq: int
    size_bytes: int
    sha256: str
    href: str


class ResourceSampleWire(WireModel):
    """What a run's process took of the machine at one moment; per cent of one core."""

    at: str
    attempt: int
    cpu_percent: float
    memory_bytes: int
    gpu_percent: float | None
    gpu_memory_bytes: int | None
