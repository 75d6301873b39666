"""Data sets as a config names them: embedded, downloadable, generated, and one's own files.

`ncengine.data.dataset_info` holds what is known of a data set without opening it. Own files have to be read first:
`ncengine.data.resolve_config` writes what it found into `found`, so that a stored config describes its data completely.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ncengine.config.base import LATE, ConfigModel, applies_if

MAX_CLASSES, MAX_NAME = 25_000, 500
"""Of any data: classes, and characters of a class's name."""


class _Data(ConfigModel):
    imbalance: Literal["none", "exponential", "step"] = Field(default="none", title="Long tail", json_schema_extra=LATE)
    """Fewer training samples in later classes: exponential falls from class to class, step in the second half."""
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
    """Wrong training labels: symmetric draws any other class, pairwise the next one. The true ones are kept."""
    noise_rate: float = Field(
        default=0.2,
        ge=0,
        le=1,
        title="Noise rate",
        json_schema_extra=LATE | applies_if(label_noise=("symmetric", "pairwise")),
    )
    """Share of the training labels that are wrong."""


class _Labelled(_Data):
    classes: Annotated[tuple[int, ...], Field(max_length=MAX_CLASSES)] | None = Field(
        default=None, title="Classes", json_schema_extra=LATE
    )
    """Labels to keep, in this order; empty keeps all. Four classes make an exact tetrahedron."""
    per_class: int | None = Field(default=None, ge=1, le=10_000_000, title="Samples per class", json_schema_extra=LATE)
    """At most this many training samples a class, drawn by the seed; empty takes all."""


class _Images(_Labelled):
    crop_padding: int = Field(default=0, ge=0, le=64, title="Random crop, padding", json_schema_extra=LATE)
    """Pixels of zeros around a training image before a crop of its own size; 0 leaves it whole."""
    flip: bool = Field(default=False, title="Random flip", json_schema_extra=LATE)
    """Mirror half of the training images."""
    cutout: int = Field(default=0, ge=0, le=512, title="Cutout", json_schema_extra=LATE)
    """Side of a square that is blanked in each training image (DeVries, Taylor 2017); 0 blanks nothing."""


class FashionMnistMini(_Images):
    """Fashion-MNIST, 500 training and 100 test images a class, 28×28 grey; ships with the engine."""

    name: Literal["fashion-mnist-mini"] = "fashion-mnist-mini"


class Digits(_Images):
    """Handwritten digits, 1,442 training and 355 test images, 8×8 grey; shipped with the engine."""

    name: Literal["digits"] = "digits"


class _Downloaded(_Images):
    download: bool = Field(default=False, title="Download")
    """Fetch the files once if this machine does not have them; off never opens a connection."""


class Mnist(_Downloaded):
    """MNIST, 60,000 training and 10,000 test images of handwritten digits, 28×28 grey."""

    name: Literal["mnist"] = "mnist"


class FashionMnist(_Downloaded):
    """Fashion-MNIST, 60,000 training and 10,000 test images of clothes, 28×28 grey."""

    name: Literal["fashion-mnist"] = "fashion-mnist"


class Kmnist(_Downloaded):
    """Kuzushiji-MNIST, 60,000 training and 10,000 test images of cursive Japanese, 28×28 grey."""

    name: Literal["kmnist"] = "kmnist"


class Emnist(_Downloaded):
    """EMNIST, handwritten letters and digits, 28×28 grey."""

    name: Literal["emnist"] = "emnist"
    part: Literal["balanced", "letters", "digits"] = Field(default="balanced", title="Part")
    """balanced: 47 classes; letters: 26; digits: 10."""


class Svhn(_Downloaded):
    """Street View House Numbers, 73,257 training and 26,032 test images, 32×32 colour."""

    name: Literal["svhn"] = "svhn"


class Cifar10(_Downloaded):
    """CIFAR-10, 50,000 training and 10,000 test images, 32×32 colour."""

    name: Literal["cifar10"] = "cifar10"


class Cifar100(_Downloaded):
    """CIFAR-100, 50,000 training and 10,000 test images in 100 classes, 32×32 colour."""

    name: Literal["cifar100"] = "cifar100"


class Stl10(_Downloaded):
    """STL-10, 5,000 training and 8,000 test images, 96×96 colour; the download is 2.6 GB."""

    name: Literal["stl10"] = "stl10"


