"""Configs of the public data sets that may be downloaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ncengine.data.embedded import DIGIT_NAMES, FASHION_NAMES
from ncengine.data.registry import DatasetInfo, DownloadedConfig

if TYPE_CHECKING:
    from ncengine.data.paths import DataPaths
    from ncengine.data.raw_dataset import LoadResult

GREY_28, COLOUR_32 = (1, 28, 28), (3, 32, 32)
CIFAR10_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
STL10_NAMES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
KMNIST_NAMES = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
LETTERS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_CIFAR100 = (
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can "
    "castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin "
    "elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard "
    "lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear "
    "pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark "
    "shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone "
    "television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm"
)
CIFAR100_NAMES = tuple(name.replace("_", " ") for name in _CIFAR100.split(" "))


class IdxConfig(DownloadedConfig):
    """A data set in four gzipped idx files."""

    def load(self, seed: int, data_paths: DataPaths) -> LoadResult:
        """Return the images and labels of both splits."""
        from ncengine.data import public_datasets

        return (yield from public_datasets.load_idx(self, data_paths))


class CifarConfig(DownloadedConfig):
    """CIFAR-10 or CIFAR-100, in the publisher's binary version."""

    def load(self, seed: int, data_paths: DataPaths) -> LoadResult:
        """Return the images and labels of both splits."""
        from ncengine.data import public_datasets

        return (yield from public_datasets.load_cifar(self, data_paths))


