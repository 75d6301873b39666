"""Strict models of the payload of each type of event, which validate what workers write and what is imported.

The fields and defaults of the engine's events are those of the dataclasses in `ncengine.events`; a test compares them.
The models validate payloads as they are stored: JSON-able, with NaN and infinities as strings
(`event_log.encode_numbers`). Every text, list and number is bounded, so that readers of stored events can rely on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, FailFast, Field, Strict, ValidationError, model_validator

from backend.store.errors import Invalid
from backend.store.validation import SHA256_PATTERN, format_validation_error
from ncengine.data.registry import MAX_CLASSES
from ncengine.geometry.views import WHOLE_FRAME_UP_TO, view_name

MAX_LAYERS = 64
MAX_METRICS = 500

Count = Annotated[int, Field(ge=0, lt=2**53)]
Step = Annotated[int, Field(ge=0, lt=2**31)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Number = Finite | Literal["NaN", "Infinity", "-Infinity"]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Split = Literal["train", "test", "train_true"]


NO_NULL = r"^[^\x00]*$"
"""Databases reject the null character."""
ShortText = Annotated[str, Field(min_length=1, max_length=200, pattern=NO_NULL)]
TextLine = Annotated[str, Field(max_length=5000, pattern=NO_NULL)]
LongText = Annotated[str, Field(max_length=50_000, pattern=NO_NULL)]
Scalars = Annotated[dict[ShortText, Number], Field(max_length=MAX_METRICS)]
ByLayer = Annotated[dict[ShortText, Scalars], Field(max_length=MAX_LAYERS)]
Row = Annotated[list[Finite], Field(max_length=MAX_CLASSES), FailFast()]
Rows = Annotated[list[Row], Field(max_length=MAX_CLASSES), FailFast()]
QuantileKey = Annotated[str, Field(pattern=r"^[01](\.[0-9]{1,10})?$")]
ClassPair = Annotated[list[Step], Field(min_length=2, max_length=2)]
ClosePair = Annotated[tuple[Step, Step, Number], Strict(False)]
"""Two classes and their cosine; JSON has lists instead of tuples."""


class Payload(BaseModel):
    """Base class of all payloads: unknown fields and values of another type are errors."""

    model_config = ConfigDict(extra="forbid", strict=True)


# ── written by the store and the supervisor ─────────────────────────────────────────────────────────────────────────


class RunQueuedPayload(Payload):
    """The run was queued."""

    config_hash: Annotated[str, Field(pattern=SHA256_PATTERN)]


class PausedPayload(Payload):
    """The run was paused."""

    epoch: Step


class RunCancelledPayload(Payload):
    """The user cancelled the run."""

    epoch: Step


class AttemptFailedPayload(Payload):
    """A worker process ended before its run did."""

    attempt: Annotated[int, Field(ge=1, le=1_000_000)]
    reason: LongText
    tries_left: Annotated[int, Field(ge=0, le=1000)]


class RunFailedPayload(Payload):
    """The run failed."""

    error: LongText


# ── written by the engine ───────────────────────────────────────────────────────────────────────────────────────────


class StoredMetric(Payload):
    """The stored description of a metric that a run measures."""

    label: TextLine
    symbol: TextLine
    formula: TextLine
    family: TextLine
    direction: Literal["low", "high"]
    ideal: Number | None
    source: TextLine
    reading: TextLine


class RunStartedPayload(Payload):
    """See `ncengine.events.RunStarted`."""

    classes: Annotated[int, Field(ge=2, le=MAX_CLASSES)]
    class_names: Annotated[list[TextLine], Field(max_length=MAX_CLASSES), FailFast()]
    features: Annotated[int, Field(ge=1, le=1_000_000)]
    parameters: Count
    steps_per_epoch: Annotated[int, Field(ge=1, lt=2**31)]
    epochs: Annotated[int, Field(ge=1, lt=2**31)]
    device: TextLine
    view: Literal["line", "triangle", "tetrahedron", "spherical"]
    view_matrix: Rows
    vertices: Rows
    metrics: Annotated[dict[ShortText, StoredMetric], Field(min_length=1, max_length=MAX_METRICS)]
    versions: Annotated[dict[ShortText, TextLine], Field(max_length=100)]

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        """Raise ValueError where a list has not the length that the number of classes requires."""
        classes = self.classes
        rows = classes - 1 if classes <= WHOLE_FRAME_UP_TO else 3
        if len(self.class_names) != classes:
            raise ValueError(f"class_names must name the {classes} classes, got {len(self.class_names)}")
        if self.view != view_name(classes):
            raise ValueError(f"view must be {view_name(classes)} for {classes} classes, got {self.view}")
        for name, matrix, shape in (
            ("view_matrix", self.view_matrix, (rows, 3)),
            ("vertices", self.vertices, (classes, rows)),
        ):
            if len(matrix) != shape[0] or any(len(row) != shape[1] for row in matrix):
                raise ValueError(f"{name} must be {shape} for {classes} classes")
        return self


class DataProgressedPayload(Payload):
    """See `ncengine.events.DataProgressed`."""

    what: TextLine
    done: Count
    total: Count | None
    unit: ShortText
    remaining_s: Number | None


class LogLinePayload(Payload):
    """See `ncengine.events.LogLine`."""

    text: LongText


class ResumedPayload(Payload):
    """See `ncengine.events.Resumed`."""

    epoch: Step
    step: Step


class StepMeasuredPayload(Payload):
    """See `ncengine.events.StepMeasured`."""

    epoch: Step
    step: Step
    loss: Number
    lr: Number
    seconds: Annotated[dict[ShortText, Number], Field(max_length=100)] = Field(default_factory=dict)
    memory_bytes: Annotated[dict[ShortText, Count], Field(max_length=100)] = Field(default_factory=dict)
    samples_per_s: Number | None = None
    remaining_s: Number | None = None


class MeasurementDetail(Payload):
    """Details of a measurement: samples used, rank, errors."""

    rank: Count
    samples: Count
    of: Count
    center: Literal["classes", "samples"] = "classes"
    errors: Scalars = Field(default_factory=dict)
    sizes: Annotated[dict[ShortText, Count], Field(max_length=MAX_METRICS)] = Field(default_factory=dict)


class EpochMeasuredPayload(Payload):
    """See `ncengine.events.EpochMeasured`."""

    epoch: Annotated[int, Field(ge=1, lt=2**31)]
    step: Step
    scalars: dict[Split, Scalars]
    flags: dict[Split, Annotated[list[ShortText], Field(max_length=100), FailFast()]]
    terminal_phase: Annotated[int, Field(ge=1, lt=2**31)] | None
    details: dict[Split, MeasurementDetail] = Field(default_factory=dict)
    layers: ByLayer = Field(default_factory=dict)
    layers_test: ByLayer = Field(default_factory=dict)
    collapse_layer: TextLine | None = None
    measure_s: Number | None = None

    @model_validator(mode="after")
    def _check_splits(self) -> Self:
        """Raise ValueError where the training split is missing."""
        if "train" not in self.scalars:
            raise ValueError("scalars must have the split train")
        return self


class SamplesPicturedPayload(Payload):
    """See `ncengine.events.SamplesPictured`."""

    samples: Count


class GeometryCapturedPayload(Payload):
    """See `ncengine.events.GeometryCaptured`."""

    epoch: Annotated[float, Field(ge=0, lt=2**31, allow_inf_nan=False)]
    step: Step
    samples: Count
    mean_norm: Number
    weight_norm: Number
    residual: Number
    smallest_angle_deg: Number
    smallest_pair: ClassPair
    mean_angle_error_deg: Number
    closest: Annotated[list[ClosePair], Field(max_length=1000), FailFast()] = Field(default_factory=list)
    cosine_quantiles: Annotated[dict[QuantileKey, Number], Field(max_length=100)] = Field(default_factory=dict)


class FeaturesKeptPayload(Payload):
    """See `ncengine.events.FeaturesKept`."""

    epoch: Annotated[float, Field(ge=0, lt=2**31, allow_inf_nan=False)]
    step: Step
    samples: dict[Literal["train", "test"], Count]
    size_bytes: Count


class CheckpointSavedPayload(Payload):
    """See `ncengine.events.CheckpointSaved`."""

    epoch: Step
    step: Step


class RunFinishedPayload(Payload):
    """See `ncengine.events.RunFinished`."""

    epoch: Step
    step: Step
    summary: dict[Split, Scalars]


PAYLOADS: dict[str, type[Payload]] = {
    model.__name__.removesuffix("Payload"): model
    for model in (
        RunQueuedPayload,
        PausedPayload,
        RunCancelledPayload,
        AttemptFailedPayload,
        RunFailedPayload,
        RunStartedPayload,
        DataProgressedPayload,
        LogLinePayload,
        ResumedPayload,
        StepMeasuredPayload,
        EpochMeasuredPayload,
        SamplesPicturedPayload,
        GeometryCapturedPayload,
        FeaturesKeptPayload,
        CheckpointSavedPayload,
        RunFinishedPayload,
    )
}
"""The model of each type of event; there are no other types."""


def require_valid(type_: str, payload: Mapping[str, Any]) -> None:
    """Raise Invalid, naming the field, where a payload is not valid for its type of event."""
    model = PAYLOADS.get(type_)
    if model is None:
        raise Invalid(f"there is no type of event {type_[:100]!r}; there are {', '.join(PAYLOADS)}")
    try:
        model.model_validate(payload)
    except ValidationError as error:
        raise Invalid(f"{type_} {format_validation_error(error)}") from error
