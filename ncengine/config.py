"""One description of a run, validated once: the API, the form, the command line and checkpoints all read `RunConfig`.

No torch here: a config is read, checked and shown by processes that never train. Unknown keys are errors.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ncengine.data.facts import FACTS, DataFacts

MAX_CLASSES_WITH_NAMES = 1000


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class _Data(_Part):
    classes: tuple[int, ...] | None = Field(default=None, title="Classes")
    """Labels to keep, in this order; empty keeps all. Four classes make an exact tetrahedron."""


class FashionMnistMini(_Data):
    """Fashion-MNIST, 500 training and 100 test images a class, 28×28 grey."""

    name: Literal["fashion-mnist-mini"] = "fashion-mnist-mini"


class Digits(_Data):
    """Handwritten digits, 1,442 training and 355 test images, 8×8 grey."""

    name: Literal["digits"] = "digits"


DataConfig = Annotated[FashionMnistMini | Digits, Field(discriminator="name", title="Data set")]


class _Backbone(_Part):
    features: int = Field(default=64, ge=1, le=8192, title="Features d")
    """Dimension of the penultimate features; an ETF head needs at least K − 1."""


class CnnSmall(_Backbone):
    """Three convolutions with batch normalisation, then a projection to d features."""

    name: Literal["cnn-small"] = "cnn-small"
    width: int = Field(default=16, ge=4, le=512, title="Width")
    """Channels of the first convolution; the next two have twice and four times as many."""


class Mlp(_Backbone):
    """Fully connected layers with batch normalisation on the flattened image."""

    name: Literal["mlp"] = "mlp"
    width: int = Field(default=256, ge=4, le=8192, title="Width")
    """Units of each hidden layer."""
    depth: int = Field(default=2, ge=1, le=16, title="Hidden layers")
    """Number of hidden layers before the projection to d features."""


class ResNet18(_Backbone):
    """ResNet-18 with the CIFAR stem (3×3 convolution, no pooling), then a projection to d features."""

    name: Literal["resnet18"] = "resnet18"
    features: int = Field(default=512, ge=1, le=8192, title="Features d")
    """Dimension of the penultimate features; 512 is the network's own and adds no projection."""


BackboneConfig = Annotated[CnnSmall | Mlp | ResNet18, Field(discriminator="name", title="Backbone")]


class _Head(_Part):
    temperature: float = Field(default=5.0, gt=0, le=1000, title="Temperature τ")
    """Features are scaled onto a sphere of radius τ."""
    normalise: bool = Field(default=True, title="Normalise features")
    """Scale features onto the sphere; off leaves them as the backbone makes them."""


class NearestETFHead(_Head):
    """At every step the simplex ETF nearest to the class means (Guiding Neural Collapse)."""

    name: Literal["nearest-etf"] = "nearest-etf"
    delta: float = Field(default=1e-3, ge=0, le=1000, title="Proximal weight δ")
    """How strongly the ETF is held to the previous step's."""
    averaging: Literal["ema-decay", "cma", "ema"] = Field(default="ema-decay", title="Class-mean averaging")
    """ema-decay: αₜ = max(2/(t+1), 10⁻⁴); cma: αₜ = 1/t; ema: a fixed half-life."""
    half_life_steps: float = Field(default=100.0, gt=0, le=1e7, title="Half-life in steps")
    """Used by the averaging `ema` alone."""
    implicit_gradient: bool = Field(default=True, title="Gradient through the ETF")
    """Differentiate through the choice of the nearest ETF, exactly."""


class FixedETFHead(_Head):
    """A simplex ETF that never moves."""

    name: Literal["fixed-etf"] = "fixed-etf"
    rotation: Literal["haar", "canonical"] = Field(default="haar", title="Rotation")
    """haar: a random rotation from the run's seed; canonical: the first K − 1 axes."""


class LinearHead(_Head):
    """A learned linear classifier."""

    name: Literal["linear"] = "linear"
    bias: bool = Field(default=True, title="Bias")
    """Learn a bias beside the weight."""


HeadConfig = Annotated[NearestETFHead | FixedETFHead | LinearHead, Field(discriminator="name", title="Classifier")]


class CrossEntropy(_Part):
    """Cross-entropy of the softmax."""

    name: Literal["cross-entropy"] = "cross-entropy"


LossConfig = CrossEntropy


class _Optimiser(_Part):
    weight_decay: float = Field(default=5e-4, ge=0, le=10, title="Weight decay")
    """L2 penalty (SGD) or decoupled decay (AdamW)."""


class Sgd(_Optimiser):
    """Stochastic gradient descent with momentum."""

    name: Literal["sgd"] = "sgd"
    lr: float = Field(default=0.1, gt=0, le=100, title="Learning rate")
    """Learning rate; the peak for schedules that vary it."""
    momentum: float = Field(default=0.9, ge=0, lt=1, title="Momentum")
    """Share of the previous update kept."""


class AdamW(_Optimiser):
    """Adam with decoupled weight decay (Loshchilov, Hutter 2019)."""

    name: Literal["adamw"] = "adamw"
    lr: float = Field(default=1e-3, gt=0, le=100, title="Learning rate")
    """Learning rate; the peak for schedules that vary it."""


OptimiserConfig = Annotated[Sgd | AdamW, Field(discriminator="name", title="Optimiser")]


class OneCycle(_Part):
    """Rise over the first 30 % of the steps, then fall to nearly zero (Smith, Topin 2019)."""

    name: Literal["one-cycle"] = "one-cycle"


