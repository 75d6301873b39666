"""`RunConfig`, the validated description of a run, and overrides of settings by dotted names.

No torch is loaded: processes that never train read, validate and show configs.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from ncengine.backbones.registry import BACKBONES, BackboneConfig
from ncengine.backbones.small_networks import CnnSmall
from ncengine.components import ConfigModel, UnknownComponent, one_of
from ncengine.config.training import (
    MeasureConfig,
    OneCycleSchedule,
    OptimiserConfig,
    SamplerConfig,
    ScheduleConfig,
    Sgd,
    Stratified,
)
from ncengine.data.embedded import FashionMnistMini
from ncengine.data.imbalance import class_counts
from ncengine.data.registry import DATASETS, DatasetConfig, DatasetInfo, ImageConfig, is_own_data
from ncengine.heads.nearest_etf_config import NearestETFHeadConfig
from ncengine.heads.registry import HEADS, HeadConfig
from ncengine.losses.cross_entropy import CrossEntropy
from ncengine.losses.registry import LOSSES, LossConfig

SAMPLE_PER_CLASS = 50
"""Training samples of each class that captures within the first epoch measure, and that `keep_features` stores."""
MAX_FEATURE_BYTES = 2 * 2**30
"""Largest size of the features that one capture stores."""


class KeptFeatures(NamedTuple):
    """The largest size of one capture's stored features, and the number of captures that store them."""

    bytes: int
    captures: int


