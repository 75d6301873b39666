"""All K'² pairs of classes, a bounded tile at a time: what pair metrics read, and the one pass that sums them all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor

from ncengine.metrics.rows import Rows
from ncengine.metrics.snapshot import Snapshot
from ncengine.metrics.spec import MetricSpec, Pairs, Which, rows_of

TILE_BYTES = 16 * 2**20
"""Of one float64 matrix of a tile; a few of them are alive at a time."""
COINCIDENT_SHARE = 1e-12
"""Class means whose squared distance is below this share of their squared norms coincide, up to rounding."""


class Tile:
    """Pairs (i, j): i among `b` neighbouring classes, j among all K'."""

    def __init__(self, snapshot: Snapshot, first: int, size: int) -> None:
        self.snapshot = snapshot
        self.classes = snapshot.classes
        self._block = slice(first, first + size)
        self._grams: dict[Which, Tensor] = {}

    def rows(self, which: Which) -> Rows:
        rows = self.snapshot.means if which == "means" else self.snapshot.weights
        if rows is None:
            raise ValueError("a pair metric reads weights that are not there; its spec must name them in `reads`")
        return rows

    @cached_property
    def diagonal(self) -> Tensor:
        """Where i = j (b, K')."""
        index = torch.arange(self.classes, device=self.snapshot.device)
        return index[self._block, None] == index

    @cached_property
    def etf(self) -> Tensor:
        """T = (I − 11ᵀ/K')/√(K'−1)."""
        return (self.diagonal.double() - 1 / self.classes) / math.sqrt(self.classes - 1)

    def gram(self, which: Which) -> Tensor:
        """Inner products of the centred rows (b, K')."""
        if which not in self._grams:
            rows_KD = self.rows(which).rows_KD
            self._grams[which] = rows_KD[self._block] @ rows_KD.mT
        return self._grams[which]

    def weights_gram_as_is(self) -> Tensor:
        """W Wᵀ with W as it is: (c_i + w̄)·(c_j + w̄)."""
        rows = self.rows("weights")
        along_K = rows.rows_KD @ rows.offset_D
        return self.gram("weights") + along_K[self._block, None] + along_K + rows.offset_D @ rows.offset_D

    def cosines(self, which: Which) -> Tensor:
        """Cosines between rows (b, K'); 0 with a row of norm zero."""
        inverse_K = self.rows(which).inverse_norms_K
        return (self.gram(which) * inverse_K[self._block, None] * inverse_K).clamp(-1, 1)

    def weights_as_is_by_means(self) -> Tensor:
        """w_i·m_j (b, K'), with W as it is."""
        weights, means = self.rows("weights"), self.rows("means")
        return (weights.rows_KD[self._block] + weights.offset_D) @ means.rows_KD.mT

    @cached_property
    def squared_distances(self) -> Tensor:
        """‖μ_i − μ_j‖² (b, K'), NaN where the two coincide up to rounding."""
        norms_K = self.rows("means").norms_K ** 2
        size = norms_K[self._block, None] + norms_K
        squared = size - 2 * self.gram("means")
        return torch.where(squared > COINCIDENT_SHARE * size, squared, torch.nan)

    @cached_property
    def mean_variances(self) -> Tensor:
        """(σ_i² + σ_j²)/2 (b, K')."""
        variances_K = self.snapshot.variances_K
        return 0.5 * (variances_K[self._block, None] + variances_K)


def tiles(snapshot: Snapshot) -> list[tuple[int, int]]:
    """Return the first class and the number of classes of each tile."""
    size = max(1, TILE_BYTES // (8 * max(1, snapshot.classes)))
    return [(first, min(size, snapshot.classes - first)) for first in range(0, snapshot.classes, size)]


def values_over_pairs(snapshot: Snapshot, metrics: Mapping[str, MetricSpec]) -> tuple[dict[str, float], bool]:
    """Return the values of all pair metrics that are defined, in one pass, and whether class means coincide."""
    wanted = {
        key: spec.how
        for key, spec in metrics.items()
        if isinstance(spec.how, Pairs) and all(rows_of(snapshot, which) is not None for which in spec.how.reads)
    }
    totals = dict.fromkeys(wanted, 0.0)
    counts = dict.fromkeys(wanted, 0)
    coincide = False
    for first, size in tiles(snapshot) if wanted else []:
        tile = Tile(snapshot, first, size)
        for key, how in wanted.items():
            values = how.term(tile)
            left_out = torch.isnan(values)
            if not how.diagonal:
                left_out |= tile.diagonal
            totals[key] += float(values.masked_fill(left_out, 0.0).sum())
            counts[key] += values.numel() - int(left_out.sum())
        coincide |= bool((torch.isnan(tile.squared_distances) & ~tile.diagonal).any())
    found = {}
    for key, how in wanted.items():
        if counts[key]:
            mean = totals[key] if how.diagonal else totals[key] / counts[key]
            found[key] = how.finish(mean, snapshot.classes)
    return found, coincide
