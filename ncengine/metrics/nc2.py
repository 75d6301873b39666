"""NC2, convergence to a simplex ETF: equal norms, equal angles −1/(K−1), and distances to the ETF.

Every function takes the vectors as rows (K, D): class means minus μ_G, or the classifier W. The rows of W are centred,
except in the Gram distance, which uses W as it is, as its paper does. Functions return None if all vectors coincide.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ncengine.metrics.metric_spec import FromStatistics, MetricSpec, for_means_and_weights, from_vectors, zero
from ncengine.metrics.pairs import OverPairs, PairStatistics, PairTile, simplex_cosine
from ncengine.metrics.vectors import CentredVectors

if TYPE_CHECKING:
    from torch import Tensor

    from ncengine.metrics.statistics import SplitStatistics, VectorSet
    from ncengine.metrics.vectors import Vectors

SMALLEST_SQUARE = 1e-15
"""Lower bound of squared distances between unit vectors, so that logarithms are finite; below cosines' rounding."""


def equinorm(vectors: Vectors) -> float:
    """Compute std/mean of the norms (population standard deviation), in [0, √(K−1)].

    Source: Papyan, Han, Donoho (2020).
    """
    norms_K = CentredVectors.of_centred(vectors).norms_K
    return float(norms_K.std(correction=0) / norms_K.mean())


def _equiangular(which: VectorSet) -> OverPairs:
    return OverPairs((which,), lambda tile: (tile.cosines(which) - simplex_cosine(tile.classes)).abs())


def equiangular(vectors: Vectors) -> float | None:
    """Compute the mean over i ≠ j of |cos_ij + 1/(K−1)|, in [0, 2]. Source: Papyan, Han, Donoho (2020)."""
    return _equiangular("means").compute(PairStatistics(CentredVectors.of_centred(vectors)))


def _angle_std(which: VectorSet) -> OverPairs:
    # Around the mean, which is known beforehand: equal cosines then give zero, not the rounding of two squares.
    return OverPairs(
        (which,),
        lambda tile: (tile.cosines(which) - tile.vectors(which).mean_cosine) ** 2,
        lambda mean, _classes: math.sqrt(mean),
    )


def angle_std(vectors: Vectors) -> float | None:
    """Compute the standard deviation over i ≠ j of the cosines, in [0, 1]. Source: Papyan, Han, Donoho (2020)."""
    return _angle_std("means").compute(PairStatistics(CentredVectors.of_centred(vectors)))


def _gram_distance(which: VectorSet) -> OverPairs:
    def term(tile: PairTile) -> Tensor:
        vectors = tile.vectors(which)
        if which == "weights":
            return (tile.uncentred_gram(which) / vectors.uncentred_gram_norm - tile.simplex_gram) ** 2
        return (tile.gram(which) / vectors.gram_norm - tile.simplex_gram) ** 2

    return OverPairs((which,), term, lambda total, _classes: math.sqrt(total), diagonal=True)


def gram_distance_means(centred_means: Vectors) -> float | None:
    """Compute ‖G/‖G‖_F − T‖_F, G = HᵀH, T = (I − 11ᵀ/K)/√(K−1), in [0, 2]. Source: Zhu et al. (2021)."""
    return _gram_distance("means").compute(PairStatistics(CentredVectors.of_centred(centred_means)))


def gram_distance_weights(weights: Vectors) -> float | None:
    """Compute ‖G/‖G‖_F − T‖_F, G = W Wᵀ with W not centred, in [0, 2]. Source: Zhu et al. (2021)."""
    return _gram_distance("weights").compute(PairStatistics(weights=CentredVectors.of_uncentred(weights)))


def _gnc2(which: VectorSet) -> OverPairs:
    def term(tile: PairTile) -> Tensor:
        simplex = 2 * tile.classes / (tile.classes - 1)
        squared = (2 - 2 * tile.cosines(which)).clamp(min=SMALLEST_SQUARE)
        return -0.5 * (squared / simplex).log()

    return OverPairs((which,), term)


def gnc2(vectors: Vectors) -> float | None:
    """Compute hyperspherical uniformity, the mean over i ≠ j of log(1/‖û_i − û_j‖), minus its value at the ETF.

    û are the normalised rows; at the simplex ETF all distances are √(2K/(K−1)). Source: Liu et al. (2023).
    """
    return _gnc2("means").compute(PairStatistics(CentredVectors.of_centred(vectors)))


def etf_distance(vectors: Vectors) -> float:
    """Compute the squared distance of H̃ = H/‖H‖_F to the nearest simplex ETF, in [0, 2].

        min over ETFs of ‖H̃ − U M/√(K−1)‖²_F = 2 − (2/√(K−1)) ‖H̃‖_*

    H̃ V and H̃ have the same singular values σ̃ because the columns of H̃ sum to zero (if they do not, their mean is
    subtracted first). There are at most K−1 of them and ‖σ̃‖ = 1, so the value is Σ (σ̃ − 1/√(K−1))², which has no
    cancellation near zero. Source: Markou, Ajanthan, Gould (2024), without the proximal term.
    """
    rows = CentredVectors.of_centred(vectors)
    rank = len(rows) - 1
    singular_R = rows.with_zero_mean.decomposition[1][:rank] / rows.norm
    missing = rank - len(singular_R)  # directions that fewer features than K−1 do not have
    # The share of the mean row in ‖H̃‖² = 1, which is not zero if μ_G is not the mean of the class means.
    mean_share = len(rows) * float(rows.mean_row_D @ rows.mean_row_D) / rows.norm**2
    return float(((singular_R - rank**-0.5) ** 2).sum()) + missing / rank + mean_share