class Cosine(_Part):
    """From the learning rate to zero along a cosine."""

    name: Literal["cosine"] = "cosine"


class Constant(_Part):
    """The learning rate as it is."""

    name: Literal["constant"] = "constant"


ScheduleConfig = Annotated[OneCycle | Cosine | Constant, Field(discriminator="name", title="Schedule")]


class Shuffled(_Part):
    """A fresh random order each epoch."""

    name: Literal["shuffled"] = "shuffled"


class Stratified(_Part):
    """Each batch holds the classes in equal shares, as far as they go."""

    name: Literal["stratified"] = "stratified"


SamplerConfig = Annotated[Shuffled | Stratified, Field(discriminator="name", title="Batches")]


class MeasureConfig(_Part):
    """When and how much of the geometry is measured."""

    every: int = Field(default=1, ge=1, le=10_000, title="Measure every")
    """Epochs between measurements; the last epoch is always measured."""
    features: int = Field(default=250, ge=1, le=10_000, title="Features in a picture")
    """Training samples in each geometry capture, class-balanced; 64 KiB a capture is the upper limit."""
    first_epoch_captures: int = Field(default=8, ge=0, le=200, title="Captures in the first epoch")
    """Geometry captures within the first epoch, where most of it moves."""
    checkpoint_every: int = Field(default=1, ge=1, le=10_000, title="Checkpoint every")
    """Epochs between checkpoints; a stopped run continues from the newest."""


class RunConfig(_Part):
    """A whole run: data, network, classifier, training and measurement."""

    data: DataConfig = FashionMnistMini()
    backbone: BackboneConfig = CnnSmall()
    head: HeadConfig = NearestETFHead()
    loss: LossConfig = CrossEntropy()
    optimiser: OptimiserConfig = Sgd()
    schedule: ScheduleConfig = OneCycle()
    sampler: SamplerConfig = Stratified()
    batch_size: int = Field(default=128, ge=2, le=65_536, title="Batch size")
    """Samples in a step; at most the training set."""
    epochs: int = Field(default=40, ge=1, le=100_000, title="Epochs")
    """Passes over the training set."""
    measure: MeasureConfig = MeasureConfig()
    seed: int = Field(default=0, ge=0, le=2**31 - 1, title="Seed")
    """Of the initial weights and of the order of the batches."""
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", title="Device")
    """auto takes a GPU where there is one; or cpu, cuda, cuda:1."""
    precision: Literal["float32", "bfloat16"] = Field(default="float32", title="Precision")
    """bfloat16 runs the backbone under autocast; the ETF stays in float32 or better."""
    deterministic: bool = Field(default=True, title="Deterministic")
    """The same config gives the same numbers on the same machine."""

    @property
    def facts(self) -> DataFacts:
        """What is known of the data set before loading it."""
        return FACTS[self.data.name]

    @property
    def labels(self) -> tuple[int, ...]:
        """The data set's labels that take part, in the order of this run's classes."""
        return tuple(range(len(self.facts.class_names))) if self.data.classes is None else self.data.classes

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self.facts.class_names[label] for label in self.labels)

    @property
    def classes(self) -> int:
        """K, the number of classes."""
        return len(self.labels)

    @property
    def train_size(self) -> int:
        return sum(self.facts.train_per_class[label] for label in self.labels)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        known = len(self.facts.class_names)
        if self.data.classes is not None:
            chosen = self.data.classes
            bad = [label for label in chosen if not 0 <= label < known]
            if bad or len(set(chosen)) != len(chosen) or len(chosen) < 2:
                raise ValueError(
                    f"data.classes must be at least 2 different labels of 0 … {known - 1}, got {list(chosen)}; "
                    "leave it empty for all classes"
                )
        if self.head.name != "linear" and self.backbone.features < self.classes - 1:
            raise ValueError(
                f"backbone.features must be at least {self.classes - 1} for a {self.head.name} head with "
                f"{self.classes} classes, got {self.backbone.features}; set backbone.features={self.classes - 1}"
            )
        if self.batch_size > self.train_size:
            raise ValueError(
                f"batch_size must be at most the {self.train_size} training samples, got {self.batch_size}; "
                f"set batch_size={self.train_size} or less"
            )
        return self

    def canonical_json(self) -> str:
        """The config as JSON with sorted keys and no spaces: equal configs give equal text."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    def hash(self) -> str:
        """SHA-256 of the canonical JSON, as hex."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()


def with_overrides(config: RunConfig, settings: dict[str, object]) -> RunConfig:
    """Return the config with dotted settings replaced, such as `{"optimiser.lr": 0.1}`; validated as a whole.

    Changing a part's `name` starts that part from the new kind's defaults. Raises ValueError (or pydantic's
    ValidationError) where a path does not exist or the result is impossible.
    """
    tree = config.model_dump(mode="json")
    for path, value in sorted(settings.items(), key=lambda item: not item[0].endswith(".name")):
        *parents, leaf = path.split(".")
        node = tree
        for step, parent in enumerate(parents):
            child = node.get(parent)
            if not isinstance(child, dict):
                raise ValueError(
                    f"there is no setting {'.'.join(parents[: step + 1])!r}; see `collapse presets --schema`"
                )
            node = child
        if leaf == "name" and parents and node.get("name") != value:
            node.clear()
        node[leaf] = value
    return RunConfig.model_validate(tree)
