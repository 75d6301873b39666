"""What a training run says: past-tense facts, complete in themselves, in the order in which they happened.

The engine yields these and never calls back. Scalars travel as a dict by metric key, so that a new metric changes
nothing here. Arrays are NumPy, by name; a store may keep them in files and the rest as JSON (`payload`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

Arrays = Mapping[str, npt.NDArray[Any]]
Scalars = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events; `type` is the class's name, `payload` all fields but the arrays and the state."""

    type: ClassVar[str] = "Event"

    def payload(self) -> dict[str, Any]:
        """Return the JSON-able part of the event."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.metadata.get("wire", True)}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """Training begins: what a reader needs to label every number and picture of the run."""

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
    """Data is being fetched or read: `done` of `total` (None where unknown) `unit`s, and an estimate of the rest."""

    type: ClassVar[str] = "DataProgressed"
    what: str
    done: int
    total: int | None
    unit: str
    remaining_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine(Event):
    """Something that whoever looks at the run should know, in a sentence."""

    type: ClassVar[str] = "LogLine"
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed(Event):
    """Training goes on after the checkpoint of `epoch`."""

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

    `scalars` has the splits `train` and `test` (empty where there is none) and, under label noise, `train_true`: the
    training features by their true labels. `layers` has those of hidden layers, measured on the training split.
    `measure_s` is how long measuring took.
    """

    type: ClassVar[str] = "EpochMeasured"
    epoch: int
    step: int
    scalars: Mapping[str, Scalars]
    flags: Mapping[str, tuple[str, ...]]
    terminal_phase: int | None
    layers: Mapping[str, Scalars] = field(default_factory=dict)
    measure_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GeometryCaptured(Event):
    """Coordinates in the frame of the nearest ETF, so that vertices never move and features are seen to move.

    Arrays (float32): `means` (K, K−1), `weights` (K, K−1), `features` (n, K−1), `cosines_means`, `cosines_weights`
    (K, K), `frame` (d, K−1) = R; `labels` (n) int32. Coordinates are Rᵀ(h − μ_G) divided by `mean_norm`, the mean norm
    of the class means (of the centred rows, `weight_norm`, for the classifier), so that vertices sit at radius one.
    `residual` is the share of the class means' norm outside the frame. `epoch` is a whole number at the end of an
    epoch and a fraction within the first; `samples` is how many training samples the class means are of.

    Above 128 classes `means`, `weights` and `features` hold three coordinates, those of the spherical view, and the
    cosines are means over blocks of neighbouring classes; `means_whole` and `weights_whole` hold all K−1 coordinates.
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
    arrays: Arrays = field(metadata={"wire": False})


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointSaved(Event):
    """Everything that continuing after `epoch` needs: `tensors` by name and `state` as JSON."""

    type: ClassVar[str] = "CheckpointSaved"
    epoch: int
    step: int
    tensors: Arrays = field(metadata={"wire": False})
    state: Mapping[str, Any] = field(metadata={"wire": False})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(Event):
    """The last epoch is done; `summary` holds its scalars."""

    type: ClassVar[str] = "RunFinished"
    epoch: int
    step: int
    summary: Mapping[str, Scalars]


def smallest_angle(cosines_KK: npt.NDArray[Any]) -> tuple[float, tuple[int, int]]:
    """Return the smallest angle in degrees between two different class means, and the pair."""
    masked = np.where(np.eye(len(cosines_KK), dtype=bool), -np.inf, cosines_KK)
    first, second = np.unravel_index(int(masked.argmax()), masked.shape)
    angle = float(np.degrees(np.arccos(np.clip(masked[first, second], -1, 1))))
    return angle, (int(min(first, second)), int(max(first, second)))
