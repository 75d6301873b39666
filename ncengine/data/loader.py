"""Load the two splits of a config: data set, class subset, samples per class, long tail, label noise."""

from __future__ import annotations

from collections.abc import Generator
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from ncengine.config import RunConfig
from ncengine.data.augment import Augmentation
from ncengine.data.paths import DataPaths
from ncengine.data.raw_dataset import Labels, Samples
from ncengine.data.registry import ImageConfig
from ncengine.data.split import Split, make_source
from ncengine.events import DataProgressed, LogLine

Splits = Generator[DataProgressed | LogLine, None, tuple[Split, Split]]


def load(config: RunConfig, device: torch.device, data_paths: DataPaths) -> Splits:
    """Yield progress, and return the training and test splits of a resolved config on `device`.

    Raises FileNotFoundError if files are missing and may not be downloaded, OSError if a download fails, and ValueError
    if files are damaged or do not fit the config.
    """
    raw = yield from config.data.load(config.seed, data_paths)
    data, info = config.data, config.dataset_info
    position = np.full(len(info.class_names), -1, dtype=np.int64)
    position[list(config.labels)] = np.arange(config.classes)
    for name, labels in (("training", raw.train_labels), ("test", raw.test_labels)):
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(position):
            raise ValueError(
                f"{name} labels must lie in 0 … {len(position) - 1}, got {int(labels.min())} … {int(labels.max())}"
            )
    generator = np.random.default_rng([config.seed, 1])
    samples, true_labels = _select_classes(raw.train, position[raw.train_labels])
    rows = draw_rows(true_labels, config.train_per_class, generator)
    samples, true_labels = samples[rows], true_labels[rows]
    if data.has_indices:
        samples = np.arange(len(rows))  # features are numbered without gaps
    missing = sorted(set(range(config.classes)) - set(true_labels.tolist()))
    if missing:
        raise ValueError(f"classes {[config.class_names[label] for label in missing]} have no training sample")
    noisy = data.label_noise != "none"
    labels = true_labels
    if noisy:
        labels = noisy_labels(true_labels, config.classes, data.label_noise, data.noise_rate, generator)
    test_samples, test_labels = _select_classes(raw.test, position[raw.test_labels])
    augmentation = Augmentation()
    if isinstance(data, ImageConfig):
        augmentation = Augmentation(crop_padding=data.crop_padding, flip=data.flip, cutout=data.cutout)
    train = Split(
        make_source(samples, device),
        torch.from_numpy(labels).to(device),
        torch.from_numpy(true_labels).to(device) if noisy else None,
        info.mean,
        info.std,
        augmentation,
    )
    test = Split(
        make_source(test_samples, device),
        torch.from_numpy(test_labels).to(device),
        mean=info.mean,
        std=info.std,
    )
    return train, test


def _select_classes(samples: Samples, labels: Labels) -> tuple[Samples, Labels]:
    """Return the samples of the classes in use, whose label is not negative."""
    rows = np.flatnonzero(labels >= 0)
    return (samples, labels) if len(rows) == len(labels) else (samples[rows], labels[rows])


def draw_rows(labels: Labels, counts: tuple[int, ...], generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw `counts` rows of each class (all if there are fewer), and return them in order."""
    drawn = []
    for label, count in enumerate(counts):
        rows = np.flatnonzero(labels == label)
        drawn.append(rows if count >= len(rows) else generator.permutation(rows)[:count])
    return np.sort(np.concatenate(drawn))


def noisy_labels(
    labels: Labels,
    classes: int,
    kind: Literal["none", "symmetric", "pairwise"],
    rate: float,
    generator: np.random.Generator,
) -> Labels:
    """Return labels of which a share `rate` is wrong: any other class (`symmetric`) or the next one (`pairwise`)."""
    found = labels.copy()
    rows = generator.permutation(len(labels))[: round(rate * len(labels))]
    shift = generator.integers(1, classes, size=len(rows)) if kind == "symmetric" else 1
    found[rows] = (labels[rows] + shift) % classes
    return found
