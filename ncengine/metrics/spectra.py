"""Spectra of features: numerical rank of each class, eigenvalues of Σ_W, principal directions of all features.

The numerical rank needs the singular values of each class's samples, computed in chunks of classes of similar size. A
collapsed class is one long direction u and a short remainder, whose singular values a Gram matrix would lose: those
below √ε of the longest. Then the remainder is decomposed separately: H_c = (H_c u) uᵀ + Δ with Δ u = 0, and the
singular values of H_c are ‖H_c u‖ and those of Δ, up to a relative error of (‖Δ‖/‖H_c u‖)².
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ncengine.lazy_torch import torch
from ncengine.metrics.statistics import SampleEstimate, WithinCovariance

if TYPE_CHECKING:
    from torch import Tensor

    from ncengine.metrics.statistics import Covariance, SplitStatistics

RANK_SAMPLES = 256
"""Samples of a class that the numerical rank uses at most, evenly spaced among those in the buffer."""
CHUNK_BYTES = 64 * 2**20
"""Size of the samples of one chunk of classes, in float64."""
COLLAPSED = 1e-3
"""A class is decomposed in two parts up to this ‖Δ‖/‖H_c u‖."""


def numerical_rank(
    features_ND: Tensor, labels_N: Tensor, classes: int, *, of: int | None = None
) -> SampleEstimate | None:
    """Compute the mean over classes of (‖H_c‖_*/‖H_c‖_F)², H_c the uncentred samples, in [1, min(n_c, D)].

    It is 1 if all samples of a class are one point. `of` is the number of samples that `features_ND` were drawn from;
    if not all of them are used, the error is the difference from the value of every second sample used. None if no
    class has a sample other than zero. Source: Markou, Ajanthan, Gould (2024).
    """
    found = mean_numerical_rank(features_ND, labels_N, classes, rows=RANK_SAMPLES)
    if found is None:
        return None
    value, size = found
    if size == (len(labels_N) if of is None else of):
        return SampleEstimate(value, None, size)
    half = mean_numerical_rank(features_ND, labels_N, classes, rows=RANK_SAMPLES, halved=True)
    return SampleEstimate(value, abs(value - half[0]) if half else None, size)


def mean_numerical_rank(
    features_ND: Tensor, labels_N: Tensor, classes: int, *, rows: int, halved: bool = False
) -> tuple[float, int] | None:
    """Return the mean over classes of (‖H_c‖_*/‖H_c‖_F)² of at most `rows` samples each, and how many these are.

    `halved` takes every second one of them. None if no class has a sample other than zero.
    """
    counts_K = torch.bincount(labels_N, minlength=classes)
    by_class_N = labels_N.argsort(stable=True)
    starts_K = counts_K.cumsum(0) - counts_K
    by_size_K = counts_K.argsort(descending=True)
    used_K = counts_K.clamp(max=rows)
    if halved:
        used_K = (used_K + 1) // 2
    sizes = used_K[by_size_K].tolist()
    total, known, first = 0.0, 0, 0
    while first < len(sizes) and sizes[first] > 0:
        many = max(1, CHUNK_BYTES // (8 * features_ND.shape[1] * sizes[first]))
        chunk = by_size_K[first : first + many]
        first += many
        taken_C = used_K[chunk]
        slot_R = torch.arange(int(taken_C[0]), device=chunk.device)
        # Evenly spaced among a class's samples; slots beyond its number stay zero, which adds no singular value.
        offset_CR = slot_R * counts_K[chunk, None] // taken_C[:, None].clamp(min=1)
        filled_CR = slot_R < taken_C[:, None]
        place_CR = (starts_K[chunk, None] + offset_CR).clamp(max=len(by_class_N) - 1)
        samples_CRD = features_ND[by_class_N[place_CR]].double()
        if not bool(filled_CR.all()):
            samples_CRD *= filled_CR[..., None]
        ranks_C = _numerical_ranks(samples_CRD, taken_C)
        total += float(ranks_C.nansum())
        known += int((~torch.isnan(ranks_C)).sum())
    if not known:
        return None
    return total / known, int(used_K.sum())


def _numerical_ranks(samples_CRD: Tensor, taken_C: Tensor) -> Tensor:
    """Return (‖H‖_*/‖H‖_F)² (C) of matrices (C, R, D); NaN of one that is zero."""
    mean_CD = samples_CRD.sum(1) / taken_C.clamp(min=1)[:, None]
    length_C = torch.linalg.vector_norm(mean_CD, dim=1)
    unit_CD = mean_CD / torch.where(length_C > 0, length_C, 1.0)[:, None]
    along_CR = (samples_CRD @ unit_CD[..., None])[..., 0]
    long_C = torch.linalg.vector_norm(along_CR, dim=1)
    frobenius_C = torch.linalg.vector_norm(samples_CRD, dim=(1, 2))
    # Accurate enough to decide which classes are collapsed, not to compute their remainder.
    collapsed_C = frobenius_C**2 - long_C**2 <= (COLLAPSED * long_C) ** 2
    nuclear_C = torch.zeros_like(long_C)
    if bool(collapsed_C.any()):
        along = along_CR[collapsed_C][..., None] * unit_CD[collapsed_C][:, None]
        nuclear_C[collapsed_C] = long_C[collapsed_C] + _nuclear_norms(samples_CRD[collapsed_C] - along)
    if not bool(collapsed_C.all()):
        rest = samples_CRD if not bool(collapsed_C.any()) else samples_CRD[~collapsed_C]
        nuclear_C[~collapsed_C] = _nuclear_norms(rest)
    return torch.where(frobenius_C > 0, (nuclear_C / frobenius_C) ** 2, torch.nan)


def _nuclear_norms(matrices_CRD: Tensor) -> Tensor:
    """Return the sums of singular values (C), by the smaller Gram matrix; what is below its rounding is zero."""
    transposed = matrices_CRD.shape[1] > matrices_CRD.shape[2]
    gram = matrices_CRD.mT @ matrices_CRD if transposed else matrices_CRD @ matrices_CRD.mT
    eigenvalues = torch.linalg.eigvalsh(gram.cpu()).to(gram.device)
    rounding = gram.shape[-1] * torch.finfo(torch.float64).eps * eigenvalues[:, -1:]
    return torch.where(eigenvalues > rounding, eigenvalues, 0.0).sqrt().sum(1)


def within_spectrum(within: Covariance) -> Tensor:
    """Return the eigenvalues (D,) of Σ_W, descending; those that rounding makes negative are zero."""
    eigenvalues_D: Tensor = torch.linalg.eigvalsh(WithinCovariance.of(within).matrix_DD.cpu())
    return eigenvalues_D.flip(0).clamp(min=0)


def principal_directions(statistics: SplitStatistics) -> Tensor:
    """Return the K' − 1 leading principal directions (D, R) of all features around μ_G, those of Σ_W + Σ_B."""
    means = statistics.centred_means.rows_KD
    shares_K1 = (statistics.of_present(statistics.counts_K) / max(1, statistics.count))[:, None]
    total_DD = statistics.within.matrix_DD + (shares_K1 * means).mT @ means
    _, vectors = torch.linalg.eigh(total_DD.cpu())
    rank = min(len(total_DD), max(1, statistics.classes - 1))
    directions_DR: Tensor = vectors[:, -rank:].to(means.device)
    return directions_DR
