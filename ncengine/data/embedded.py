"""Data sets that are shipped with the engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ncengine.data.raw_dataset import RawDataset


def fashion_mnist_mini() -> RawDataset:
    """Return 500 training and 100 test images of each class of Fashion-MNIST."""
    with np.load(Path(__file__).with_name("fashion_mnist_mini.npz"), allow_pickle=False) as stored:
        return RawDataset(
            stored["train_images"],
            stored["train_labels"].astype(np.int64),
            stored["test_images"],
            stored["test_labels"].astype(np.int64),
        )


def digits() -> RawDataset:
    """Return the digits of scikit-learn, scaled from 0 … 16 to 0 … 255."""
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as stored:
        images = np.round(stored["images"] * (255 / 16)).astype(np.uint8)
        labels = stored["labels"].astype(np.int64)
    # One list without a split; every fifth image of each class is for testing.
    is_test = np.zeros(len(labels), dtype=bool)
    for digit in range(10):
        is_test[np.flatnonzero(labels == digit)[4::5]] = True
    return RawDataset(images[~is_test], labels[~is_test], images[is_test], labels[is_test])
