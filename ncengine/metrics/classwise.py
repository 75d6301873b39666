"""Each class's own samples: singular values of its matrix, in chunks of classes of similar size.

A collapsed class is one long direction u and a short rest, whose singular values a Gram matrix would lose: those below
√ε of the longest. There the rest is decomposed by itself: H_c = (H_c u) uᵀ + Δ with Δ u = 0, and the singular values of
H_c are ‖H_c u‖ and those of Δ, up to a relative error of (‖Δ‖/‖H_c u‖)².
"""

from __future__ import annotations

import torch
from torch import Tensor

from ncengine.metrics.snapshot import Snapshot

CHUNK_BYTES = 64 * 2**20
"""Of the samples of one chunk of classes, in float64."""
COLLAPSED = 1e-3
"""Up to this ‖Δ‖/‖H_c u‖ a class is decomposed in two parts."""


def mean_numerical_rank(snapshot: Snapshot, rows: int, *, halved: bool = False) -> tuple[float, int] | None:
    """Return the mean over classes of (‖H_c‖_*/‖H_c‖_F)² of at most `rows` samples each, and how many these are.

    `halved` takes every second one of them. None where no class has a sample other than zero.
    """
    counts_K = torch.bincount(snapshot.labels_N, minlength=len(snapshot.counts_K))
    by_class_N = snapshot.labels_N.argsort(stable=True)
    starts_K = counts_K.cumsum(0) - counts_K
    classes = counts_K.argsort(descending=True)
    most_K = counts_K.clamp(max=rows)
    if halved:
        most_K = (most_K + 1) // 2
    sizes = most_K[classes].tolist()
    features = snapshot.samples_ND.shape[1]
    total, known, first = 0.0, 0, 0
    while first < len(sizes) and sizes[first] > 0:
        many = max(1, CHUNK_BYTES // (8 * features * sizes[first]))
        chunk = classes[first : first + many]
        first += many
        taken_C = most_K[chunk]
        slot_R = torch.arange(int(taken_C[0]), device=chunk.device)
        # Evenly spaced among a class's samples; slots beyond its number stay zero, which adds no singular value.
        offset_CR = slot_R * counts_K[chunk, None] // taken_C[:, None].clamp(min=1)
        filled_CR = slot_R < taken_C[:, None]
        place_CR = (starts_K[chunk, None] + offset_CR).clamp(max=len(by_class_N) - 1)
        samples_CRD = snapshot.samples_ND[by_class_N[place_CR]].double()
        if not bool(filled_CR.all()):
            samples_CRD *= filled_CR[..., None]
        ranks_C = _numerical_ranks(samples_CRD, taken_C)
        total += float(ranks_C.nansum())
        known += int((~torch.isnan(ranks_C)).sum())
    if not known:
        return None
    return total / known, int(most_K.sum())


def _numerical_ranks(samples_CRD: Tensor, taken_C: Tensor) -> Tensor:
    """Return (‖H‖_*/‖H‖_F)² (C) of matrices (C, R, D); NaN of one that is zero."""
    mean_CD = samples_CRD.sum(1) / taken_C.clamp(min=1)[:, None]
    length_C = torch.linalg.vector_norm(mean_CD, dim=1)
    unit_CD = mean_CD / torch.where(length_C > 0, length_C, 1.0)[:, None]
    along_CR = (samples_CRD @ unit_CD[..., None])[..., 0]
    long_C = torch.linalg.vector_norm(along_CR, dim=1)
    frobenius_C = torch.linalg.vector_norm(samples_CRD, dim=(1, 2))
    # Near enough to tell who is collapsed, though not what is left of those that are.
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