class RunConfig(ConfigModel, defer_build=False):
    """A whole run: data, network, classifier, training and measurement."""

    data: Annotated[DatasetConfig, one_of(DATASETS), Field(title="Data set")] = FashionMnistMini()
    backbone: Annotated[BackboneConfig, one_of(BACKBONES), Field(title="Backbone")] = CnnSmall()
    head: Annotated[HeadConfig, one_of(HEADS), Field(title="Classifier")] = NearestETFHeadConfig()
    loss: Annotated[LossConfig, one_of(LOSSES), Field(title="Loss")] = CrossEntropy()
    optimiser: OptimiserConfig = Sgd()
    schedule: ScheduleConfig = OneCycleSchedule()
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
    precision: Literal["float32", "tf32", "bfloat16", "float16"] = Field(default="float32", title="Precision")
    """tf32: float32 with quicker products on newer GPUs; bfloat16, float16: the backbone under autocast. The ETF stays
    in float32 or better."""
    channels_last: bool = Field(default=True, title="Channels last")
    """Memory order of images in the network; quicker for most convolutions."""
    compile: bool = Field(default=False, title="Compile")
    """Compile the backbone with torch.compile: a slow first step, quicker ones after it."""
    deterministic: bool = Field(default=True, title="Deterministic")
    """The same config gives the same numbers on the same machine."""

    @property
    def is_resolved(self) -> bool:
        """Whether the content of the data is known; of own files it is after `ncengine.data.resolve_config`."""
        return self.data.is_resolved

    @property
    def dataset_info(self) -> DatasetInfo:
        """Properties of the data set before loading it; raises ValueError for own files that are not resolved.

        Of an unknown data set they are those of an empty one.
        """
        if isinstance(self.data, UnknownComponent):
            return DatasetInfo(
                title=self.data.name,
                train=0,
                test=0,
                shape=(),
                class_names=(),
                train_per_class=(),
                mean=(),
                std=(),
                source="unknown",
            )
        return self.data.info()

    @property
    def labels(self) -> tuple[int, ...]:
        """The data set's labels that take part, in the order of this run's classes."""
        chosen = self.data.chosen_labels
        return tuple(range(len(self.dataset_info.class_names))) if chosen is None else chosen

    @property
    def class_names(self) -> tuple[str, ...]:
        names = self.dataset_info.class_names  # read once: those of generated data are made at each access
        return tuple(names[label] for label in self.labels)

    @property
    def classes(self) -> int:
        """K, the number of classes."""
        return len(self.labels)

    @property
    def train_per_class(self) -> tuple[int, ...]:
        """Training samples of each of this run's classes, after limits and the long tail."""
        per_class = self.dataset_info.train_per_class
        counts = [per_class[label] for label in self.labels]
        data = self.data
        return class_counts(counts, limit=data.max_per_class, imbalance=data.imbalance, factor=data.imbalance_factor)

    @property
    def train_size(self) -> int:
        return sum(self.train_per_class)

    @property
    def steps_per_epoch(self) -> int:
        """Complete batches in a pass over the training set; the remaining samples are not used in that pass."""
        return max(1, self.train_size // self.batch_size)

    @property
    def kept_features(self) -> KeptFeatures:
        """The size of the penultimate features that the run stores, known before it is launched."""
        measure = self.measure
        if measure.keep_features == "none":
            return KeptFeatures(0, 0)
        epochs = sum(measure.measured(epoch, self.epochs) for epoch in range(1, self.epochs + 1))
        row = 4 * self.backbone.features + 4  # bytes: float32 features and an int32 label
        if measure.keep_features == "all":
            return KeptFeatures(row * (self.train_size + self.dataset_info.test), epochs)
        rows = sum(min(SAMPLE_PER_CLASS, count) for count in self.train_per_class)
        early = min(measure.first_epoch_captures, max(0, self.steps_per_epoch - 1))
        return KeptFeatures(row * rows, epochs + early + 1)

    def unknown_components(self) -> list[str]:
        """Return the parts, with their names, that no registry has; such a run can be shown, and not trained."""
        parts = {"data": self.data, "backbone": self.backbone, "head": self.head, "loss": self.loss}
        return [f"{key}.name={part.name}" for key, part in parts.items() if isinstance(part, UnknownComponent)]

    def require_known_components(self) -> None:
        """Raise ValueError if a part is of a component that no registry has."""
        if unknown := self.unknown_components():
            raise ValueError(
                f"{', '.join(unknown)} must be a known component; if it is one of a plugin, start the server with "
                "--plugins PACKAGE, or set COLLAPSE_PLUGINS=PACKAGE for other commands"
            )

    @model_validator(mode="after")
    def _require_consistent(self) -> Self:
        if self.unknown_components():
            return self
        _check_parts(self)
        if self.is_resolved:
            _check_data(self)
        return self

    def canonical_json(self) -> str:
        """The config as JSON with sorted keys and no spaces: equal configs give equal text."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    def hash(self) -> str:
        """SHA-256 of the canonical JSON, as hex."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()


def _check_parts(config: RunConfig) -> None:
    """Raise ValueError if parts of a config exclude each other, independently of the data."""
    if config.data.has_indices != config.backbone.takes_indices:
        raise ValueError(
            f"backbone.name must be free-features for the data set ufm, and for no other, got {config.backbone.name} "
            f"with {config.data.name}; set both or neither"
        )
    optimiser = config.optimiser
    if optimiser.name == "sgd" and optimiser.nesterov and optimiser.momentum == 0:
        raise ValueError("optimiser.nesterov must come with momentum above 0, got 0; set optimiser.momentum=0.9")
    if optimiser.name == "agd":
        if config.head.learns_bias:
            raise ValueError("head.bias must be off for agd, which has no step for biases; set head.bias=false")
        for part in (config.backbone, config.head):
            if not part.has_only_linear_maps:
                raise ValueError(
                    f"optimiser.name must be another than agd for {part.name}, of which not all parameters are linear "
                    "maps"
                )
    if config.schedule.name == "multi-step":
        milestones = config.schedule.milestones
        if list(milestones) != sorted(set(milestones)) or milestones[0] < 1:
            raise ValueError(f"schedule.milestones must ascend from 1 on, got {list(milestones)}")
    if optimiser.accumulate > config.batch_size // 2:
        raise ValueError(
            f"optimiser.accumulate must leave parts of at least 2 samples, got {optimiser.accumulate} for "
            f"batch_size={config.batch_size}; set optimiser.accumulate={max(1, config.batch_size // 2)} or less"
        )
    if config.measure.outside != "none" and not config.data.has_images:
        raise ValueError(
            f"measure.outside must be none for {config.data.name}, whose samples are no images, "
            f"got {config.measure.outside}; set measure.outside=none"
        )
    if is_own_data(config.measure.outside) and not config.measure.outside_path:
        raise ValueError("measure.outside_path must say where the other data lies, got nothing")
    if len(set(config.measure.layers)) != len(config.measure.layers):
        raise ValueError(f"measure.layers must be different names, got {list(config.measure.layers)}")


def _check_data(config: RunConfig) -> None:
    """Raise ValueError if a config does not fit its data."""
    info = config.dataset_info
    known = len(info.class_names)
    chosen = config.data.chosen_labels
    if chosen is not None:
        bad = [label for label in chosen if not 0 <= label < known]
        if bad or len(set(chosen)) != len(chosen) or len(chosen) < 2:
            raise ValueError(
                f"data.classes must be at least 2 different labels of 0 … {known - 1}, got {list(chosen)}; "
                "leave it empty for all classes"
            )
    if known < 2:
        raise ValueError(f"data.path must hold at least 2 classes, got {known} ({', '.join(info.class_names)})")
    data, backbone = config.data, config.backbone
    if len(info.shape) == 1 and not backbone.takes_vectors:
        possible = [name for name, each in BACKBONES.items() if each.takes_vectors]
        raise ValueError(
            f"backbone.name must be {' or '.join(possible)} for vectors such as {data.name}, got {backbone.name}; "
            f"set backbone.name={possible[0]}"
        )
    if len(info.shape) == 1 and isinstance(data, ImageConfig) and (data.flip or data.crop_padding or data.cutout):
        raise ValueError("data.flip must be off, and crop_padding and cutout 0, for vectors: they are for images")
    backbone.require_shape(info.shape)
    if config.head.is_etf and backbone.features < config.classes - 1:
        raise ValueError(
            f"backbone.features must be at least {config.classes - 1} for a {config.head.name} head with "
            f"{config.classes} classes, got {config.backbone.features}; set backbone.features={config.classes - 1}"
        )
    same = config.measure.outside == config.data.name and not is_own_data(config.data.name)
    if same and config.classes == known:
        raise ValueError(
            f"measure.outside must be another data set than {config.data.name}, of which all classes take part; "
            "choose another, or leave classes out with data.classes"
        )
    if config.measure.outside != "none" and len(info.shape) != 3:
        raise ValueError("measure.outside must be none for vectors: other data is brought to the shape of images")
    kept = config.kept_features.bytes
    if kept > MAX_FEATURE_BYTES:
        raise ValueError(
            f"measure.keep_features must keep at most {MAX_FEATURE_BYTES / 2**30:.0f} GiB a capture, got "
            f"{kept / 2**30:.1f} GiB; set measure.keep_features=sample"
        )
    if config.batch_size > config.train_size:
        raise ValueError(
            f"batch_size must be at most the {config.train_size} training samples, got {config.batch_size}; "
            f"set batch_size={config.train_size} or less"
        )


def with_overrides(config: RunConfig, settings: dict[str, object]) -> RunConfig:
    """Return the config with dotted settings replaced, such as `{"optimiser.lr": 0.1}`; validated as a whole.

    Changing a part's `name` resets that part to the defaults of the new kind. Raises ValueError (or pydantic's
    ValidationError) if a path does not exist or the result is not valid.
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
