"""The config of a data set, and the registry of data sets.

To add a data set: its `DatasetConfig` in a module without torch, which reads the data itself or imports the module that
does, and a line in `DATASETS`. Own files have to be read before a run: `ncengine.data.resolve_config` writes what it
found into `found`, so that a stored config describes its data completely.

Means and standard deviations are the usual ones for normalising images, one number for each channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ncengine.components import LATE, ComponentConfig, ConfigModel, ConfigRegistry, applies_if

if TYPE_CHECKING:
    from ncengine.data.paths import DataPaths
    from ncengine.data.raw_dataset import LoadResult

MAX_CLASSES, MAX_NAME_LENGTH = 25_000, 500
"""Largest number of classes, and of characters of a class's name."""


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """Sizes of both splits, shape of a sample, class names in label order, source and licence.

    `shape` is (channels, height, width) of images, (d,) of vectors, () if a sample is only an index.
    """

    title: str
    train: int
    test: int
    shape: tuple[int, ...]
    class_names: tuple[str, ...]
    train_per_class: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str


class DatasetConfig(ComponentConfig):
    """Settings that all data sets share."""

    has_images: ClassVar[bool] = False
    """Whether samples may be images."""
    has_indices: ClassVar[bool] = False
    """Whether samples are indices of free features."""
    serves_as_ood: ClassVar[bool] = False
    """Whether another run may use it as out-of-distribution data."""
    imbalance: Literal["none", "exponential", "step"] = Field(default="none", title="Long tail", json_schema_extra=LATE)
    """Fewer training samples in later classes: exponential decreases from class to class, step in the second half."""
    imbalance_factor: float = Field(
        default=0.01,
        gt=0,
        le=1,
        title="Imbalance factor",
        json_schema_extra=LATE | applies_if(imbalance=("exponential", "step")),
    )
    """Samples of the rarest class divided by those of the most frequent one."""
    label_noise: Literal["none", "symmetric", "pairwise"] = Field(
        default="none", title="Label noise", json_schema_extra=LATE
    )
    """Wrong training labels: symmetric draws any other class, pairwise the next one. The true labels are stored too."""
    noise_rate: float = Field(
        default=0.2,
        ge=0,
        le=1,
        title="Noise rate",
        json_schema_extra=LATE | applies_if(label_noise=("symmetric", "pairwise")),
    )
    """Share of the training labels that are wrong."""

    @property
    def chosen_labels(self) -> tuple[int, ...] | None:
        """The labels to use, in this order; None for all."""
        return None

    @property
    def max_per_class(self) -> int | None:
        """The largest number of training samples of each class; None for all."""
        return None

    @property
    def is_resolved(self) -> bool:
        """Whether the content of the data is known."""
        return True

    def info(self) -> DatasetInfo:
        """Return what is known of the data without opening it; raises ValueError for files that are not resolved."""
        raise NotImplementedError(f"{type(self).__name__} must describe its data")

    def load(self, seed: int, data_paths: DataPaths) -> LoadResult:
        """Yield progress, and return the complete data set, without limits, long tail or noise.

        Raises FileNotFoundError if files are missing and may not be downloaded, OSError if a download fails, and
        ValueError for damaged files.
        """
        raise NotImplementedError(f"{type(self).__name__} must load its data")


class LabelledConfig(DatasetConfig):
    """Settings of data sets with a fixed set of labelled samples."""

    classes: Annotated[tuple[int, ...], Field(max_length=MAX_CLASSES)] | None = Field(
        default=None, title="Classes", json_schema_extra=LATE
    )
    """Labels to use, in this order; empty uses all. Four classes form an exact tetrahedron."""
    per_class: int | None = Field(default=None, ge=1, le=10_000_000, title="Samples per class", json_schema_extra=LATE)
    """Largest number of training samples of each class, drawn by the seed; empty uses all."""

    @property
    def chosen_labels(self) -> tuple[int, ...] | None:
        """The labels to use, in this order; None for all."""
        return self.classes

    @property
    def max_per_class(self) -> int | None:
        """The largest number of training samples of each class; None for all."""
        return self.per_class


