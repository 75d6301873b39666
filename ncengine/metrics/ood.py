"""NC5 and out-of-distribution detection: features of other data become orthogonal to the class means.

AUROC is the share of pairs of an in- and an out-of-distribution sample whose scores are in the right order; ties count
half.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from ncengine.lazy_torch import torch
from ncengine.metrics.metric_spec import FromSamples, FromStatistics, MetricSpec, one, zero
from ncengine.metrics.statistics import OodFeatures, SampleEstimate, SplitStatistics

if TYPE_CHECKING:
    from torch import Tensor

SOURCE = "Ammar et al. 2024"
SCORED_ROWS = 8192
"""Samples that are scored at once."""


def nc5_ood(means_KD: Tensor, ood_mean_D: Tensor) -> float | None:
    """Compute the mean over classes of |cos(μ_c, μ_OOD)|, in [0, 1], with uncentred means; None if all are zero.

    Source: Ammar et al. (2024).
    """
    norms_K = (means_KD**2).sum(1).sqrt() * (ood_mean_D**2).sum().sqrt()
    known = norms_K > 0
    if not bool(known.any()):
        return None
    return float(((means_KD @ ood_mean_D)[known] / norms_K[known]).abs().mean())


def neco_scores(features_ND: Tensor, directions_DR: Tensor, center_D: Tensor) -> Tensor:
    """Compute ‖Pᵀ(h − μ_G)‖/‖h − μ_G‖ (N,), in [0, 1]; 0 for a sample at μ_G.

    `directions_DR` = P are the K − 1 leading principal directions of the training features. Source: Ammar et al.
    (2024), without their standardisation of the features.
    """
    centred_ND = features_ND.double() - center_D
    norms_N = torch.linalg.vector_norm(centred_ND, dim=1)
    projected_N = torch.linalg.vector_norm(centred_ND @ directions_DR, dim=1)
    return torch.where(norms_N > 0, projected_N / norms_N, 0.0)


def largest_logits(features_ND: Tensor, weight_KD: Tensor, bias_K: Tensor | None = None) -> Tensor:
    """Compute max_c (Wh + b)_c (N,). Source: Hendrycks et al. (2022)."""
    logits_NK = features_ND.double() @ weight_KD.mT
    return (logits_NK if bias_K is None else logits_NK + bias_K).amax(1)


def auroc(positive_N: Tensor, negative_M: Tensor) -> SampleEstimate:
    """Compute P[positive > negative] + ½ P[=], in [0, 1], with its standard error, from at least one score of each.

    The standard error is that of samples from a larger population (Hanley, McNeil 1982).
    """
    ordered_M = negative_M.sort().values
    below = torch.searchsorted(ordered_M, positive_N).double().sum()
    up_to = torch.searchsorted(ordered_M, positive_N, right=True).double().sum()
    count, other = len(positive_N), len(negative_M)
    area = float(below + up_to) / (2 * count * other)
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (count - 1) * (first - area**2) + (other - 1) * (second - area**2)
    return SampleEstimate(area, math.sqrt(max(0.0, variance) / (count * other)), count + other)


def _orthogonality(statistics: SplitStatistics) -> float | None:
    if statistics.ood is None or not statistics.classes:
        return None
    return nc5_ood(statistics.of_present(statistics.means_KD), statistics.ood.mean_D)


def _auroc_of(scorer: Callable[[SplitStatistics, OodFeatures], Callable[[Tensor], Tensor] | None]) -> FromSamples:
    """Return the AUROC of a score; `scorer` gives the function that scores features, or None if it is not defined."""

    def compute(statistics: SplitStatistics) -> SampleEstimate | None:
        ood = statistics.ood
        if ood is None or not len(statistics.features_ND) or not len(ood.features_ND):
            return None
        score = scorer(statistics, ood)
        if score is None:
            return None
        parts = (torch.split(features_ND, SCORED_ROWS) for features_ND in (statistics.features_ND, ood.features_ND))
        return auroc(*(torch.cat([score(part) for part in split]) for split in parts))

    return FromSamples(compute)


def _neco(_statistics: SplitStatistics, ood: OodFeatures) -> Callable[[Tensor], Tensor]:
    return partial(neco_scores, directions_DR=ood.principal_DR, center_D=ood.center_D)


def _largest_logit(statistics: SplitStatistics, _ood: OodFeatures) -> Callable[[Tensor], Tensor] | None:
    if statistics.weight_KD is None:
        return None
    return partial(largest_logits, weight_KD=statistics.weight_KD, bias_K=statistics.bias_K)


SPECS = (
    MetricSpec(
        key="nc5_ood",
        label="NC5 orthogonality to other data",
        symbol="mean |cos(μ_c, μ_OOD)|",
        formula="mean_c |cos(μ_c, μ_OOD)|",
        family="NC5",
        direction="low",
        ideal=zero,
        source=SOURCE,
        reading="How far the mean of data of another kind lies along the class means; 0 when it is orthogonal to all.",
        computation=FromStatistics(_orthogonality),
    ),
    MetricSpec(
        key="ood_auroc_neco",
        label="AUROC of the NECO score",
        symbol="AUROC ‖P(h−μ_G)‖/‖h−μ_G‖",
        formula="AUROC of ‖Pᵀ(h−μ_G)‖/‖h−μ_G‖, P: K−1 principal directions of the training features",
        family="NC5",
        direction="high",
        ideal=one,
        source=SOURCE,
        reading="How often a sample of this data lies closer to the class means' subspace than one of another kind; "
        "0.5 is chance.",
        computation=_auroc_of(_neco),
        share=True,
    ),
    MetricSpec(
        key="ood_auroc_logit",
        label="AUROC of the largest logit",
        symbol="AUROC max(Wh+b)",
        formula="AUROC of max_c (Wh + b)_c",
        family="NC5",
        direction="high",
        ideal=one,
        source="Hendrycks et al. 2022",
        reading="How often the largest logit of a sample of this data is above that of one of another kind; 0.5 is "
        "chance.",
        computation=_auroc_of(_largest_logit),
        share=True,
    ),
)