class TinyImageNet(_Downloaded):
    """Tiny-ImageNet, 100,000 training and 10,000 validation images in 200 classes, 64×64 colour."""

    name: Literal["tiny-imagenet"] = "tiny-imagenet"


class Synthetic(_Data):
    """A mixture of Gaussians: K random centres and unit variance around each."""

    name: Literal["synthetic"] = "synthetic"
    class_count: int = Field(default=10, ge=2, le=10_000, title="Classes K")
    """Number of Gaussians."""
    dimension: int = Field(default=32, ge=1, le=100_000, title="Dimension")
    """Dimension of a sample."""
    separation: float = Field(default=6.0, ge=0, le=1000, title="Separation")
    """Length of each centre, in standard deviations of the noise."""
    per_class: int = Field(default=200, ge=2, le=1_000_000, title="Samples per class")
    """Training samples a class; a fifth as many for testing."""


class Ufm(_Data):
    """The unconstrained-features model: features are free parameters (needs the backbone free-features)."""

    name: Literal["ufm"] = "ufm"
    class_count: int = Field(default=10, ge=2, le=10_000, title="Classes K")
    """Number of classes."""
    per_class: int = Field(default=50, ge=1, le=100_000, title="Features per class")
    """Free features in each class; there is no test split."""


class OwnDataInfo(ConfigModel):
    """What was found when somebody looked at one's own files."""

    class_names: tuple[Annotated[str, Field(max_length=MAX_NAME)], ...] = Field(max_length=MAX_CLASSES)
    train_per_class: tuple[Annotated[int, Field(ge=1, le=10**9)], ...]
    test: int = Field(ge=0, le=10**12)
    shape: tuple[Annotated[int, Field(ge=1, le=10**7)], ...] = Field(min_length=1, max_length=3)

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        """Raise ValueError where classes are counted that have no name, or have one and are not counted."""
        if len(self.class_names) != len(self.train_per_class):
            raise ValueError(
                f"{len(self.class_names)} class names must have as many counts, got {self.train_per_class}"
            )
        return self


class _Own(_Images):
    path: str = Field(default="", max_length=4096, title="Path")
    """Where the data lies on the machine that trains, under a folder that the operator allows."""
    test_share: float = Field(default=0.2, gt=0, lt=1, title="Test share")
    """Share of each class held out for testing where the data has no test part of its own."""
    found: OwnDataInfo | None = Field(default=None, json_schema_extra={"hidden": True})
    """What the data was found to be; filled in when a run is launched."""


class FolderConfig(_Own):
    """What image-folder and imagenet share."""

    image_size: int = Field(default=32, ge=4, le=1024, title="Image size")
    """Side in pixels; images are scaled by their shorter side and cut square in the middle."""
    grey: bool = Field(default=False, title="Grey")
    """One channel instead of three."""
    storage: Literal["auto", "memory", "workers"] = Field(default="auto", title="Storage")
    """memory keeps all images there; workers read them again each epoch; auto takes memory up to 4 GiB."""
    workers: int = Field(
        default=2, ge=1, le=64, title="Reading processes", json_schema_extra=applies_if(storage=("auto", "workers"))
    )
    """Processes that read images beside the training, where they are not kept in memory."""


class ImageFolder(FolderConfig):
    """One's own images: a folder a class, or train/ and test/ (or val/) with a folder a class each."""

    name: Literal["image-folder"] = "image-folder"


class ImageNet(FolderConfig):
    """ImageNet from its folders train/ and val/, one folder a class."""

    name: Literal["imagenet"] = "imagenet"
    image_size: int = Field(default=224, ge=4, le=1024, title="Image size")
    """Side in pixels; images are scaled by their shorter side and cut square in the middle."""


class Arrays(_Own):
    """One's own arrays: .npz, .safetensors or a folder of .npy with images and labels."""

    name: Literal["arrays"] = "arrays"


DataConfig = Annotated[
    FashionMnistMini
    | Digits
    | Mnist
    | FashionMnist
    | Kmnist
    | Emnist
    | Svhn
    | Cifar10
    | Cifar100
    | Stl10
    | TinyImageNet
    | ImageNet
    | ImageFolder
    | Arrays
    | Synthetic
    | Ufm,
    Field(discriminator="name", title="Data set"),
]
OwnData = ImageFolder | ImageNet | Arrays
