"""From a config to its two splits on the training device: source, class subset, samples per class, long tail, noise."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from ncengine.config import RunConfig
from ncengine.config.data import DataConfig
from ncengine.data import arrays, image_folder, public_datasets, synthetic
from ncengine.data.augment import Augmentation
from ncengine.data.paths import DataPaths
from ncengine.data.raw_dataset import Labels, LoadResult, RawDataset, Samples
from ncengine.data.split import Split, make_source
from ncengine.events import DataProgressed, LogLine

Splits = Generator[DataProgressed | LogLine, None, tuple[Split, Split]]


def _fashion_mini() -> RawDataset:
    with np.load(Path(__file__).with_name("fashion_mnist_mini.npz"), allow_pickle=False) as stored:
        return RawDataset(
            stored["train_images"],
            stored["train_labels"].astype(np.int64),
            stored["test_images"],
            stored["test_labels"].astype(np.int64),
        )


def _digits() -> RawDataset:
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as stored:
        images = np.round(stored["images"] * (255 / 16)).astype(np.uint8)
        labels = stored["labels"].astype(np.int64)
    # One list without a split; every fifth image of each class is for testing.
    is_test = np.zeros(len(labels), dtype=bool)
    for digit in range(10):
        is_test[np.flatnonzero(labels == digit)[4::5]] = True
    return RawDataset(images[~is_test], labels[~is_test], images[is_test], labels[is_test])


EMBEDDED: dict[str, Callable[[], RawDataset]] = {"fashion-mnist-mini": _fashion_mini, "digits": _digits}
"""Data sets that are shipped with the engine."""


def load_raw(data: DataConfig, seed: int, data_paths: DataPaths) -> LoadResult:
    """Return the data set itself."""
    match data.name:
        case "fashion-mnist-mini" | "digits" as name:
            return EMBEDDED[name]()
        case "synthetic":
            return synthetic.synthetic(data, seed)
        case "ufm":
            return synthetic.ufm(data)
        case "image-folder" | "imagenet":
            return (yield from image_folder.load(data, data_paths))
        case "arrays":
            return (yield from arrays.load(data, data_paths))
        case name:
            return (yield from public_datasets.READERS[name](data, data_paths))


def load(config: RunConfig, device: torch.device, data_paths: DataPaths) -> Splits:
    """Return the training and test splits of a settled config, on `device`; says how far it is meanwhile.

    Raises FileNotFoundError where files are missing and may not be downloaded, OSError where they could not be, and
    ValueError where what is there is damaged or does not fit the config.
    """
    raw = yield from load_raw(config.data, config.seed, data_paths)
    data, facts = config.data, config.dataset_info
    position = np.full(len(facts.class_names), -1, dtype=np.int64)
    position[list(config.labels)] = np.arange(config.classes)
    for name, labels in (("training", raw.train_labels), ("test", raw.test_labels)):
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(position):
            raise ValueError(
                f"{name} labels must lie in 0 … {len(position) - 1}, got {int(labels.min())} … {int(labels.max())}"
            )
    generator = np.random.default_rng([config.seed, 1])
    samples, true_labels = _chosen(raw.train, position[raw.train_labels])
    rows = kept_rows(true_labels, config.train_per_class, generator)
    samples, true_labels = samples[rows], true_labels[rows]
    if data.name == "ufm":
        samples = np.arange(len(rows))  # features are numbered without gaps
    missing = sorted(set(range(config.classes)) - set(true_labels.tolist()))
    if missing:
        raise ValueError(f"classes {[config.class_names[label] for label in missing]} have no training sample")
    noisy = data.label_noise != "none"
    labels = true_labels
    if noisy:
        labels = noisy_labels(true_labels, config.classes, data.label_noise, data.noise_rate, generator)
    test_samples, test_labels = _chosen(raw.test, position[raw.test_labels])
    augmentation = Augmentation(
        crop_padding=getattr(data, "crop_padding", 0),
        flip=getattr(data, "flip", False),
        cutout=getattr(data, "cutout", 0),
    )
    train = Split(
        make_source(samples, device),
        torch.from_numpy(labels).to(device),
        torch.from_numpy(true_labels).to(device) if noisy else None,
        facts.mean,
        facts.std,
        augmentation,
    )
    test = Split(
        make_source(test_samples, device),
        torch.from_numpy(test_labels).to(device),
        mean=facts.mean,
        std=facts.std,
    )
    return train, test


def _chosen(samples: Samples, labels: Labels) -> tuple[Samples, Labels]:
    """Return the samples whose label takes part."""
    rows = np.flatnonzero(labels >= 0)
    return (samples, labels) if len(rows) == len(labels) else (samples[rows], labels[rows])


def kept_rows(labels: Labels, counts: tuple[int, ...], generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return, in order, as many rows of each class as `counts` says (all where that is more), drawn by `generator`."""
    kept = []
    for label, count in enumerate(counts):
        rows = np.flatnonzero(labels == label)
        kept.append(rows if count >= len(rows) else generator.permutation(rows)[:count])
    return np.sort(np.concatenate(kept))


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
