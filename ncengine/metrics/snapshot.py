"""Everything the metrics read, derived once: class means, frame, cosines, classifier, per-sample decisions.

Symbols as in the papers: μ_c class means, μ_G = mean of the class means, H = [μ_c − μ_G] (D×K), W (K×D), b (K),
Σ_W = (1/N) Σ_i (h_i − μ_{y_i})(h_i − μ_{y_i})ᵀ. Classes without samples are left out, with K the number present.
All arrays are float64 NumPy; nothing here needs torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

RANK_CUT = 1e-13
"""Eigenvalues of Σ_B below this share of the largest are taken as zero."""
CHUNK_ROWS = 8192


def row_cosines(rows_KD: F64) -> F64:
    """Return the K×K cosines between rows; rows of norm zero have cosine zero with everything."""
    norms_K = np.linalg.norm(rows_KD, axis=1)
    units_KD = rows_KD / np.where(norms_K > 0, norms_K, 1.0)[:, None]
    return np.clip(units_KD @ units_KD.T, -1.0, 1.0)


def off_diagonal(matrix_KK: F64) -> F64:
    """Return the K(K−1) entries off the diagonal."""
    return matrix_KK[~np.eye(len(matrix_KK), dtype=bool)]


@dataclass(frozen=True)
class Snapshot:
    """Accumulated moments of one split, the classifier, and the kept samples.

    `means_DK` and `counts_K` cover all K classes (zero columns where the count is zero); `scatter_DD` is Σ_i over the
    samples of their outer products around their own class mean. `samples_ND` and `labels_N` are the samples kept for
    the metrics that need a second pass. `reference_DK` are the class means that classify (the training split's).
    """

    means_DK: F64
    counts_K: I64
    scatter_DD: F64
    samples_ND: npt.NDArray[np.float32]
    labels_N: I64
    weight_KD: F64 | None = None
    bias_K: F64 | None = None
    reference_DK: F64 | None = None

    @cached_property
    def present(self) -> I64:
        """Indices of the classes that have samples."""
        return np.flatnonzero(self.counts_K)

    @property
    def classes(self) -> int:
        return len(self.present)

    @cached_property
    def global_mean_D(self) -> F64:
        """μ_G, the mean of the class means present (zero where there is none)."""
        if not self.classes:
            return np.zeros(len(self.means_DK))
        return np.asarray(self.means_DK[:, self.present].mean(axis=1))

    @cached_property
    def centred_DK(self) -> F64:
        """H: centred class means of the classes present, as columns."""
        return self.means_DK[:, self.present] - self.global_mean_D[:, None]

    @cached_property
    def between(self) -> tuple[F64, F64]:
        """Principal directions (D, r) and eigenvalues (r) of Σ_B = H Hᵀ/K above the rank cut."""
        if not self.classes:
            return np.zeros((len(self.means_DK), 0)), np.zeros(0)
        left, singular, _ = np.linalg.svd(self.centred_DK / math.sqrt(self.classes), full_matrices=False)
        eigenvalues = singular**2
        kept = eigenvalues > RANK_CUT * eigenvalues.max(initial=0.0)
        return left[:, kept], eigenvalues[kept]

    @cached_property
    def mean_cosines(self) -> F64:
        return row_cosines(self.centred_DK.T)

    @cached_property
    def weight_present_KD(self) -> F64 | None:
        """Rows of W for the classes present, as they are."""
        return None if self.weight_KD is None else self.weight_KD[self.present]

    @cached_property
    def weight_centred_KD(self) -> F64 | None:
        """Rows w_c − w̄ for the classes present."""
        rows = self.weight_present_KD
        return None if rows is None or not len(rows) else rows - rows.mean(axis=0)

    @cached_property
    def weight_cosines(self) -> F64 | None:
        return None if self.weight_centred_KD is None else row_cosines(self.weight_centred_KD)

    @cached_property
    def etf_gram(self) -> F64:
        """T = (I − 11ᵀ/K)/√(K−1), of unit Frobenius norm."""
        k = self.classes
        return np.asarray((np.eye(k) - 1 / k) / math.sqrt(max(k - 1, 1)))

    @cached_property
    def logits_NK(self) -> F64 | None:
        """W h + b of the kept samples, over all K classes."""
        if self.weight_KD is None or not len(self.samples_ND):
            return None
        # Around μ_G, so that a large global mean does not eat the digits that tell classes apart.
        offset_K = self.weight_KD @ self.global_mean_D + (0.0 if self.bias_K is None else self.bias_K)
        return self._around_global_mean(self.weight_KD) + offset_K

    @cached_property
    def nearest_mean_N(self) -> I64 | None:
        """argmin_c ‖h − μ_c‖² of the kept samples with the reference means; classes without one never win."""
        if not len(self.samples_ND):
            return None
        if self.reference_DK is None:
            means_DK, known = self.means_DK, self.present
        else:
            means_DK = self.reference_DK
            known = np.flatnonzero(np.isfinite(means_DK).all(axis=0))
        offsets_KD = (means_DK[:, known] - self.global_mean_D[:, None]).T
        scores = self._around_global_mean(offsets_KD) - 0.5 * (offsets_KD**2).sum(axis=1)
        return np.asarray(known[scores.argmax(axis=1)])

    @cached_property
    def margins_N(self) -> F64 | None:
        """cos(h − μ_G, w_y − w̄) − max_{c≠y} cos(h − μ_G, w_c − w̄) of each kept sample."""
        if self.weight_centred_KD is None or not len(self.samples_ND) or self.classes < 2:
            return None
        norms_K = np.linalg.norm(self.weight_centred_KD, axis=1)
        units_KD = self.weight_centred_KD / np.where(norms_K > 0, norms_K, 1.0)[:, None]
        cosines_NK = self._around_global_mean(units_KD)
        norms_N = np.concatenate([np.linalg.norm(chunk - self.global_mean_D, axis=1) for chunk in self._chunks()])
        cosines_NK /= np.where(norms_N > 0, norms_N, 1.0)[:, None]
        rows = np.arange(len(cosines_NK))
        own = np.searchsorted(self.present, self.labels_N)
        own_N = cosines_NK[rows, own]
        cosines_NK[rows, own] = -np.inf
        return np.asarray(own_N - cosines_NK.max(axis=1))

    def _chunks(self) -> list[F64]:
        count = len(self.samples_ND)
        return [self.samples_ND[i : i + CHUNK_ROWS].astype(np.float64) for i in range(0, count, CHUNK_ROWS)]

    def _around_global_mean(self, rows_KD: F64) -> F64:
        """Return (h − μ_G) rowsᵀ (N, K) of the kept samples, in float64, a bounded chunk at a time."""
        return np.concatenate([(chunk - self.global_mean_D) @ rows_KD.T for chunk in self._chunks()])
