"""Random crops, flips, cutout and normalisation of a whole batch: tensor operations, no image library.

All draws are functions of (seed, epoch, step in the epoch): a checkpoint needs no state of them, and every device gives
the same images. Images are uint8 (B, H, W, C) on the training device; results are float32 (B, C, H, W) in channels-last
memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

MULTIPLIER = 1_000_003
"""A prime, so that seeds of neighbouring runs, epochs and steps differ."""


@dataclass(frozen=True)
class Augmentation:
    """Random changes of a training image: padding of a random crop, flip, side of a blank square."""

    crop_padding: int = 0
    flip: bool = False
    cutout: int = 0

    def __bool__(self) -> bool:
        return bool(self.crop_padding or self.flip or self.cutout)


def draw_generator(seed: int, epoch: int, step: int = 0) -> torch.Generator:
    """Return a generator that depends on seed, epoch and step only."""
    return torch.Generator().manual_seed(((seed * MULTIPLIER + epoch) * MULTIPLIER + step) % 2**63)


def augment(images_BHWC: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    """Return images (B, H, W, C) of the same type, with random crops, flips and cutouts."""
    count, height, width, _ = images_BHWC.shape
    device = images_BHWC.device
    if augmentation.crop_padding or augmentation.flip:
        pad = augmentation.crop_padding
        offsets = torch.randint(0, 2 * pad + 1, (2, count, 1), generator=generator)
        flipped = torch.rand(count, 1, generator=generator) < (0.5 if augmentation.flip else 0.0)
        columns = torch.arange(width)
        columns_BW = torch.where(flipped, columns.flip(0), columns) + offsets[1]
        rows_BH = torch.arange(height) + offsets[0]
        if pad:
            images_BHWC = functional.pad(images_BHWC, (0, 0, pad, pad, pad, pad))
        images_BHWC = _select_pixels(images_BHWC, rows_BH.to(device), columns_BW.to(device))
    if augmentation.cutout:
        where = torch.rand(2, count, 1, generator=generator)
        inside_BH, inside_BW = (
            _inside(torch.arange(size) - (part * size).floor() + augmentation.cutout // 2, augmentation.cutout)
            for size, part in ((height, where[0]), (width, where[1]))
        )
        blank = (inside_BH[:, :, None] & inside_BW[:, None, :])[..., None]
        images_BHWC = images_BHWC.masked_fill(blank.to(device), 0)
    return images_BHWC


def _inside(position: Tensor, length: int) -> Tensor:
    return (position >= 0) & (position < length)


def _select_pixels(images_BHWC: Tensor, rows_BH: Tensor, columns_BW: Tensor) -> Tensor:
    """Return images[b, rows[b, i], columns[b, j]] for all b, i, j: one selection of pixels, each C bytes in a row."""
    count, height, width, channels = images_BHWC.shape
    first_B = torch.arange(count, device=images_BHWC.device) * height
    pixels = ((first_B[:, None] + rows_BH) * width)[:, :, None] + columns_BW[:, None, :]
    flat = images_BHWC.reshape(-1, channels).index_select(0, pixels.reshape(-1))
    return flat.view(count, rows_BH.shape[1], columns_BW.shape[1], channels)


def normalise(images_BHWC: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Return float32 (B, C, H, W), (x/255 − mean)/std by channel."""
    count, height, width, channels = images_BHWC.shape
    images = images_BHWC.to(torch.float32).view(count, height, width * channels).div_(255)
    # Channel values of a whole image row: subtracting three numbers at a time is ten times slower.
    mean_row, std_row = (torch.tensor(part * width, device=images.device) for part in (mean, std))
    return images.sub_(mean_row).div_(std_row).view(count, height, width, channels).permute(0, 3, 1, 2)
