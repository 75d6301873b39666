"""What every source of data gives: samples and labels of both splits, before anything is chosen or normalised."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ncengine.events import DataProgressed, LogLine

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ImageFiles:
    """Image files that are read when they are needed: paths (N), read as `side` × `side` pixels, grey or RGB."""

    paths: npt.NDArray[np.str_]
    side: int
    grey: bool
    workers: int

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, rows: npt.NDArray[Any]) -> ImageFiles:
        return ImageFiles(self.paths[rows], self.side, self.grey, self.workers)


Samples = npt.NDArray[Any] | ImageFiles
"""uint8 (N, H, W) or (N, H, W, C) images, float32 (N, d) vectors, int64 (N) numbers of free features, or files."""


@dataclass(frozen=True)
class RawDataset:
    """Both splits of a data set with its own labels."""

    train: Samples
    train_labels: Labels
    test: Samples
    test_labels: Labels


LoadResult = Generator[DataProgressed | LogLine, None, RawDataset]
"""A source says how far it is, and returns a RawDataset."""


def require(path: Path | None, name: str) -> Path:
    """Return the directory for downloaded sets; raises ValueError where none was given."""
    if path is None:
        raise ValueError(f"the data set {name} needs a directory: pass ncengine.DataPaths(directory=…) to run")
    return path
