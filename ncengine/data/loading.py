"""Data sets in memory as uint8, normalised on the training device; batch orders with their own random numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ncengine.config import RunConfig

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """One split on the training device: images uint8 (N, C, H, W), labels int64 (N) as 0 … K−1."""

    images: Tensor
    labels: Tensor
    mean: float
    std: float

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, rows: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Return normalised float32 images (B, C, H, W) and labels (B)."""
        return self.images[rows].to(torch.float32).div_(255).sub_(self.mean).div_(self.std), self.labels[rows]


def _fashion_mini() -> tuple[Images, Labels, Images, Labels]:
    with np.load(Path(__file__).with_name("fashion_mnist_mini.npz"), allow_pickle=False) as stored:
        return (
            stored["train_images"],
            stored["train_labels"].astype(np.int64),
            stored["test_images"],
            stored["test_labels"].astype(np.int64),
        )


def _digits() -> tuple[Images, Labels, Images, Labels]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    labels = bunch.target.astype(np.int64)
    # scikit-learn gives one list; every fifth image of each class is for testing.
    is_test = np.zeros(len(labels), dtype=bool)
    for digit in range(10):
        is_test[np.flatnonzero(labels == digit)[4::5]] = True
    return images[~is_test], labels[~is_test], images[is_test], labels[is_test]


LOADERS: dict[str, Callable[[], tuple[Images, Labels, Images, Labels]]] = {
    "fashion-mnist-mini": _fashion_mini,
    "digits": _digits,
}


def load(config: RunConfig, device: torch.device) -> tuple[Split, Split]:
    """Return the training and test splits of the config's classes, on `device`."""
    train_images, train_labels, test_images, test_labels = LOADERS[config.data.name]()
    mean, std = config.facts.mean, config.facts.std

    def split(images: Images, labels: Labels) -> Split:
        position = np.full(len(config.facts.class_names), -1, dtype=np.int64)
        position[list(config.labels)] = np.arange(config.classes)
        mapped = position[labels]
        rows = mapped >= 0
        return Split(
            torch.from_numpy(images[rows])[:, None].to(device), torch.from_numpy(mapped[rows]).to(device), mean, std
        )

    return split(train_images, train_labels), split(test_images, test_labels)


def epoch_order(labels: Tensor, sampler: str, seed: int, epoch: int) -> Tensor:
    """Return a permutation of the samples for this epoch, from (seed, epoch) alone, so that a resumed run repeats it.

    `shuffled` is uniform. `stratified` shuffles within classes and deals the classes out evenly over the epoch, so that
    every batch holds each class in its share of the data.
    """
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    labels = labels.cpu()
    shuffled = torch.randperm(len(labels), generator=generator)
    if sampler == "shuffled":
        return shuffled
    ordered = shuffled[torch.sort(labels[shuffled], stable=True).indices]
    counts = torch.bincount(labels)
    rank = torch.cat([torch.arange(int(count)) for count in counts])
    jitter = torch.rand(len(labels), generator=generator)
    share = (rank + jitter) / counts[labels[ordered]]
    return ordered[share.argsort()]


def balanced_rows(labels: Tensor, count: int) -> Tensor:
    """Return up to `count` rows, the first ⌊count/K⌋ (at least one) of each class, in row order: always the same."""
    classes = int(labels.max()) + 1
    each = max(1, count // classes)
    rows = [torch.nonzero(labels == label).flatten()[:each] for label in range(classes)]
    return torch.cat(rows).sort().values
