"""Metrics over pairs of classes, summed in tiles of bounded size, so that nothing has K² numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ncengine.lazy_torch import torch
from ncengine.metrics.vectors import CentredVectors

if TYPE_CHECKING:
    from torch import Tensor

    from ncengine.metrics.statistics import VectorSet

TILE_BYTES = 16 * 2**20
"""Size of one float64 matrix of a tile; a few of them exist at a time."""
COINCIDENT_SHARE = 1e-12
"""Class means whose squared distance is below this share of their squared norms coincide up to rounding."""


@dataclass(frozen=True, eq=False)
class PairStatistics:
    """Vectors of K' classes whose pairs are compared, and σ_c². What no metric reads may be None."""

    means: CentredVectors | None = None
    weights: CentredVectors | None = None
    variances_K: Tensor | None = None

    def vectors(self, which: VectorSet) -> CentredVectors:
        """Return the centred class means or classifier rows; raises ValueError if they are not given."""
        vectors = self.means if which == "means" else self.weights
        if vectors is None:
            raise ValueError(f"a metric over pairs needs {which}, got none; name them in its `reads`")
        return vectors

    @property
    def _any(self) -> CentredVectors:
        return self.vectors("means" if self.means is not None else "weights")

    @property
    def classes(self) -> int:
        """K', the number of classes."""
        return len(self._any)

    @property
    def device(self) -> torch.device:
        return self._any.rows_KD.device

    @cached_property
    def product_norm(self) -> float:
        """‖WH‖_F with W not centred."""
        return self.vectors("weights").uncentred_product_norm(self.vectors("means"))

    def tiles(self) -> Iterator[PairTile]:
        """Yield all pairs, some rows of the K'×K' matrix at a time."""
        size = max(1, TILE_BYTES // (8 * max(1, self.classes)))
        for first in range(0, self.classes, size):
            yield PairTile(self, first, min(size, self.classes - first))


class PairTile:
    """Pairs (i, j): i among `size` neighbouring classes from `first` on, j among all K'. Matrices are (size, K')."""

    def __init__(self, statistics: PairStatistics, first: int, size: int) -> None:
        self.statistics, self.first = statistics, first
        self.classes = statistics.classes
        self._rows = slice(first, first + size)
        self._grams: dict[VectorSet, Tensor] = {}

    def vectors(self, which: VectorSet) -> CentredVectors:
        """Return the centred class means or classifier rows of all classes."""
        return self.statistics.vectors(which)

    @cached_property
    def diagonal(self) -> Tensor:
        """Whether i = j."""
        index = torch.arange(self.classes, device=self.statistics.device)
        return index[self._rows, None] == index

    @cached_property
    def simplex_gram(self) -> Tensor:
        """T = (I − 11ᵀ/K')/√(K'−1), the normalised Gram matrix of the simplex ETF."""
        return (self.diagonal.double() - 1 / self.classes) / math.sqrt(self.classes - 1)

    def gram(self, which: VectorSet) -> Tensor:
        """Return the inner products of the centred rows."""
        if which not in self._grams:
            rows_KD = self.vectors(which).rows_KD
            self._grams[which] = rows_KD[self._rows] @ rows_KD.mT
        return self._grams[which]

    def uncentred_gram(self, which: VectorSet) -> Tensor:
        """Return the inner products before centring: (c_i + w̄)·(c_j + w̄)."""
        vectors = self.vectors(which)
        along_K = vectors.rows_KD @ vectors.offset_D
        return self.gram(which) + along_K[self._rows, None] + along_K + vectors.offset_D @ vectors.offset_D

    def cosines(self, which: VectorSet) -> Tensor:
        """Return the cosines between rows; 0 with a row of norm zero."""
        inverse_K = self.vectors(which).inverse_norms_K
        return (self.gram(which) * inverse_K[self._rows, None] * inverse_K).clamp(-1, 1)

    def weights_times_means(self) -> Tensor:
        """Return w_i·m_j, with W not centred."""
        weights, means = self.vectors("weights"), self.vectors("means")
        return (weights.rows_KD[self._rows] + weights.offset_D) @ means.rows_KD.mT

    @cached_property
    def squared_distances(self) -> Tensor:
        """‖μ_i − μ_j‖², NaN if the two coincide up to rounding."""
        norms_K = self.vectors("means").norms_K ** 2
        size = norms_K[self._rows, None] + norms_K
        squared = size - 2 * self.gram("means")
        return torch.where(squared > COINCIDENT_SHARE * size, squared, torch.nan)

    @cached_property
    def mean_variances(self) -> Tensor:
        """(σ_i² + σ_j²)/2."""
        variances_K = self.statistics.variances_K
        if variances_K is None:
            raise ValueError("a metric over pairs needs the variances of the classes, got none")
        return 0.5 * (variances_K[self._rows, None] + variances_K)


@dataclass(frozen=True, slots=True)
class OverPairs:
    """A mean over pairs of classes i ≠ j, or with `diagonal` a sum over all i, j.

    `term` gives a tile's values (size, K'), of which NaN is left out; `finish` maps the mean (or sum) and K' to the
    metric. `reads` names the vectors without which the metric is not defined.
    """

    reads: tuple[VectorSet, ...]
    term: Callable[[PairTile], Tensor]
    finish: Callable[[float, int], float] = lambda mean, _classes: mean
    diagonal: bool = False

    def compute(self, statistics: PairStatistics) -> float | None:
        """Return the metric alone; None if its vectors coincide or no pair has a value."""
        if any(statistics.vectors(which).coincide for which in self.reads):
            return None
        return reduce_pairs(statistics, {"": self}).values.get("")


@dataclass(frozen=True, eq=False)
class PairValues:
    """Metrics over pairs by key, and whether some of the class means coincide."""

    values: dict[str, float]
    means_coincide: bool


def reduce_pairs(statistics: PairStatistics, metrics: Mapping[str, OverPairs]) -> PairValues:
    """Return all metrics that have a value, computed in one pass over the tiles."""
    totals = dict.fromkeys(metrics, 0.0)
    counts = dict.fromkeys(metrics, 0)
    coincide = False
    for tile in statistics.tiles() if metrics else ():
        for key, metric in metrics.items():
            values = metric.term(tile)
            left_out = torch.isnan(values)
            if not metric.diagonal:
                left_out |= tile.diagonal
            totals[key] += float(values.masked_fill(left_out, 0.0).sum())
            counts[key] += values.numel() - int(left_out.sum())
        if statistics.means is not None:
            coincide |= bool((torch.isnan(tile.squared_distances) & ~tile.diagonal).any())
    found = {}
    for key, metric in metrics.items():
        if counts[key]:
            mean = totals[key] if metric.diagonal else totals[key] / counts[key]
            found[key] = metric.finish(mean, statistics.classes)
    return PairValues(found, coincide)


def simplex_cosine(classes: int) -> float:
    """Return the cosine between any two vertices of the simplex ETF, −1/(K−1)."""
    return -1 / (classes - 1)
