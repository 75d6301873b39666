"""NC1, variability collapse: the spread inside classes vanishes beside the spread between them.

Every function takes named statistics and can be called alone. `centred_means` are the class means minus μ_G as rows
(K, D), `within` is Σ_W (D, D). With Σ_B = P Λ Pᵀ of rank r ≤ K − 1, tr(Σ_W Σ_B†) = Σ_r (pᵣᵀ Σ_W pᵣ)/λᵣ needs no D×D
inverse, and the cut of the pseudo-inverse is explicit (`vectors.RANK_CUT`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ncengine.lazy_torch import torch
from ncengine.metrics.metric_spec import FromSamples, FromStatistics, MetricSpec, one, zero
from ncengine.metrics.pairs import OverPairs, PairStatistics, PairTile
from ncengine.metrics.spectra import numerical_rank
from ncengine.metrics.statistics import SampleEstimate, SplitStatistics, WithinCovariance
from ncengine.metrics.vectors import CentredVectors

if TYPE_CHECKING:
    from torch import Tensor

    from ncengine.metrics.statistics import Covariance
    from ncengine.metrics.vectors import Vectors

FLOAT32_EPSILON = 2.0**-23


def nc1(centred_means: Vectors, within: Covariance) -> float | None:
    """Compute NC1 variability collapse, tr(Σ_W Σ_B†)/K, in [0, ∞); None if all class means coincide.

    Source: Papyan, Han, Donoho (2020).
    """
    means = CentredVectors.of_centred(centred_means)
    directions_DR, eigenvalues_R = means.spectrum
    if not len(eigenvalues_R):
        return None
    return float((WithinCovariance.of(within).quadratic_form(directions_DR) / eigenvalues_R).sum()) / len(means)


def nc1_truncated(centred_means: Vectors, within: Covariance) -> float | None:
    """Compute tr(Σ_W Σ_B†) over the K − 1 leading directions of Σ_B, in [0, ∞), not divided by K.

    Source: released code of Papyan, Han, Donoho (2020), a truncated SVD of Σ_B.
    """
    means = CentredVectors.of_centred(centred_means)
    directions_DR, eigenvalues_R = means.spectrum
    if not len(eigenvalues_R):
        return None
    leading = slice(len(means) - 1)
    within_R = WithinCovariance.of(within).quadratic_form(directions_DR)
    return float((within_R[leading] / eigenvalues_R[leading]).sum())


def nc1_pinv(centred_means: Vectors, within: Covariance) -> float | None:
    """Compute tr(Σ_W pinv(Σ_B))/K with the cut-off of a float32 pseudo-inverse, in [0, `nc1`].

    The released code of Zhu et al. (2021) and of Markou et al. (2024) calls `scipy.linalg.pinv` on a float32 D×D
    matrix, which by default leaves out singular values below D ε of the largest, ε = 2⁻²³. Directions in which class
    means differ by less are ignored.
    """
    means = CentredVectors.of_centred(centred_means)
    directions_DR, eigenvalues_R = means.spectrum
    if not len(eigenvalues_R):
        return None
    used = eigenvalues_R > len(directions_DR) * FLOAT32_EPSILON * eigenvalues_R[0]
    within_R = WithinCovariance.of(within).quadratic_form(directions_DR)
    return float((within_R[used] / eigenvalues_R[used]).sum()) / len(means)


def nc1_ratio(within_trace: float, between_trace: float) -> float:
    """Compute tr(Σ_W)/tr(Σ_B), in [0, ∞): NC1 without an inverse. Source: Tirer et al. (2023)."""
    return within_trace / between_trace


def vci(centred_means: Vectors, within: Covariance) -> float | None:
    """Compute the variability collapse index 1 − tr(Σ_T† Σ_B)/min(D, K−1), Σ_T = Σ_W + Σ_B, in [0, 1].

    Near collapse the trace is K−1 up to rounding, so the remainder is computed directly: within span(H) the inverse of
    Σ_T is (Λ + S)⁻¹ with the Schur complement S of Σ_W, and r − tr((Λ + S)⁻¹Λ) = tr((Λ + S)⁻¹S).

    Returns None if all class means coincide. Source: Xu, Liu (2023).
    """
    means = CentredVectors.of_centred(centred_means)
    directions_DR, eigenvalues_R = means.spectrum
    rank = len(eigenvalues_R)
    if not rank:
        return None
    largest_rank = min(len(directions_DR), len(means) - 1)
    # In the scale of Λ, where the matrix to invert is I + Λ^-½ S Λ^-½ and well conditioned near collapse.
    scale_R = eigenvalues_R.rsqrt()
    scaled_RR = schur_complement(WithinCovariance.of(within).matrix_DD, directions_DR) * scale_R[:, None] * scale_R
    spread_R = torch.linalg.eigvalsh(scaled_RR.cpu()).clamp(min=0)
    return float((largest_rank - rank + (spread_R / (1 + spread_R)).sum()) / largest_rank)


def schur_complement(covariance_DD: Tensor, directions_DR: Tensor) -> Tensor:
    """Return the covariance within span(P) given the rest of R^D: W_pp − W_pq W_qq† W_qp (R, R).

    `directions_DR` = P has orthonormal columns. Eigenvalues of W_qq below D ε of the largest count as rounding.
    """
    rank = directions_DR.shape[1]
    beside_DR = covariance_DD @ directions_DR
    schur = directions_DR.mT @ beside_DR
    if rank < len(covariance_DD):
        basis = torch.linalg.qr(directions_DR.cpu(), mode="complete").Q[:, rank:].to(directions_DR.device)
        eigenvalues, vectors = torch.linalg.eigh((basis.mT @ covariance_DD @ basis).cpu())
        cut = len(covariance_DD) * torch.finfo(torch.float64).eps * float(eigenvalues[-1].clamp(min=0))
        known = eigenvalues > cut
        scaled = (vectors[:, known] / eigenvalues[known].sqrt()).to(basis.device)
        explained = scaled.mT @ (basis.mT @ beside_DR)
        schur = schur - explained.mT @ explained
    return 0.5 * (schur + schur.mT)


def pair_cdnv(tile: PairTile) -> Tensor:
    """Return V_ij = (σ_i² + σ_j²)/(2 ‖μ_i − μ_j‖²) of a tile's pairs; NaN if the two means coincide."""
    return tile.mean_variances / tile.squared_distances


