"""K×K cosines: the whole matrix for those who ask for it, and a summary of bounded size for any number of classes.

The summary goes through tiles of pairs (`pairs`): quantiles from a histogram, the pairs of classes that are closest,
and means over blocks of neighbouring classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ncengine.geometry.views import block_size
from ncengine.metrics.pairs import Tile, tiles
from ncengine.metrics.rows import Rows
from ncengine.metrics.snapshot import Snapshot
from ncengine.metrics.spec import Which, rows_of, simplex_cosine

BINS = 20_000
"""Of the histogram of cosines over [−1, 1]: a quantile is off by half a bin at most, 5e-5."""
QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)


@dataclass(frozen=True, eq=False)
class PairSummary:
    """What K'² cosines are like.

    `mean_angle_gap_deg` is the mean over pairs i ≠ j of |angle − arccos(−1/(K'−1))|. `quantiles` maps shares to
    cosines over these pairs (0 and 1 exactly, the rest up to `quantile_error`); `worst` are the pairs of classes (of
    all K, i < j) with the largest cosines and these, descending; `block_means` (b, b) are mean cosines between
    different classes of blocks of `block` neighbouring classes, NaN where a block has no other class.
    """

    mean_angle_gap_deg: float
    quantiles: dict[float, float]
    quantile_error: float
    worst: tuple[tuple[int, int, float], ...]
    block: int
    block_means: npt.NDArray[np.float64]


def cosine_matrix(left: Rows, right: Rows) -> Tensor:
    """Return cosines (K', K') between rows; 0 with a row of norm zero."""
    units = left.rows_KD * left.inverse_norms_K[:, None]
    return (units @ (right.rows_KD * right.inverse_norms_K[:, None]).mT).clamp(-1, 1)


def angle_matrix(left: Rows, right: Rows) -> Tensor:
    """Return angles (K', K') between rows in degrees."""
    return cosine_matrix(left, right).acos().rad2deg()


def block_cosines(left: Rows, right: Rows, size: int) -> Tensor:
    """Return mean cosines (b, b) between blocks of `size` neighbouring rows, without K'² numbers.

    A mean of inner products is one of sums. Where left and right are the same rows, only pairs of different classes
    count, and a block of one class has NaN with itself.
    """
    block_K = torch.arange(len(left), device=left.rows_KD.device) // size
    count_B = torch.bincount(block_K).double()
    sums = [
        torch.zeros(len(count_B), rows.rows_KD.shape[1], dtype=torch.float64, device=block_K.device).index_add_(
            0, block_K, rows.rows_KD * rows.inverse_norms_K[:, None]
        )
        for rows in (left, right)
    ]
    total, number = sums[0] @ sums[1].mT, count_B[:, None] * count_B
    if left is right:
        known_B = torch.zeros_like(count_B).index_add_(0, block_K, (left.norms_K > 0).double())
        total, number = total - known_B.diag(), number - count_B.diag()
    return torch.where(number > 0, total / number, torch.nan)


def summarise(snapshot: Snapshot, which: Which, worst: int) -> PairSummary:
    """Return the summary of the cosines of class means, or of classifier rows.

    Raises ValueError where there are none: without a classifier, with fewer than two classes, where all coincide.
    """
    rows = rows_of(snapshot, which)
    if rows is None:
        raise ValueError(f"there are no cosines of {which}: fewer than two of them differ")
    classes, device = snapshot.classes, snapshot.device
    size = block_size(classes)
    target = math.acos(max(-1.0, simplex_cosine(classes)))
    gap = 0.0
    histogram = torch.zeros(BINS, dtype=torch.float64, device=device)
    lowest, best = 1.0, torch.zeros(0, 3, dtype=torch.float64, device=device)
    for first, number in tiles(snapshot):
        tile = Tile(snapshot, first, number)
        cosines, other = tile.cosines(which), ~tile.diagonal
        gap += float((cosines.acos() - target).abs().masked_fill(~other, 0.0).sum())
        lowest = min(lowest, float(cosines.masked_fill(~other, 1.0).min()))
        place = ((cosines[other] + 1) * (BINS / 2)).long().clamp(max=BINS - 1)
        histogram += torch.bincount(place, minlength=BINS)
        best = _closest(best, cosines, first, worst)
    present = snapshot.present.tolist()
    pairs = [(present[int(i)], present[int(j)], float(cosine)) for cosine, i, j in best.tolist()]
    cumulated = (histogram.cumsum(0) / histogram.sum()).cpu().numpy()
    quantiles = {q: (int(np.searchsorted(cumulated, q)) + 0.5) * 2 / BINS - 1 for q in QUANTILES}
    highest = pairs[0][2] if pairs else 1.0
    return PairSummary(
        mean_angle_gap_deg=math.degrees(gap / (classes * (classes - 1))),
        quantiles={q: min(max(value, lowest), highest) for q, value in quantiles.items()} | {0.0: lowest, 1.0: highest},
        quantile_error=1 / BINS,
        worst=tuple(pairs),
        block=size,
        block_means=block_cosines(rows, rows, size).cpu().numpy(),
    )


def _closest(best: Tensor, cosines: Tensor, first: int, worst: int) -> Tensor:
    """Return the closest pairs (n, 3) as (cosine, i, j), i < j, of those before and of a tile's."""
    number, classes = cosines.shape
    column = torch.arange(classes, device=cosines.device)
    upper = column > torch.arange(first, first + number, device=cosines.device)[:, None]
    known = cosines.masked_fill(~upper, -torch.inf).flatten()
    values, places = known.topk(min(max(1, worst), known.numel()))
    found = torch.stack([values, (places // classes + first).double(), (places % classes).double()], dim=1)
    both = torch.cat([best, found[torch.isfinite(values)]])
    return both[both[:, 0].argsort(descending=True, stable=True)[: max(1, worst)]]
