"""Configs of optimiser, schedule, sampler and measurement."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field

from ncengine.components import LATE, ConfigModel, FieldType, applies_if
from ncengine.data.registry import DATASETS, DatasetConfig, DownloadedConfig, OwnDataConfig, ood_names


class _Optimiser(ConfigModel):
    clip_norm: float | None = Field(default=None, gt=0, le=1e6, title="Clip gradients at", json_schema_extra=LATE)
    """Largest norm of the gradient; empty for no clipping."""
    accumulate: int = Field(default=1, ge=1, le=1024, title="Parts of a batch", json_schema_extra=LATE)
    """Parts of a batch that are processed one after another, with one step at the end; saves memory."""


class _Rated(_Optimiser):
    weight_decay: float = Field(default=5e-4, ge=0, le=10, title="Weight decay")
    """L2 penalty (SGD, Adam) or decoupled decay (AdamW)."""
    decay_norms_and_biases: bool = Field(default=True, title="Decay norms and biases", json_schema_extra=LATE)
    """Off exempts parameters of one dimension: biases and the scales of normalisations."""
    head_weight_decay: float | None = Field(
        default=None, ge=0, le=10, title="Decay of the classifier", json_schema_extra=LATE
    )
    """Weight decay of a learned classifier; empty uses the general one."""
    feature_weight_decay: float | None = Field(
        default=None, ge=0, le=10, title="Decay of free features", json_schema_extra=LATE
    )
    """Weight decay of the unconstrained-features model's features; empty uses the general one."""


class Sgd(_Rated):
    """Stochastic gradient descent with momentum."""

    name: Literal["sgd"] = "sgd"
    lr: float = Field(default=0.1, gt=0, le=100, title="Learning rate")
    """Learning rate; the peak for schedules that vary it."""
    momentum: float = Field(default=0.9, ge=0, lt=1, title="Momentum")
    """Share of the previous update that is added."""
    nesterov: bool = Field(default=False, title="Nesterov")
    """Look ahead along the momentum (needs momentum above 0)."""


class Adam(_Rated):
    """Adam with an L2 penalty (Kingma, Ba 2015)."""

    name: Literal["adam"] = "adam"
    lr: float = Field(default=1e-3, gt=0, le=100, title="Learning rate")
    """Learning rate; the peak for schedules that vary it."""


class AdamW(_Rated):
    """Adam with decoupled weight decay (Loshchilov, Hutter 2019)."""

    name: Literal["adamw"] = "adamw"
    lr: float = Field(default=1e-3, gt=0, le=100, title="Learning rate")
    """Learning rate; the peak for schedules that vary it."""


class Agd(_Optimiser):
    """Automatic gradient descent: no learning rate (Bernstein et al. 2023). Networks lose biases and affine norms."""

    name: Literal["agd"] = "agd"
    gain: float = Field(default=10.0, gt=0, le=1000, title="Gain")
    """Factor of the automatic step; the paper trains with 10."""


OptimiserConfig = Annotated[Sgd | Adam | AdamW | Agd, Field(discriminator="name", title="Optimiser")]


class _Schedule(ConfigModel):
    warmup_epochs: float = Field(default=0.0, ge=0, le=1000, title="Warm-up epochs", json_schema_extra=LATE)
    """Epochs of linear warm-up from nearly zero, before the schedule begins."""


class OneCycleSchedule(_Schedule):
    """Rise over the first 30 % of the steps, then fall to nearly zero (Smith, Topin 2019)."""

    name: Literal["one-cycle"] = "one-cycle"


class CosineSchedule(_Schedule):
    """Cosine decay from the learning rate to zero."""

    name: Literal["cosine"] = "cosine"


class ConstantSchedule(_Schedule):
    """A constant learning rate."""

    name: Literal["constant"] = "constant"


class StepSchedule(_Schedule):
    """Multiply the rate by a factor at fixed intervals."""

    name: Literal["step"] = "step"
    every: int = Field(default=40, ge=1, le=100_000, title="Every epochs")
    """Epochs between two decays."""
    factor: float = Field(default=0.1, gt=0, le=1, title="Factor")
    """Factor that the rate is multiplied by."""


