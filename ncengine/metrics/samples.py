"""Batches of the buffered samples, with what per-sample metrics read: logits, predictions, nearest class means."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ncengine.lazy_torch import torch
from ncengine.metrics.statistics import SplitStatistics

if TYPE_CHECKING:
    from torch import Tensor

BATCH_BYTES = 4 * 2**20
"""Size of one float64 matrix (samples × max(K, D)) of a batch."""


@dataclass(frozen=True, slots=True)
class OverSamples:
    """A mean over samples of `term(batch)` (B,); NaN entries are left out, and None means not defined."""

    term: Callable[[SampleBatch], Tensor | None]


class SampleBatch:
    """Samples of a split: features minus μ_G (B, D) in float64, and labels (B,) in 0 … K−1."""

    def __init__(self, statistics: SplitStatistics, features_BD: Tensor, labels_B: Tensor) -> None:
        self.statistics, self.labels_B = statistics, labels_B
        # Products are taken with h − μ_G: a large global mean would cost the digits that distinguish classes.
        self.centred_BD = features_BD.to(torch.float64) - statistics.global_mean_D

    @cached_property
    def products_BK(self) -> Tensor | None:
        """W (h − μ_G) (B, K), over all K classes; None without a classifier."""
        weight_KD = self.statistics.weight_KD
        return None if weight_KD is None else self.centred_BD @ weight_KD.mT

    @cached_property
    def logits_BK(self) -> Tensor | None:
        """W h + b (B, K), over all K classes; None without a classifier."""
        offset_K = self.statistics.center_logits_K
        return None if offset_K is None or self.products_BK is None else self.products_BK + offset_K

    @cached_property
    def predictions_B(self) -> Tensor | None:
        """argmax of the logits; None without a classifier."""
        return None if self.logits_BK is None else self.logits_BK.argmax(1)

    @cached_property
    def nearest_means_B(self) -> Tensor | None:
        """argmin_c ‖h − μ_c‖ over the training split's class means; None if that has no samples."""
        return self.statistics.training_means.nearest(self.centred_BD)


def sample_batches(statistics: SplitStatistics) -> Iterator[SampleBatch]:
    """Yield the buffered samples in batches of bounded memory."""
    size = max(1, BATCH_BYTES // (8 * max(len(statistics.counts_K), statistics.features)))
    parts = zip(torch.split(statistics.features_ND, size), torch.split(statistics.labels_N, size), strict=True)
    for features_BD, labels_B in parts:
        if len(labels_B):
            yield SampleBatch(statistics, features_BD, labels_B)
