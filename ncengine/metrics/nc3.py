"""NC3, self-duality: the classifier's rows align with the class means.

Every function takes the centred class means (K, D) and the classifier W (K, D), which may be wrapped in
`CentredVectors`. `nc3` and `nc3_distance` use W as it is, the cosines use w_c − w̄, as their papers do.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ncengine.metrics.metric_spec import MetricSpec, from_means_and_weights, one, zero
from ncengine.metrics.pairs import OverPairs, PairStatistics, PairTile
from ncengine.metrics.vectors import CentredVectors

if TYPE_CHECKING:
    from torch import Tensor

    from ncengine.metrics.vectors import Vectors


def _product_gap(tile: PairTile) -> Tensor:
    norm = tile.statistics.product_norm
    product = tile.weights_times_means()
    return ((product / norm if norm > 0 else product) - tile.simplex_gram) ** 2


_NC3 = OverPairs(("means", "weights"), _product_gap, lambda total, _classes: math.sqrt(total), diagonal=True)


def nc3(centred_means: Vectors, weights: Vectors) -> float | None:
    """Compute ‖WH/‖WH‖_F − T‖_F, T = (I − 11ᵀ/K)/√(K−1), in [0, 2]; None if the means or the rows coincide.

    Source: Zhu et al. (2021).
    """
    means, rows = CentredVectors.of_centred(centred_means), CentredVectors.of_uncentred(weights)
    return _NC3.compute(PairStatistics(means, rows))


def nc3_distance(centred_means: Vectors, weights: Vectors) -> float:
    """Compute the squared distance ‖W/‖W‖_F − Hᵀ/‖H‖_F‖²_F, in [0, 4]. Source: Papyan, Han, Donoho (2020)."""
    means, rows = CentredVectors.of_centred(centred_means), CentredVectors.of_uncentred(weights)
    # W − w̄ and w̄ are taken apart: the rows of H sum to zero if μ_G is the mean of the class means.
    scale = rows.uncentred_norm
    gap_KD = (rows.rows_KD / scale).sub_(means.rows_KD, alpha=1 / means.norm)
    offset_D = rows.offset_D / scale
    cross = 2 * float(gap_KD.sum(0) @ offset_D)
    gap = float(gap_KD.square_().sum())
    return gap + cross + len(means) * float(offset_D @ offset_D)


def duality_cosines(centred_means: Vectors, weights: Vectors) -> Tensor:
    """Compute cos(w_c − w̄, m_c) of each class (K,)."""
    means, rows = CentredVectors.of_centred(centred_means), CentredVectors.of_uncentred(weights)
    scale_K = means.inverse_norms_K * rows.inverse_norms_K
    return ((means.rows_KD * rows.rows_KD).sum(1) * scale_K).clamp(-1, 1)


def nc3_cosine(centred_means: Vectors, weights: Vectors) -> float:
    """Compute the mean over classes of cos(w_c − w̄, m_c), in [−1, 1]. Source: Papyan, Han, Donoho (2020)."""
    return float(duality_cosines(centred_means, weights).mean())


def nc3_uniform(centred_means: Vectors, weights: Vectors) -> float:
    """Compute uniform duality, the variance over classes of cos(w_c − w̄, m_c), in [0, 1].

    Source: Wu, Papyan (2024).
    """
    return float(duality_cosines(centred_means, weights).var(correction=0))


SPECS = (
    MetricSpec(
        key="nc3",
        label="NC3 self-duality",
        symbol="‖WH/‖WH‖ − T‖",
        formula="‖WH/‖WH‖_F − T‖_F, T = (I − 11ᵀ/K)/√(K−1)",
        family="NC3",
        direction="low",
        ideal=zero,
        source="Zhu et al. 2021",
        reading="How far the classifier is from pointing along the class means, as a simplex ETF.",
        computation=_NC3,
    ),
    MetricSpec(
        key="nc3_distance",
        label="NC3 distance of classifier and means",
        symbol="‖W/‖W‖ − Hᵀ/‖H‖‖²",
        formula="‖W/‖W‖_F − Hᵀ/‖H‖_F‖²_F",
        family="NC3",
        direction="low",
        ideal=zero,
        source="Papyan, Han, Donoho 2020",
        reading="How far the classifier and the class means are from being the same up to a scale, whatever their "
        "shape.",
        computation=from_means_and_weights(nc3_distance),
    ),
    MetricSpec(
        key="nc3_cosine",
        label="NC3 cosine of classifier and mean",
        symbol="mean cos(w_c, m_c)",
        formula="mean_c cos(w_c − w̄, m_c)",
        family="NC3",
        direction="high",
        ideal=one,
        source="Papyan, Han, Donoho 2020",
        reading="How closely each classifier row points along its own class mean; 1 when it does.",
        computation=from_means_and_weights(nc3_cosine),
    ),
    MetricSpec(
        key="nc3_uniform",
        label="NC3 uniform duality",
        symbol="var cos(w_c, m_c)",
        formula="var_c cos(w_c − w̄, m_c)",
        family="NC3",
        direction="low",
        ideal=zero,
        source="Wu, Papyan 2024",
        reading="Whether all classes are aligned alike; 0 when none lags.",
        computation=from_means_and_weights(nc3_uniform),
    ),
)
