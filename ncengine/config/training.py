"""How a run trains, as a config says it: loss, optimiser, schedule, batches; and when it measures."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

from ncengine.config.base import LATE, ConfigModel, applies_if


class CrossEntropy(ConfigModel):
    """Cross-entropy of the softmax."""

    name: Literal["cross-entropy"] = "cross-entropy"
    label_smoothing: float = Field(default=0.0, ge=0, lt=1, title="Label smoothing")
    """Share of the target spread evenly over all classes (Szegedy et al. 2016)."""


class MeanSquaredError(ConfigModel):
    """Squares of the logits' distances from their targets (Hui, Belkin 2021)."""

    name: Literal["mse"] = "mse"
    weight: float = Field(default=1.0, gt=0, le=1e4, title="Weight of the true class")
    """Factor of the true class's square; 15 is used for many classes."""
    target: float = Field(default=1.0, gt=0, le=1e4, title="Target of the true class")
    """The true class's logit to reach, the others' being 0; 30 is used for many classes."""


LossConfig = Annotated[CrossEntropy | MeanSquaredError, Field(discriminator="name", title="Loss")]


class _Optimiser(ConfigModel):
    clip_norm: float | None = Field(default=None, gt=0, le=1e6, title="Clip gradients at", json_schema_extra=LATE)
    """Largest norm of the whole gradient; empty leaves it as it is."""
    accumulate: int = Field(default=1, ge=1, le=1024, title="Parts of a batch", json_schema_extra=LATE)
    """Passes that a batch is split into, with one step at their end; saves memory."""


class _Rated(_Optimiser):
    weight_decay: float = Field(default=5e-4, ge=0, le=10, title="Weight decay")
    """L2 penalty (SGD, Adam) or decoupled decay (AdamW)."""
    decay_norms_and_biases: bool = Field(default=True, title="Decay norms and biases", json_schema_extra=LATE)
    """Off exempts what has one dimension: biases and the scales of normalisations."""
    head_weight_decay: float | None = Field(
        default=None, ge=0, le=10, title="Decay of the classifier", json_schema_extra=LATE
    )
    """Weight decay of a learned classifier; empty takes the general one."""
    feature_weight_decay: float | None = Field(
        default=None, ge=0, le=10, title="Decay of free features", json_schema_extra=LATE
    )
    """Weight decay of the unconstrained-features model's features; empty takes the general one."""


class Sgd(_Rated):
    """Stochastic gradient descent with momentum."""

    name: Literal["sgd"] = "sgd"
    lr: float = Field(default=0.1, gt=0, le=100, title="Learning rate")
    """Learning rate; the peak for schedules that vary it."""
    momentum: float = Field(default=0.9, ge=0, lt=1, title="Momentum")
    """Share of the previous update kept."""
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
    """Epochs in which the rate rises from nearly zero, in a line, before the schedule begins."""


class OneCycleSchedule(_Schedule):
    """Rise over the first 30 % of the steps, then fall to nearly zero (Smith, Topin 2019)."""

    name: Literal["one-cycle"] = "one-cycle"


class CosineSchedule(_Schedule):
    """From the learning rate to zero along a cosine."""

    name: Literal["cosine"] = "cosine"


class ConstantSchedule(_Schedule):
    """The learning rate as it is."""

    name: Literal["constant"] = "constant"


class StepSchedule(_Schedule):
    """Fall by a factor every so many epochs."""

    name: Literal["step"] = "step"
    every: int = Field(default=40, ge=1, le=100_000, title="Every epochs")
    """Epochs between two falls."""
    factor: float = Field(default=0.1, gt=0, le=1, title="Factor")
    """What the rate is multiplied by."""


class MultiStepSchedule(_Schedule):
    """Fall by a factor after given epochs."""

    name: Literal["multi-step"] = "multi-step"
    milestones: tuple[int, ...] = Field(default=(60, 120, 160), min_length=1, max_length=100, title="After epochs")
    """Epochs after which the rate falls, ascending."""
    factor: float = Field(default=0.2, gt=0, le=1, title="Factor")
    """What the rate is multiplied by."""


ScheduleConfig = Annotated[
    OneCycleSchedule | CosineSchedule | ConstantSchedule | StepSchedule | MultiStepSchedule,
    Field(discriminator="name", title="Schedule"),
]


class Shuffled(ConfigModel):
    """A fresh random order each epoch."""

    name: Literal["shuffled"] = "shuffled"


class Stratified(ConfigModel):
    """Each batch holds the classes in equal shares, as far as they go."""

    name: Literal["stratified"] = "stratified"


SamplerConfig = Annotated[Shuffled | Stratified, Field(discriminator="name", title="Batches")]


DownloadedName = Literal[
    "mnist", "fashion-mnist", "kmnist", "emnist", "svhn", "cifar10", "cifar100", "stl10", "tiny-imagenet"
]
OwnName = Literal["image-folder", "arrays"]
OodName = Literal["none", "fashion-mnist-mini", "digits", DownloadedName, OwnName]
OWN_OOD, DOWNLOADED_OOD = get_args(OwnName), get_args(DownloadedName)


class MeasureConfig(ConfigModel):
    """When and how much of the geometry is measured."""

    cadence: Literal["every", "geometric"] = Field(default="every", title="Cadence")
    """every: each so many epochs; geometric: ever further apart, for long runs. Both after the dense first epochs."""
    every: int = Field(default=1, ge=1, le=10_000, title="Measure every", json_schema_extra=applies_if(cadence="every"))
    """Epochs between measurements; the last epoch is always measured."""
    growth: float = Field(default=1.15, gt=1, le=10, title="Growth", json_schema_extra=applies_if(cadence="geometric"))
    """Each measured epoch is this many times the one before."""
    dense_epochs: int = Field(default=0, ge=0, le=10_000, title="Dense first epochs")
    """Every epoch up to this one is measured, whatever the cadence."""
    layers: tuple[str, ...] = Field(default=(), max_length=64, title="Hidden layers")
    """Names of the backbone's modules whose outputs are measured too, averaged over positions."""
    features: int = Field(default=250, ge=1, le=10_000, title="Features in a picture")
    """Training samples in each geometry capture, class-balanced; 64 KiB a capture is the upper limit."""
    outside: OodName = Field(default="none", title="Other data, for NC5")
    """A second data set, of which the run's own is told apart; its images are brought to the same shape. The run's own
    data set with a choice of classes means the classes left out."""
    outside_path: str = Field(
        default="", max_length=4096, title="Path of other data", json_schema_extra=applies_if(outside=OWN_OOD)
    )
    """Where one's own images or arrays lie on the machine that trains, under a folder that the operator allows."""
    outside_download: bool = Field(
        default=False, title="Download other data", json_schema_extra=applies_if(outside=DOWNLOADED_OOD)
    )
    """Fetch the files once if this machine does not have them; off never opens a connection."""
    keep_features: Literal["none", "sample", "all"] = Field(default="none", title="Keep features")
    """sample: the penultimate features of 50 training samples a class are kept with each capture; all: those of both
    splits with each measurement. They can be downloaded as .npz."""
    first_epoch_captures: int = Field(default=8, ge=0, le=200, title="Captures in the first epoch")
    """Geometry captures within the first epoch, where most of it moves."""
    checkpoint_every: int = Field(default=1, ge=1, le=10_000, title="Checkpoint every")
    """Epochs between checkpoints; a stopped run continues from the newest."""
    checkpoint_steps: int | None = Field(default=None, ge=1, le=10_000_000, title="Checkpoint every steps")
    """Steps between further checkpoints within long epochs; empty makes none."""

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