_CDNV = OverPairs(("means",), pair_cdnv)
_CDNV_LOG = OverPairs(("means",), lambda tile: pair_cdnv(tile).log(), lambda mean, _classes: math.exp(mean))


def cdnv(centred_means: Vectors, variances_K: Tensor) -> float | None:
    """Compute the class-distance normalised variance, the mean of V_ij over pairs i ≠ j, in [0, ∞).

    `variances_K` are σ_c² = mean over class c of ‖h − μ_c‖². Pairs whose means coincide up to rounding are left out.
    Source: Galanti, György, Hutter (2021).
    """
    return _CDNV.compute(PairStatistics(CentredVectors.of_centred(centred_means), variances_K=variances_K))


def cdnv_log(centred_means: Vectors, variances_K: Tensor) -> float | None:
    """Compute the geometric mean of V_ij over pairs i ≠ j (averaged as by Wu, Papyan 2024), in [0, ∞)."""
    return _CDNV_LOG.compute(PairStatistics(CentredVectors.of_centred(centred_means), variances_K=variances_K))


def _nc1_ratio(statistics: SplitStatistics) -> float | None:
    if statistics.centred_means.coincide:
        return None
    return nc1_ratio(statistics.within_trace, statistics.between_trace)


def _numerical_rank(statistics: SplitStatistics) -> SampleEstimate | None:
    classes = len(statistics.counts_K)
    return numerical_rank(statistics.features_ND, statistics.labels_N, classes, of=statistics.count)


