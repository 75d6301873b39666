"""A split on the training device: batches of samples and labels, in memory or read by worker processes.

Data that fits lives as one tensor on the training device, images as uint8 (N, H, W, C). What does not fit is read by
processes beside the training, each a whole batch at a time; random changes and normalisation are the same tensor
operations for both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ncengine.data.augment import Augmentation, augment, draw_generator, normalise
from ncengine.data.image_folder import read_images, require_readable
from ncengine.data.raw_dataset import ImageFiles

NO_AUGMENTATION = Augmentation()


class SampleSource(Protocol):
    """Where samples come from: for each list of rows, the samples and which of them could be read (None: all)."""

    def batches(self, rows: list[Tensor]) -> Iterator[tuple[Tensor, Tensor | None]]: ...

    def newly_unreadable(self) -> list[str]:
        """Return what could not be read, and why, since this was last asked."""
        ...


@dataclass(frozen=True)
class InMemory:
    """Samples as one tensor on the training device."""

    samples: Tensor

    def batches(self, rows: list[Tensor]) -> Iterator[tuple[Tensor, Tensor | None]]:
        for chosen in rows:
            yield self.samples.index_select(0, chosen), None

    def newly_unreadable(self) -> list[str]:
        return []


class FromFiles:
    """Image files read by worker processes, in order; a file that cannot be read is left out of its batch."""

    def __init__(self, files: ImageFiles, device: torch.device) -> None:
        self._files, self._device = files, device
        self._unreadable: dict[str, None] = {}
        self._told = 0

    def batches(self, rows: list[Tensor]) -> Iterator[tuple[Tensor, Tensor | None]]:
        loader: torch.utils.data.DataLoader[Any] = torch.utils.data.DataLoader(
            _Batches(self._files, [chosen.cpu().numpy() for chosen in rows]),
            batch_size=None,
            num_workers=min(self._files.workers, len(rows)),
            pin_memory=self._device.type == "cuda",
            # Each pass draws a seed for its processes; from torch's own random state it would move what networks draw.
            generator=torch.Generator(),
        )
        for images, readable, reasons in loader:
            self._unreadable |= dict.fromkeys(reasons)
            require_readable(list(self._unreadable), len(self._files))
            kept = None if bool(readable.all()) else readable.to(self._device)
            yield images.to(self._device, non_blocking=True), kept

    def newly_unreadable(self) -> list[str]:
        told, self._told = self._told, len(self._unreadable)
        return list(self._unreadable)[told:]


class _Batches(torch.utils.data.Dataset[Any]):
    """Whole batches by number, for the worker processes."""

    def __init__(self, files: ImageFiles, rows: list[Any]) -> None:
        self._files, self._rows = files, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, list[str]]:
        images, readable, reasons = read_images(self._files, self._rows[index])
        return torch.from_numpy(images), torch.from_numpy(readable), reasons


@dataclass(frozen=True)
class Split:
    """One split: its source, its labels int64 (N) as 0 … K−1, and the true ones where labels were made noisy."""

    source: SampleSource
    labels: Tensor
    true_labels: Tensor | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    augmentation: Augmentation = NO_AUGMENTATION

    def __len__(self) -> int:
        return len(self.labels)

    def training(
        self, order: Tensor, batch_size: int, *, seed: int, epoch: int, first: int, steps: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the samples and labels of steps `first` … `steps` − 1 of an epoch, randomly changed."""
        rows = [order[step * batch_size : (step + 1) * batch_size] for step in range(first, steps)]
        for step, (chosen, (samples, kept)) in enumerate(
            zip(rows, self.source.batches(rows), strict=True), start=first
        ):
            if self.augmentation:
                samples = augment(samples, self.augmentation, draw_generator(seed, epoch, step))
            yield self._finished(samples, self.labels[chosen], kept)

    def evaluation(self, rows: Tensor, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield samples, as they are, and the numbers of their rows."""
        chunks = list(torch.split(rows, batch_size))
        for chosen, (samples, kept) in zip(chunks, self.source.batches(chunks), strict=True):
            yield self._finished(samples, chosen, kept)

    def untouched(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return samples as their source has them, images uint8 (N, H, W, C), and the numbers of their rows."""
        ((samples, kept),) = self.source.batches([rows])
        return (samples, rows) if kept is None else (samples[kept], rows[kept])

    def _finished(self, samples: Tensor, beside: Tensor, kept: Tensor | None) -> tuple[Tensor, Tensor]:
        if kept is not None:
            samples, beside = samples[kept], beside[kept]
        return normalise(samples, self.mean, self.std) if samples.dtype == torch.uint8 else samples, beside

    def all_rows(self) -> Tensor:
        """Return the numbers of all rows, in order."""
        return torch.arange(len(self), device=self.labels.device)


def make_source(samples: Any, device: torch.device) -> SampleSource:
    """Return the source of raw samples: files stay files, arrays go to the device, grey images with a channel axis."""
    if isinstance(samples, ImageFiles):
        return FromFiles(samples, device)
    array = np.require(samples, requirements=["C", "W"])  # torch warns of what it could not write to
    if array.dtype == np.uint8 and array.ndim == 3:
        array = array[..., None]
    return InMemory(torch.from_numpy(array).to(device))