class ImageConfig(LabelledConfig):
    """Settings of data sets of images, with their augmentation."""

    has_images = True
    serves_as_ood = True

    crop_padding: int = Field(default=0, ge=0, le=64, title="Random crop, padding", json_schema_extra=LATE)
    """Pixels of zero padding around a training image before a random crop of its own size; 0 for no crop."""
    flip: bool = Field(default=False, title="Random flip", json_schema_extra=LATE)
    """Mirror half of the training images horizontally."""
    cutout: int = Field(default=0, ge=0, le=512, title="Cutout", json_schema_extra=LATE)
    """Side of a square that is blanked in each training image (DeVries, Taylor 2017); 0 for none."""


class DownloadedConfig(ImageConfig):
    """Settings of data sets that may be downloaded."""

    download: bool = Field(default=False, title="Download")
    """Download the files once if this machine does not have them; off never opens a connection."""


class OwnDataInfo(ConfigModel):
    """Classes, counts and shape of own files, as `ncengine.data.resolve_config` read them."""

    class_names: tuple[Annotated[str, Field(max_length=MAX_NAME_LENGTH)], ...] = Field(max_length=MAX_CLASSES)
    train_per_class: tuple[Annotated[int, Field(ge=1, le=10**9)], ...]
    test: int = Field(ge=0, le=10**12)
    shape: tuple[Annotated[int, Field(ge=1, le=10**7)], ...] = Field(min_length=1, max_length=3)

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        """Raise ValueError if class names and counts have different lengths."""
        if len(self.class_names) != len(self.train_per_class):
            raise ValueError(
                f"{len(self.class_names)} class names must have as many counts, got {self.train_per_class}"
            )
        return self


class OwnDataConfig(ImageConfig):
    """Settings of own files."""

    path: str = Field(default="", max_length=4096, title="Path")
    """Path of the data on the machine that trains, in a folder that the operator allows."""
    test_share: float = Field(default=0.2, gt=0, lt=1, title="Test share")
    """Share of each class held out for testing if the data has no test part."""
    found: OwnDataInfo | None = Field(default=None, json_schema_extra={"hidden": True})
    """Classes, counts and shape of the data; filled in when a run is launched."""

    @property
    def is_resolved(self) -> bool:
        """Whether the files have been read."""
        return self.found is not None

    def inspect(self) -> OwnDataInfo:
        """Read classes, counts and shape; raises ValueError for files that are not a data set."""
        raise NotImplementedError(f"{type(self).__name__} must inspect its files")

    def info(self) -> DatasetInfo:
        """Return what `inspect` found; raises ValueError if the config is not resolved."""
        found = self.found
        if found is None:
            raise ValueError(
                f"the files of data.path={self.path!r} have not been read: call ncengine.data.resolve_config(config) "
                "first"
            )
        channels = found.shape[0] if len(found.shape) == 3 else 0
        colour = channels == 3
        return DatasetInfo(
            title=self.path,
            train=sum(found.train_per_class),
            test=found.test,
            shape=found.shape,
            class_names=found.class_names,
            train_per_class=found.train_per_class,
            mean=(0.485, 0.456, 0.406) if colour else (0.5,) * channels,
            std=(0.229, 0.224, 0.225) if colour else (0.5,) * channels,
            source="one's own files",
        )


DATASETS = ConfigRegistry(
    "collapse_lab.datasets",
    DatasetConfig,
    "ncengine.data.embedded:FashionMnistMini",
    "ncengine.data.embedded:Digits",
    "ncengine.data.public_datasets_config:Mnist",
    "ncengine.data.public_datasets_config:FashionMnist",
    "ncengine.data.public_datasets_config:Kmnist",
    "ncengine.data.public_datasets_config:Emnist",
    "ncengine.data.public_datasets_config:Svhn",
    "ncengine.data.public_datasets_config:Cifar10",
    "ncengine.data.public_datasets_config:Cifar100",
    "ncengine.data.public_datasets_config:Stl10",
    "ncengine.data.public_datasets_config:TinyImageNet",
    "ncengine.data.own_files_config:ImageNet",
    "ncengine.data.own_files_config:ImageFolder",
    "ncengine.data.own_files_config:Arrays",
    "ncengine.data.generated:Synthetic",
    "ncengine.data.generated:Ufm",
)
"""All data sets by name."""


def ood_names() -> tuple[str, ...]:
    """Return the data sets that may serve as out-of-distribution data."""
    return tuple(name for name, data in DATASETS.items() if data.serves_as_ood)


def is_own_data(name: str) -> bool:
    """Return whether a data set of that name consists of own files, at a path."""
    return name in DATASETS and issubclass(DATASETS[name], OwnDataConfig)
