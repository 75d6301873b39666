"""Generated data: a mixture of Gaussians, and the indices of the unconstrained-features model's features.

x = s · u_c + ε,   u_c uniform on the unit sphere of R^d,   ε ~ N(0, I)
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ncengine.data.generated_config import Synthetic, Ufm
from ncengine.data.raw_dataset import Labels, RawDataset


def synthetic(data: Synthetic, seed: int) -> RawDataset:
    """Return K Gaussians of unit variance around centres of length `separation`, from the seed."""
    generator = np.random.default_rng(seed)
    centres_KD = generator.standard_normal((data.class_count, data.dimension))
    centres_KD *= data.separation / np.linalg.norm(centres_KD, axis=1, keepdims=True)
    parts: list[tuple[npt.NDArray[np.float32], Labels]] = []
    for each in (data.per_class, max(1, data.per_class // 5)):
        labels = np.repeat(np.arange(data.class_count, dtype=np.int64), each)
        noise = generator.standard_normal((len(labels), data.dimension))
        parts.append(((centres_KD[labels] + noise).astype(np.float32), labels))
    return RawDataset(*parts[0], *parts[1])


def ufm(data: Ufm) -> RawDataset:
    """Return the indices 0 … N−1 of the free features, class by class, without a test part."""
    labels = np.repeat(np.arange(data.class_count, dtype=np.int64), data.per_class)
    nothing = np.zeros(0, dtype=np.int64)
    return RawDataset(np.arange(len(labels), dtype=np.int64), labels, nothing, nothing)
