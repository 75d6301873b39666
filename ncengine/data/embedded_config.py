"""Configs of the data sets that are shipped with the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ncengine.data.registry import DatasetInfo, ImageConfig

if TYPE_CHECKING:
    from ncengine.data.paths import DataPaths
    from ncengine.data.raw_dataset import LoadResult

DIGIT_NAMES = tuple("0123456789")
FASHION_NAMES = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Boot")


class FashionMnistMini(ImageConfig):
    """Fashion-MNIST, 500 training and 100 test images a class, 28×28 grey; ships with the engine."""

    name: Literal["fashion-mnist-mini"] = "fashion-mnist-mini"

    def info(self) -> DatasetInfo:
        """Return sizes, shape and class names."""
        return DatasetInfo(
            title="Fashion-MNIST, 500 training and 100 test images a class",
            train=5000,
            test=1000,
            shape=(1, 28, 28),
            class_names=FASHION_NAMES,
            train_per_class=(500,) * 10,
            mean=(0.287,),
            std=(0.354,),
            source="Xiao, Rasul, Vollgraf 2017 (MIT licence)",
        )

    def load(self, seed: int, data_paths: DataPaths) -> LoadResult:
        """Return the images and labels of both splits."""
        from ncengine.data import embedded

        yield from ()
        return embedded.fashion_mnist_mini()


class Digits(ImageConfig):
    """Handwritten digits, 1,442 training and 355 test images, 8×8 grey; shipped with the engine."""

    name: Literal["digits"] = "digits"

    def info(self) -> DatasetInfo:
        """Return sizes, shape and class names."""
        return DatasetInfo(
            title="Handwritten digits, 8×8 grey",
            train=1442,
            test=355,
            shape=(1, 8, 8),
            class_names=DIGIT_NAMES,
            train_per_class=(143, 146, 142, 147, 145, 146, 145, 144, 140, 144),
            mean=(0.305,),
            std=(0.376,),
            source="Alpaydin, Kaynak 1998 (CC BY 4.0)",
        )

    def load(self, seed: int, data_paths: DataPaths) -> LoadResult:
        """Return the images and labels of both splits."""
        from ncengine.data import embedded

        yield from ()
        return embedded.digits()