class Mnist(IdxConfig):
    """MNIST, 60,000 training and 10,000 test images of handwritten digits, 28×28 grey."""

    name: Literal["mnist"] = "mnist"

    def info(self) -> DatasetInfo:
        """Return sizes, shape and class names."""
        return DatasetInfo(
            title="MNIST, handwritten digits",
            train=60_000,
            test=10_000,
            shape=GREY_28,
            class_names=DIGIT_NAMES,
            train_per_class=(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
            mean=(0.1307,),
            std=(0.3081,),
            source="LeCun, Bottou, Bengio, Haffner 1998",
        )


class FashionMnist(IdxConfig):
    """Fashion-MNIST, 60,000 training and 10,000 test images of clothes, 28×28 grey."""

    name: Literal["fashion-mnist"] = "fashion-mnist"

    def info(self) -> DatasetInfo:
        """Return sizes, shape and class names."""
        return DatasetInfo(
            title="Fashion-MNIST",
            train=60_000,
            test=10_000,
            shape=GREY_28,
            class_names=FASHION_NAMES,
            train_per_class=(6000,) * 10,
            mean=(0.2860,),
            std=(0.3530,),
            source="Xiao, Rasul, Vollgraf 2017 (MIT licence)",
        )


class Kmnist(IdxConfig):
    """Kuzushiji-MNIST, 60,000 training and 10,000 test images of cursive Japanese, 28×28 grey."""

    name: Literal["kmnist"] = "kmnist"

    def info(self) -> DatasetInfo:
        """Return sizes, shape and class names."""
        return DatasetInfo(
            title="Kuzushiji-MNIST",
            train=60_000,
            test=10_000,
            shape=GREY_28,
            class_names=KMNIST_NAMES,
            train_per_class=(6000,) * 10,
            mean=(0.1918,),
            std=(0.3483,),
            source="Clanuwat et al. 2018 (CC BY-SA 4.0)",
        )


class Emnist(DownloadedConfig):
    """EMNIST, handwritten letters and digits, 28×28 grey."""

    name: Literal["emnist"] = "emnist"
    part: Literal["balanced", "letters", "digits"] = Field(default="balanced", title="Part")
    """balanced: 47 classes; letters: 26; digits: 10."""

    def info(self) -> DatasetInfo:
        """Return sizes, shape and class names."""
        names, train, test = {
            "balanced": ((*DIGIT_NAMES, *LETTERS, *"abdefghnqrt"), 2400, 400),
            "letters": (LETTERS, 4800, 800),
            "digits": (DIGIT_NAMES, 24_000, 4000),
        }[self.part]
        return DatasetInfo(
            title=f"EMNIST, {self.part}",
            train=train * len(names),
            test=test * len(names),
            shape=GREY_28,
            class_names=tuple(names),
            train_per_class=(train,) * len(names),
            mean=(0.1751,),
            std=(0.3332,),
            source="Cohen et al. 2017",
        )

    def load(self, seed: int, data_paths: DataPaths) -> LoadResult:
        """Return the images and labels of both splits."""
        from ncengine.data import public_datasets

        return (yield from public_datasets.load_emnist(self, data_paths))


class Svhn(DownloadedConfig):
    """Street View House Numbers, 73,257 training and 26,032 test images, 32×32 colour."""

    name: Literal["svhn"] = "svhn"

    def info(self) -> DatasetInfo:
        """Return sizes, shape and class names."""
        return DatasetInfo(
            title="Street View House Numbers",
            train=73_257,
            test=26_032,
            shape=COLOUR_32,
            class_names=DIGIT_NAMES,
            train_per_class=(4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659),
            mean=(0.4377, 0.4438, 0.4728),
            std=(0.1980, 0.2010, 0.1970),
            source="Netzer et al. 2011 (non-commercial use)",
        )

    def load(self, seed: int, data_paths: DataPaths) -> LoadResult:
        """Return the images and labels of both splits."""
        from ncengine.data import public_datasets

        return (yield from public_datasets.load_svhn(self, data_paths))


class Cifar10(CifarConfig):
    """CIFAR-10, 50,000 training and 10,000 test images, 32×32 colour."""

    name: Literal["cifar10"] = "cifar10"

    def info(self) -> DatasetInfo:
        """Return sizes, shape and class names."""
        return DatasetInfo(
            title="CIFAR-10",
            train=50_000,
            test=10_000,
            shape=COLOUR_32,
            class_names=CIFAR10_NAMES,
            train_per_class=(5000,) * 10,
            mean=(0.4914, 0.4822, 0.4465),
            std=(0.2023, 0.1994, 0.2010),
            source="Krizhevsky 2009",
        )


class Cifar100(CifarConfig):
    """CIFAR-100, 50,000 training and 10,000 test images in 100 classes, 32×32 colour."""

    name: Literal["cifar100"] = "cifar100"

    def info(self) -> DatasetInfo:
        """Return sizes, shape and class names."""
        return DatasetInfo(
            title="CIFAR-100",
            train=50_000,
            test=10_000,
            shape=COLOUR_32,
            class_names=CIFAR100_NAMES,
            train_per_class=(500,) * 100,
            mean=(0.5071, 0.4865, 0.4409),
            std=(0.2673, 0.2564, 0.2762),
            source="Krizhevsky 2009",
        )


class Stl10(DownloadedConfig):
    """STL-10, 5,000 training and 8,000 test images, 96×96 colour; the download is 2.6 GB."""

    name: Literal["stl10"] = "stl10"

    def info(self) -> DatasetInfo:
        """Return sizes, shape and class names."""
        return DatasetInfo(
            title="STL-10",
            train=5000,
            test=8000,
            shape=(3, 96, 96),
            class_names=STL10_NAMES,
            train_per_class=(500,) * 10,
            mean=(0.4467, 0.4398, 0.4066),
            std=(0.2603, 0.2566, 0.2713),
            source="Coates, Lee, Ng 2011",
        )

    def load(self, seed: int, data_paths: DataPaths) -> LoadResult:
        """Return the images and labels of both splits."""
        from ncengine.data import public_datasets

        return (yield from public_datasets.load_stl10(self, data_paths))


class TinyImageNet(DownloadedConfig):
    """Tiny-ImageNet, 100,000 training and 10,000 validation images in 200 classes, 64×64 colour."""

    name: Literal["tiny-imagenet"] = "tiny-imagenet"

    def info(self) -> DatasetInfo:
        """Return sizes, shape and class names."""
        return DatasetInfo(
            title="Tiny-ImageNet",
            train=100_000,
            test=10_000,
            shape=(3, 64, 64),
            class_names=tuple(f"class {label}" for label in range(200)),
            train_per_class=(500,) * 200,
            mean=(0.4802, 0.4481, 0.3975),
            std=(0.2770, 0.2691, 0.2821),
            source="Le, Yang 2015, after ImageNet (non-commercial use)",
        )

    def load(self, seed: int, data_paths: DataPaths) -> LoadResult:
        """Return the images and labels of both splits."""
        from ncengine.data import public_datasets

        return (yield from public_datasets.load_tiny_imagenet(self, data_paths))
