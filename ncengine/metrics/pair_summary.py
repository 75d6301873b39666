"""K×K cosines: the whole matrix on request, and a summary of bounded size for any number of classes.

The summary is computed in tiles of pairs: quantiles from a histogram, the pairs of classes that are closest, and means
over blocks of neighbouring classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ncengine.geometry.views import block_size
from ncengine.metrics.pairs import PairStatistics, simplex_cosine
from ncengine.metrics.statistics import SplitStatistics, VectorSet
from ncengine.metrics.vectors import CentredVectors

HISTOGRAM_BINS = 20_000
"""Bins of the histogram of cosines over [−1, 1]: a quantile has an error of at most half a bin, 5e-5."""
QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)


@dataclass(frozen=True, eq=False)
class PairSummary:
    """Summary of K'² cosines.

    `mean_angle_gap_deg` is the mean over pairs i ≠ j of |angle − arccos(−1/(K'−1))|. `quantiles` maps shares to
    cosines over these pairs (0 and 1 exactly, the rest up to `quantile_error`); `worst` are the pairs of classes (of
    all K, i < j) with the largest cosines, with these, descending; `block_means` (b, b) are mean cosines between
    different classes of blocks of `block` neighbouring classes, NaN if a block has no other class.
    """

    mean_angle_gap_deg: float
    quantiles: dict[float, float]
    quantile_error: float
    worst: tuple[tuple[int, int, float], ...]
    block: int
    block_means: npt.NDArray[np.float64]


def cosine_matrix(left: CentredVectors, right: CentredVectors) -> Tensor:
    """Return cosines (K', K') between rows; 0 with a row of norm zero."""
    units = left.rows_KD * left.inverse_norms_K[:, None]
    return (units @ (right.rows_KD * right.inverse_norms_K[:, None]).mT).clamp(-1, 1)


def angle_matrix(left: CentredVectors, right: CentredVectors) -> Tensor:
    """Return angles (K', K') between rows in degrees."""
    return cosine_matrix(left, right).acos().rad2deg()


def block_cosines(left: CentredVectors, right: CentredVectors, size: int) -> Tensor:
    """Return mean cosines (b, b) between blocks of `size` neighbouring rows, without K'² numbers.

    A mean of inner products is one of sums. If left and right are the same object, only pairs of different classes
    count, and a block of one class has NaN with itself.
    """
    block_K = torch.arange(len(left), device=left.rows_KD.device) // size
    count_B = torch.bincount(block_K).double()
    sums = [
        torch.zeros(len(count_B), vectors.rows_KD.shape[1], dtype=torch.float64, device=block_K.device).index_add_(
            0, block_K, vectors.rows_KD * vectors.inverse_norms_K[:, None]
        )
        for vectors in (left, right)
    ]
    total, number = sums[0] @ sums[1].mT, count_B[:, None] * count_B
    if left is right:
        known_B = torch.zeros_like(count_B).index_add_(0, block_K, (left.norms_K > 0).double())
        total, number = total - known_B.diag(), number - count_B.diag()
    return torch.where(number > 0, total / number, torch.nan)


def summarise_pairs(statistics: SplitStatistics, which: VectorSet, count: int) -> PairSummary:
    """Return the summary of the cosines of class means, or of classifier rows, with the `count` closest pairs.

    Raises ValueError if there are none: without a classifier, with fewer than two classes, if all coincide.
    """
    vectors = statistics.vectors(which)
    if vectors is None:
        raise ValueError(f"there are no cosines of {which}: fewer than two of them differ")
    classes = len(vectors)
    size = block_size(classes)
    target = math.acos(max(-1.0, simplex_cosine(classes)))
    gap = 0.0
    histogram = torch.zeros(HISTOGRAM_BINS, dtype=torch.float64, device=statistics.device)
    lowest, closest = 1.0, torch.zeros(0, 3, dtype=torch.float64, device=statistics.device)
    pair_statistics = PairStatistics(means=vectors) if which == "means" else PairStatistics(weights=vectors)
    for tile in pair_statistics.tiles():
        cosines, other = tile.cosines(which), ~tile.diagonal
        gap += float((cosines.acos() - target).abs().masked_fill(~other, 0.0).sum())
        lowest = min(lowest, float(cosines.masked_fill(~other, 1.0).min()))
        bins = ((cosines[other] + 1) * (HISTOGRAM_BINS / 2)).long().clamp(max=HISTOGRAM_BINS - 1)
        histogram += torch.bincount(bins, minlength=HISTOGRAM_BINS)
        closest = _closest_pairs(closest, cosines, tile.first, count)
    present = statistics.present.tolist()
    pairs = [(present[int(i)], present[int(j)], float(cosine)) for cosine, i, j in closest.tolist()]
    cumulated = (histogram.cumsum(0) / histogram.sum()).cpu().numpy()
    quantiles = {q: (int(np.searchsorted(cumulated, q)) + 0.5) * 2 / HISTOGRAM_BINS - 1 for q in QUANTILES}
    highest = pairs[0][2] if pairs else 1.0
    return PairSummary(
        mean_angle_gap_deg=math.degrees(gap / (classes * (classes - 1))),
        quantiles={q: min(max(value, lowest), highest) for q, value in quantiles.items()} | {0.0: lowest, 1.0: highest},
        quantile_error=1 / HISTOGRAM_BINS,
        worst=tuple(pairs),
        block=size,
        block_means=block_cosines(vectors, vectors, size).cpu().numpy(),
    )


def _closest_pairs(closest: Tensor, cosines: Tensor, first: int, count: int) -> Tensor:
    """Return the closest pairs (n, 3) as (cosine, i, j), i < j, among `closest` and those of a tile."""
    number, classes = cosines.shape
    column = torch.arange(classes, device=cosines.device)
    upper = column > torch.arange(first, first + number, device=cosines.device)[:, None]
    known = cosines.masked_fill(~upper, -torch.inf).flatten()
    values, places = known.topk(min(max(1, count), known.numel()))
    found = torch.stack([values, (places // classes + first).double(), (places % classes).double()], dim=1)
    both = torch.cat([closest, found[torch.isfinite(values)]])
    return both[both[:, 0].argsort(descending=True, stable=True)[: max(1, count)]]