SPECS = (
    MetricSpec(
        key="nc1",
        label="NC1 variability",
        symbol="tr(Σ_W Σ_B†)/K",
        formula="tr(Σ_W Σ_B†)/K",
        family="NC1",
        direction="low",
        ideal=zero,
        source="Papyan, Han, Donoho 2020",
        reading="How large the spread inside classes is beside the spread between them; 0 when each class is one "
        "point.",
        computation=FromStatistics(lambda statistics: nc1(statistics.centred_means, statistics.within)),
    ),
    MetricSpec(
        key="cdnv",
        label="Class-distance normalised variance",
        symbol="CDNV",
        formula="mean_{i≠j} (σ_i² + σ_j²)/(2‖μ_i − μ_j‖²)",
        family="NC1",
        direction="low",
        ideal=zero,
        source="Galanti, György, Hutter 2021",
        reading="Spread of two classes over their squared distance, averaged over pairs; a bound on how often the "
        "nearest class mean errs. Neighbouring classes weigh most.",
        computation=_CDNV,
    ),
    MetricSpec(
        key="nc1_ratio",
        label="NC1 ratio of traces",
        symbol="tr Σ_W / tr Σ_B",
        formula="tr(Σ_W)/tr(Σ_B)",
        family="NC1",
        direction="low",
        ideal=zero,
        source="Tirer et al. 2023",
        reading="Spread inside classes over spread between them, all directions alike; directions in which class "
        "means hardly differ do not blow it up as they do NC1.",
        computation=FromStatistics(_nc1_ratio),
    ),
    MetricSpec(
        key="vci",
        label="Variability collapse index",
        symbol="VCI",
        formula="1 − tr(Σ_T† Σ_B)/min(D, K−1)",
        family="NC1",
        direction="low",
        ideal=zero,
        source="Xu, Liu 2023",
        reading="Share of the variation along the class means' directions that lies inside classes; unchanged by any "
        "invertible linear map of the features.",
        computation=FromStatistics(lambda statistics: vci(statistics.centred_means, statistics.within)),
    ),
    MetricSpec(
        key="numerical_rank",
        label="Numerical rank of a class",
        symbol="(‖H_c‖_*/‖H_c‖_F)²",
        formula="mean_c (‖H_c‖_*/‖H_c‖_F)², H_c the uncentred samples of class c",
        family="NC1",
        direction="low",
        ideal=one,
        source="Markou, Ajanthan, Gould 2024",
        reading="In how many directions a class's features extend; 1 when they are one point.",
        computation=FromSamples(_numerical_rank),
    ),
    MetricSpec(
        key="nc1_pinv",
        label="NC1 with a float32 pseudo-inverse",
        symbol="tr(Σ_W pinv₃₂ Σ_B)/K",
        formula="tr(Σ_W pinv(Σ_B))/K, λ > D·2⁻²³·λ_max",
        family="NC1",
        direction="low",
        ideal=zero,
        source="Zhu et al. 2021, released code",
        reading="NC1 with the cut-off of the usual code, to be compared with figures made by it.",
        computation=FromStatistics(lambda statistics: nc1_pinv(statistics.centred_means, statistics.within)),
    ),
    MetricSpec(
        key="nc1_truncated",
        label="NC1, truncated SVD, undivided",
        symbol="tr(Σ_W Σ_B†)",
        formula="tr(Σ_W U Λ⁻¹ Uᵀ), U, Λ: the K−1 leading singular pairs of Σ_B",
        family="NC1",
        direction="low",
        ideal=zero,
        source="Papyan, Han, Donoho 2020, released code",
        reading="NC1 times K, to be compared with figures that do not divide by the number of classes.",
        computation=FromStatistics(lambda statistics: nc1_truncated(statistics.centred_means, statistics.within)),
    ),
    MetricSpec(
        key="cdnv_log",
        label="CDNV, mean of logarithms",
        symbol="exp mean log CDNV",
        formula="exp(mean_{i≠j} log V_ij)",
        family="NC1",
        direction="low",
        ideal=zero,
        source="Galanti, György, Hutter 2021; averaged as by Wu, Papyan 2024",
        reading="The geometric mean over pairs of classes: a few close pairs do not drown the rest.",
        computation=_CDNV_LOG,
    ),
)