class MultiStepSchedule(_Schedule):
    """Multiply the rate by a factor after given epochs."""

    name: Literal["multi-step"] = "multi-step"
    milestones: tuple[int, ...] = Field(default=(60, 120, 160), min_length=1, max_length=100, title="After epochs")
    """Epochs after which the rate is multiplied, ascending."""
    factor: float = Field(default=0.2, gt=0, le=1, title="Factor")
    """Factor that the rate is multiplied by."""


ScheduleConfig = Annotated[
    OneCycleSchedule | CosineSchedule | ConstantSchedule | StepSchedule | MultiStepSchedule,
    Field(discriminator="name", title="Schedule"),
]


class Shuffled(ConfigModel):
    """A new random order in each epoch."""

    name: Literal["shuffled"] = "shuffled"


class Stratified(ConfigModel):
    """Each batch contains the classes in their shares of the data."""

    name: Literal["stratified"] = "stratified"


SamplerConfig = Annotated[Shuffled | Stratified, Field(discriminator="name", title="Batches")]


def _ood_type() -> Any:
    return Literal[("none", *ood_names())]


def _applies_to(kind: type[DatasetConfig]) -> Callable[[dict[str, Any]], None]:
    """Return the schema entry for a field that is used only if the other data are of a kind."""

    def extend(schema: dict[str, Any]) -> None:
        schema |= applies_if(outside=tuple(name for name in ood_names() if issubclass(DATASETS[name], kind)))

    return extend


class MeasureConfig(ConfigModel):
    """When and how much of the geometry is measured."""

    cadence: Literal["every", "geometric"] = Field(default="every", title="Cadence")
    """every: at fixed intervals; geometric: at growing intervals, for long runs. Both after the dense first epochs."""
    every: int = Field(default=1, ge=1, le=10_000, title="Measure every", json_schema_extra=applies_if(cadence="every"))
    """Epochs between measurements; the last epoch is always measured."""
    growth: float = Field(default=1.15, gt=1, le=10, title="Growth", json_schema_extra=applies_if(cadence="geometric"))
    """Ratio of successive measured epochs."""
    dense_epochs: int = Field(default=0, ge=0, le=10_000, title="Dense first epochs")
    """Every epoch up to this one is measured."""
    layers: tuple[str, ...] = Field(default=(), max_length=64, title="Hidden layers")
    """Names of modules of the backbone whose outputs are measured too, averaged over positions."""
    features: int = Field(default=250, ge=1, le=10_000, title="Features in a picture")
    """Training samples in each geometry capture, class-balanced; 64 KiB a capture is the upper limit."""
    outside: Annotated[str, FieldType(DATASETS, _ood_type)] = Field(default="none", title="Out-of-distribution data")
    """A second data set as out-of-distribution data; its images are converted to the same shape. The run's own data
    set, with a choice of classes, means the classes left out."""
    outside_path: str = Field(
        default="", max_length=4096, title="Path of these data", json_schema_extra=_applies_to(OwnDataConfig)
    )
    """Path of own images or arrays on the machine that trains, in a folder that the operator allows."""
    outside_download: bool = Field(
        default=False, title="Download these data", json_schema_extra=_applies_to(DownloadedConfig)
    )
    """Download the files once if this machine does not have them; off never opens a connection."""
    keep_features: Literal["none", "sample", "all"] = Field(default="none", title="Keep features")
    """sample: store the penultimate features of 50 training samples of each class with each capture; all: those of both
    splits with each measurement. They can be downloaded as .npz."""
    first_epoch_captures: int = Field(default=8, ge=0, le=200, title="Captures in the first epoch")
    """Geometry captures within the first epoch, in which the geometry changes most."""
    checkpoint_every: int = Field(default=1, ge=1, le=10_000, title="Checkpoint every")
    """Epochs between checkpoints; a stopped run continues from the newest one."""
    checkpoint_steps: int | None = Field(default=None, ge=1, le=10_000_000, title="Checkpoint every steps")
    """Steps between additional checkpoints within long epochs; empty for none."""

    def measured(self, epoch: int, epochs: int) -> bool:
        """Return whether `epoch` (1 … epochs) is measured."""
        if epoch == epochs or epoch <= self.dense_epochs:
            return True
        if self.cadence == "every":
            return epoch % self.every == 0
        mark = max(1, self.dense_epochs)
        while mark < epoch:
            mark = max(mark + 1, round(mark * self.growth))
        return mark == epoch
