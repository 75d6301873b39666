"""Out-of-distribution data for NC5: another data set in the shape and normalisation of the run's own.

Images are scaled to the run's size; grey ones get three channels, colour ones become grey (ITU-R BT.601 weights). The
samples are those of the test part, or of the training part if there is none; of the run's own data set, those of the
classes that are left out. At most `MAX_OOD_SAMPLES` are drawn, from the seed.
"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ncengine.config import RunConfig
from ncengine.data.image_folder import read_images
from ncengine.data.paths import DataPaths
from ncengine.data.raw_dataset import ImageFiles, Samples
from ncengine.data.resolve import ood_dataset
from ncengine.data.split import Split, TensorSource
from ncengine.events import DataProgressed, LogLine

MAX_OOD_SAMPLES = 10_000
GREY_WEIGHTS = (0.299, 0.587, 0.114)
CHUNK = 1000


def load_ood(
    config: RunConfig, device: torch.device, data_paths: DataPaths
) -> Generator[DataProgressed | LogLine, None, Split | None]:
    """Return the out-of-distribution data as a split with all labels 0, or None if the config has none.

    Raises as `DatasetConfig.load` does, and ValueError for data that are not images.
    """
    other = ood_dataset(config)
    if other is None:
        return None
    raw = yield from other.load(config.seed, data_paths)
    samples, labels = (raw.test, raw.test_labels) if len(raw.test_labels) else (raw.train, raw.train_labels)
    rows = np.arange(len(labels))
    if other == config.data:
        rows = np.flatnonzero(~np.isin(labels, config.labels))
    if len(rows) > MAX_OOD_SAMPLES:
        rows = np.sort(np.random.default_rng([config.seed, 2]).permutation(rows)[:MAX_OOD_SAMPLES])
    if not len(rows):
        raise ValueError(f"measure.outside={config.measure.outside} has no samples")
    info = config.data.info()
    images = to_shape(image_bytes(samples[rows]), info.shape)
    labels_N = torch.zeros(len(images), dtype=torch.int64, device=device)
    return Split(TensorSource(images.to(device)), labels_N, mean=info.mean, std=info.std)


def image_bytes(samples: Samples) -> npt.NDArray[np.uint8]:
    """Return images (N, H, W, C) as uint8; raises ValueError for samples that are not images."""
    if isinstance(samples, ImageFiles):
        images, readable, _ = read_images(samples, np.arange(len(samples)))
        found = images[readable]
        if not len(found):
            raise ValueError("measure.outside_path holds no image that could be read")
    else:
        found = samples
    if found.dtype != np.uint8 or found.ndim not in (3, 4):
        raise ValueError(
            f"measure.outside must be images (N, H, W) or (N, H, W, C) of bytes, got {found.shape} of {found.dtype}"
        )
    return found[..., None] if found.ndim == 3 else found


def to_shape(images_NHWC: npt.NDArray[np.uint8], shape: tuple[int, ...]) -> Tensor:
    """Scale and convert images to uint8 (N, H', W', C') of a shape (C', H', W')."""
    channels, height, width = shape
    done = []
    for part in torch.split(torch.from_numpy(np.ascontiguousarray(images_NHWC)), CHUNK):
        pixels = part.permute(0, 3, 1, 2).float()
        if pixels.shape[1] == 3 and channels == 1:
            pixels = (pixels * torch.tensor(GREY_WEIGHTS)[:, None, None]).sum(1, keepdim=True)
        elif pixels.shape[1] == 1 and channels == 3:
            pixels = pixels.expand(-1, 3, -1, -1)
        elif pixels.shape[1] != channels:
            raise ValueError(f"measure.outside must have 1, 3 or {channels} channels, got {pixels.shape[1]}")
        if pixels.shape[2:] != (height, width):
            pixels = torch.nn.functional.interpolate(pixels, (height, width), mode="bilinear", antialias=True)
        done.append(pixels.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous())
    return torch.cat(done)
