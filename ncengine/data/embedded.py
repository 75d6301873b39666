"""Data sets that are shipped with the engine: a tenth of Fashion-MNIST, and handwritten digits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ncengine.data.registry import DatasetInfo, ImageConfig

if TYPE_CHECKING:
    import numpy.typing as npt

    from ncengine.data.paths import DataPaths
    from ncengine.data.raw_dataset import LoadResult

FASHION_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
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
        from ncengine.data.raw_dataset import RawDataset

        yield from ()
        train, train_labels, test, test_labels = _stored("fashion_mnist_mini.npz", *FASHION_ARRAYS)
        return RawDataset(train, train_labels.astype("int64"), test, test_labels.astype("int64"))


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
        import numpy as np

        from ncengine.data.raw_dataset import RawDataset

        yield from ()
        stored, labels = _stored("digits.npz", "images", "labels")
        images = np.round(stored * (255 / 16)).astype(np.uint8)
        labels = labels.astype(np.int64)
        # One list without a split; every fifth image of each class is for testing.
        is_test = np.zeros(len(labels), dtype=bool)
        for digit in range(10):
            is_test[np.flatnonzero(labels == digit)[4::5]] = True
        return RawDataset(images[~is_test], labels[~is_test], images[is_test], labels[is_test])


def _stored(file: str, *names: str) -> list[npt.NDArray[Any]]:
    """Return arrays of a file beside this module."""
    import numpy as np

    with np.load(Path(__file__).with_name(file), allow_pickle=False) as arrays:
        return [arrays[name] for name in names]