def frame_drift(frame_distance: float, classes: int) -> float:
    """Compute how far the nearest ETF turned between two measurements, ‖R_t Vᵀ − R_{t−1} Vᵀ‖_F/√(K−1), in [0, 2].

    V has orthonormal columns, so this is `frame_distance` = ‖R_t − R_{t−1}‖_F over √(K−1). Source: this project.
    """
    return frame_distance / math.sqrt(classes - 1)


def _frame_drift(statistics: SplitStatistics) -> float | None:
    distance = statistics.frame_distance
    return None if distance is None else frame_drift(distance, len(statistics.counts_K))


def _equinorm_spec(which: VectorSet, of: str) -> MetricSpec:
    norm = "‖m_c‖" if which == "means" else "‖w_c − w̄‖"
    return MetricSpec(
        key=f"nc2_equinorm_{which}",
        label=f"NC2 equal norms{of}",
        symbol=f"std/mean {norm}",
        formula=f"std_c {norm} / mean_c {norm}",
        family="NC2",
        direction="low",
        ideal=zero,
        source="Papyan, Han, Donoho 2020",
        reading="How unequal the norms are; 0 when all are as long.",
        computation=from_vectors(which, equinorm),
    )


def _equiangular_spec(which: VectorSet, of: str) -> MetricSpec:
    pair = "cos(m_i, m_j)" if which == "means" else "cos(w_i − w̄, w_j − w̄)"
    return MetricSpec(
        key=f"nc2_equiangular_{which}",
        label=f"NC2 equal angles{of}",
        symbol="mean |cos + 1/(K−1)|",
        formula=f"mean_{{i≠j}} |{pair} + 1/(K−1)|",
        family="NC2",
        direction="low",
        ideal=zero,
        source="Papyan, Han, Donoho 2020",
        reading="How far the cosines are from the simplex's −1/(K−1) on average.",
        computation=_equiangular(which),
    )


def _angle_std_spec(which: VectorSet, of: str) -> MetricSpec:
    pair = "cos(m_i, m_j)" if which == "means" else "cos(w_i − w̄, w_j − w̄)"
    return MetricSpec(
        key=f"nc2_angle_std_{which}",
        label=f"NC2 spread of angles{of}",
        symbol="std of cos",
        formula=f"std_{{i≠j}} {pair}",
        family="NC2",
        direction="low",
        ideal=zero,
        source="Papyan, Han, Donoho 2020",
        reading="How unequal the angles are, whatever their value.",
        computation=_angle_std(which),
    )


def _gram_distance_spec(which: VectorSet, of: str) -> MetricSpec:
    gram = "HᵀH" if which == "means" else "W Wᵀ"
    return MetricSpec(
        key=f"nc2_etf_{which}",
        label=f"NC2 Gram distance to the ETF{of}",
        symbol=f"‖{gram}/‖{gram}‖ − T‖",
        formula=f"‖{gram}/‖{gram}‖_F − T‖_F, T = (I − 11ᵀ/K)/√(K−1)",
        family="NC2",
        direction="low",
        ideal=zero,
        source="Zhu et al. 2021",
        reading="How far the matrix of inner products is from the simplex's; norms and angles together.",
        computation=_gram_distance(which),
    )


def _gnc2_spec(which: VectorSet, of: str) -> MetricSpec:
    return MetricSpec(
        key=f"gnc2_{which}",
        label=f"Hyperspherical energy above the ETF's{of}",
        symbol="mean log 1/‖û_i − û_j‖",
        formula="mean_{i≠j} log(1/‖û_i − û_j‖) + ½ log(2K/(K−1))",
        family="NC2",
        direction="low",
        ideal=zero,
        source="Liu et al. 2023",
        reading="How far the directions are from being spread evenly over the sphere.",
        computation=_gnc2(which),
    )


def _etf_distance_spec(which: VectorSet, of: str) -> MetricSpec:
    matrix = "H̃" if which == "means" else "W̃"
    return MetricSpec(
        key=f"etf_distance_{which}",
        label=f"NC2 distance to the nearest ETF{of}",
        symbol=f"min ‖{matrix} − UM/√(K−1)‖²",
        formula=f"min_U ‖{matrix} − U M/√(K−1)‖²_F = 2 − 2‖{matrix}‖_*/√(K−1)",
        family="NC2",
        direction="low",
        ideal=zero,
        source="Markou, Ajanthan, Gould 2024",
        reading="How much is left when the simplex ETF is turned as close as it goes.",
        computation=from_vectors(which, etf_distance),
    )


SPECS = (
    *for_means_and_weights(_equinorm_spec),
    *for_means_and_weights(_equiangular_spec),
    *for_means_and_weights(_angle_std_spec),
    *for_means_and_weights(_gram_distance_spec),
    *for_means_and_weights(_gnc2_spec),
    *for_means_and_weights(_etf_distance_spec),
    MetricSpec(
        key="frame_drift",
        label="Turn of the nearest ETF",
        symbol="‖R_t − R_{t−1}‖/√(K−1)",
        formula="‖R_t Vᵀ − R_{t−1} Vᵀ‖_F/√(K−1)",
        family="NC2",
        direction="low",
        ideal=zero,
        source="this project",
        reading="How far the nearest simplex ETF has turned since the measurement before; 0 when it has come to rest.",
        computation=FromStatistics(_frame_drift),
    ),
)
