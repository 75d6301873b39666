"""Events of a training run, in the order in which they happened.

The engine yields them and never calls back. Scalars are a dict by metric key, so that a new metric needs no change
here. Arrays are NumPy, by name; a store may keep them in files and the rest as JSON (`payload`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy.typing as npt

Arrays = Mapping[str, npt.NDArray[Any]]
Scalars = Mapping[str, float]
STREAMED_ARRAYS = ("means", "weights", "features", "labels", "predictions", "cosines_means", "cosines_weights", "pca")
"""Arrays of a capture that are streamed to every viewer; the others are sent on request."""
MARGINS = 4096
"""Largest number of order statistics of the margins in a capture."""
EIGENVALUES = 256
"""Largest number of eigenvalues of a spectrum in a capture."""
PICTURE_BYTES = 1024 * 1024
"""Largest size of all thumbnails of a run's samples together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events; `type` is the class's name, `payload` all fields but the arrays and the state."""

    type: ClassVar[str] = "Event"

    def payload(self) -> dict[str, Any]:
        """Return the JSON-able part of the event."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.metadata.get("wire", True)}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """Training started; describes the classes, the metrics and the default view of the run."""

    type: ClassVar[str] = "RunStarted"
    classes: int
    class_names: tuple[str, ...]
    features: int
    parameters: int
    steps_per_epoch: int
    epochs: int
    device: str
    view: str
    view_matrix: list[list[float]]
    vertices: list[list[float]]
    metrics: dict[str, dict[str, Any]]
    versions: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataProgressed(Event):
    """Progress of a download or of reading data: `done` of `total` (None if unknown) `unit`s, and the time left."""

    type: ClassVar[str] = "DataProgressed"
    what: str
    done: int
    total: int | None
    unit: str
    remaining_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine(Event):
    """A message to the user, in a sentence."""

    type: ClassVar[str] = "LogLine"
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed(Event):
    """Training continues after the checkpoint of `epoch`."""

    type: ClassVar[str] = "Resumed"
    epoch: int
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMeasured(Event):
    """The mean training loss since the last such event, the learning rate, and how the steps went.

    `seconds` of a step by phase (data, forward, head, backward, optimiser), peak `memory_bytes` by phase on a GPU and
    of the process on a CPU, `samples_per_s`, and `remaining_s`, an estimate of the time left with measurements.
    """

    type: ClassVar[str] = "StepMeasured"
    epoch: int
    step: int
    loss: float
    lr: float
    seconds: Mapping[str, float] = field(default_factory=dict)
    memory_bytes: Mapping[str, int] = field(default_factory=dict)
    samples_per_s: float | None = None
    remaining_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochMeasured(Event):
    """All metrics of both splits after `epoch` (1-based), in evaluation mode over whole splits in fixed order.

    `scalars` has the splits `train` and `test` (empty without one) and, under label noise, `train_true`: the training
    features by their true labels. `details` has, for each split's measurement, the rank of Σ_B, the number of
    `samples` that metrics over samples use and of all samples, the global mean used, and the errors and sizes of
    metrics that are not exact. `layers` and `layers_test` have the metrics of hidden layers, in the order of the
    forward pass; `collapse_layer` is the first from which on the nearest class mean is right for 99 % of the training
    samples ("penultimate" if only that qualifies). `measure_s` is the duration of the measurement.
    """

    type: ClassVar[str] = "EpochMeasured"
    epoch: int
    step: int
    scalars: Mapping[str, Scalars]
    flags: Mapping[str, tuple[str, ...]]
    terminal_phase: int | None
    details: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    layers: Mapping[str, Scalars] = field(default_factory=dict)
    layers_test: Mapping[str, Scalars] = field(default_factory=dict)
    collapse_layer: str | None = None
    measure_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplesPictured(Event):
    """Thumbnails of the training samples whose features are in the captures, once in a run on images.

    Arrays: `images` (n, H, W, C) uint8 of one or three channels, in the captures' order, and under label noise
    `true_labels` (n) int32.
    """

    type: ClassVar[str] = "SamplesPictured"
    samples: int
    arrays: Arrays = field(metadata={"wire": False})


@dataclass(frozen=True, slots=True, kw_only=True)
class GeometryCaptured(Event):
    """Coordinates in the frame of the nearest ETF, in which the vertices of the ETF are constant.

    Arrays (float32): `means` (K, K−1), `weights` (K, K−1), `features` (n, K−1), `cosines_means`, `cosines_weights` (K,
    K), `frame` (d, K−1) = R; int32: `labels` and the classifier's `predictions` (n). Coordinates are Rᵀ(h − μ_G)
    divided by `mean_norm`, the mean norm of the class means (of the centred rows, `weight_norm`, for the classifier),
    so that vertices sit at radius one. `residual` is the share of the class means' norm outside the frame. `epoch` is
    a whole number at the end of an epoch and a fraction within the first; `samples` is the number of training samples
    of the class means.

    Beside them, not streamed: `cosines_between` (rows: classifier), `pca` (K−1, 3), the leading principal directions of
    the class means in these coordinates, aligned with those of the previous capture, `margins` and, at the end of
    an epoch, `margins_test` (at most 4096 order statistics), `spectrum_within` and `spectrum_between`,
    `within_variance` and `accuracy` by class, and `confusion` (K, K; summed over blocks of classes above 128).

    Above 128 classes `means`, `weights` and `features` hold three coordinates, those of the spherical view, and the
    cosines are means over blocks of neighbouring classes; `means_whole` and `weights_whole` hold all K−1 coordinates,
    `features_pca` the features along the principal directions. `closest` are the pairs of classes at the smallest
    angles, `cosine_quantiles` those of all pairs.
    """

    type: ClassVar[str] = "GeometryCaptured"
    epoch: float
    step: int
    samples: int
    mean_norm: float
    weight_norm: float
    residual: float
    smallest_angle_deg: float
    smallest_pair: tuple[int, int]
    mean_angle_error_deg: float
    closest: tuple[tuple[int, int, float], ...] = ()
    cosine_quantiles: Mapping[str, float] = field(default_factory=dict)
    arrays: Arrays = field(metadata={"wire": False})


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturesKept(Event):
    """Stored penultimate features of a capture, with `measure.keep_features`.

    Arrays: `features_train` (n, d) float32 and `labels_train` (n) int32, with `all` also `features_test` and
    `labels_test`; `samples` counts them by split.
    """

    type: ClassVar[str] = "FeaturesKept"
    epoch: float
    step: int
    samples: Mapping[str, int]
    size_bytes: int
    arrays: Arrays = field(metadata={"wire": False})


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointSaved(Event):
    """A checkpoint: `tensors` by name and `state` as JSON, from which training continues."""

    type: ClassVar[str] = "CheckpointSaved"
    epoch: int
    step: int
    tensors: Arrays = field(metadata={"wire": False})
    state: Mapping[str, Any] = field(metadata={"wire": False})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(Event):
    """Training finished; `summary` has the scalars of the last epoch."""

    type: ClassVar[str] = "RunFinished"
    epoch: int
    step: int
    summary: Mapping[str, Scalars]
