"""Everything the metrics read of one split, derived once from accumulated moments, the classifier and kept samples.

Symbols as in the papers: μ_c class means, μ_G their mean (or that of all samples), m_c = μ_c − μ_G, H = [m_c] (D×K),
W (K×D), b (K), Σ_W = (1/N) Σ_i (h_i − μ_{y_i})(h_i − μ_{y_i})ᵀ, Σ_B = (1/K) Σ_c m_c m_cᵀ. Classes without samples are
left out, with K the number K' present. Tensors are float64 on the meter's device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from ncengine.metrics.rows import Rows

if TYPE_CHECKING:
    from ncengine.moments import ClassMoments

Center = Literal["classes", "samples"]
RANK_CUT = 1e-13
"""Eigenvalues of Σ_B below this share of the largest are taken as zero."""
LONG_TAIL = 2.0
"""Training sets whose largest class has at least so many times the samples of the smallest have a head and a tail."""


@dataclass(frozen=True, eq=False)
class Reference:
    """The training split as other splits see it: its class means decide nc4, its counts tell head from tail."""

    means_KD: Tensor
    counts_K: Tensor
    """Of all K classes; rows of `means_KD` without samples are not read."""


@dataclass(frozen=True, eq=False)
class Outside:
    """Features of an out-of-distribution set: their mean (D), those kept (n, D), and the directions of NECO (D, r)."""

    mean_D: Tensor
    samples_ND: Tensor
    principal_DR: Tensor
    center_D: Tensor


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Moments of one split over all K classes, the classifier as evaluation uses it, and the samples that were kept."""

    moments: ClassMoments
    samples_ND: Tensor
    labels_N: Tensor
    weight_KD: Tensor | None = None
    bias_K: Tensor | None = None
    reference: Reference | None = None
    outside: Outside | None = None
    turned: float | None = None
    """‖R_t − R_{t−1}‖_F of the nearest ETF's frame since the measurement before, where that is known."""
    center: Center = "classes"

    @property
    def device(self) -> torch.device:
        return self.moments.device

    @property
    def counts_K(self) -> Tensor:
        """n_c, float64."""
        return self.moments.counts_K

    @property
    def means_KD(self) -> Tensor:
        """Class means as they are; zero rows where there is none. Made anew each time: K×D may be much."""
        return self.moments.means_KD

    @cached_property
    def squares_K(self) -> Tensor:
        """Σ_{i∈c} ‖h_i − μ_c‖²."""
        return self.moments.central_squares_K

    @cached_property
    def scatter_DD(self) -> Tensor:
        """N Σ_W."""
        return self.moments.central_scatter_DD

    @cached_property
    def norms(self) -> tuple[float, float]:
        """Mean and standard deviation of ‖h‖ over samples."""
        return self.moments.norm_mean_and_std

    @cached_property
    def present(self) -> Tensor:
        """Indices of the classes that have samples."""
        return (self.counts_K > 0).nonzero()[:, 0]

    @property
    def classes(self) -> int:
        """K', the number of classes present."""
        return len(self.present)

    @cached_property
    def count(self) -> int:
        """N, all samples that were seen."""
        return int(self.counts_K.sum())

    def of_present(self, values_K: Tensor) -> Tensor:
        """Return the rows of the classes present, without a copy where all are."""
        return values_K if self.classes == len(values_K) else values_K[self.present]

    @cached_property
    def global_mean_D(self) -> Tensor:
        """μ_G: the mean of the class means present, or of all samples (zero where there is none)."""
        if not self.classes:
            return self.scatter_DD.new_zeros(len(self.scatter_DD))
        means = self.of_present(self.means_KD)
        if self.center == "classes":
            return means.mean(0)
        shares_K = self.of_present(self.counts_K) / self.count
        return shares_K @ means

    @cached_property
    def means(self) -> Rows:
        """H: centred class means of the classes present, as rows."""
        means = self.of_present(self.means_KD)
        return Rows.centred(means, self.global_mean_D)

    @cached_property
    def weights(self) -> Rows | None:
        """Rows w_c − w̄ of the classes present."""
        if self.weight_KD is None or not self.classes:
            return None
        rows = self.of_present(self.weight_KD)
        return Rows.centred(rows, rows.mean(0))

    @cached_property
    def variances_K(self) -> Tensor:
        """σ_c² = mean over the class of ‖h − μ_c‖², of the classes present."""
        return self.of_present(self.squares_K) / self.of_present(self.counts_K)

    @cached_property
    def within_trace(self) -> float:
        """tr(Σ_W)."""
        return float(self.squares_K.sum()) / max(1, self.count)

    @cached_property
    def between_trace(self) -> float:
        """tr(Σ_B)."""
        return self.means.norm**2 / max(1, self.classes)

    @cached_property
    def between(self) -> tuple[Tensor, Tensor]:
        """Principal directions (D, r) and eigenvalues (r), descending, of Σ_B = H Hᵀ/K above the rank cut."""
        if self.means.degenerate:
            return self.scatter_DD.new_zeros(len(self.scatter_DD), 0), self.scatter_DD.new_zeros(0)
        directions_DR, singular_R = self.means.decomposition
        eigenvalues_R = singular_R**2 / self.classes
        kept = int((eigenvalues_R > RANK_CUT * eigenvalues_R[0]).sum())
        return directions_DR[:, :kept], eigenvalues_R[:kept]

    @cached_property
    def alignment_norm(self) -> float:
        """‖WH‖_F over the classes present, with W as it is; 0 without a classifier."""
        return 0.0 if self.weights is None else self.weights.product_norm_as_is(self.means)

    @cached_property
    def within_spectrum(self) -> Tensor:
        """Eigenvalues of Σ_W (D), descending; what rounding makes negative is zero."""
        eigenvalues_D: Tensor = torch.linalg.eigvalsh((self.scatter_DD / max(1, self.count)).cpu())
        return eigenvalues_D.flip(0).clamp(min=0)

    @cached_property
    def principal_DR(self) -> Tensor:
        """The K' − 1 leading principal directions (D, R) of all features around μ_G, those of Σ_W + Σ_B."""
        means = self.means.rows_KD
        shares_K1 = (self.of_present(self.counts_K) / max(1, self.count))[:, None]
        total_DD = self.scatter_DD / max(1, self.count) + (shares_K1 * means).mT @ means
        _, vectors = torch.linalg.eigh(total_DD.cpu())
        kept = min(len(total_DD), max(1, self.classes - 1))
        directions_DR: Tensor = vectors[:, -kept:].to(means.device)
        return directions_DR

    @cached_property
    def within_along_between(self) -> Tensor:
        """pᵣᵀ Σ_W pᵣ (r) along each principal direction of Σ_B."""
        directions_DR, _ = self.between
        return ((self.scatter_DD @ directions_DR) * directions_DR).sum(0) / max(1, self.count)

    @cached_property
    def conditional_within(self) -> Tensor:
        """Σ_W within span(H), given the rest of R^D: the Schur complement W_pp − W_pq W_qq† W_qp (r, r).

        Σ_T = Σ_W + Σ_B has the inverse (Λ + S)⁻¹ there, which is what tr(Σ_T† Σ_B) needs, and no D×D inverse. What
        W_qq has below D ε of its largest eigenvalue is rounding.
        """
        directions_DR, _ = self.between
        rank = directions_DR.shape[1]
        within_DD = self.scatter_DD / max(1, self.count)
        beside_DR = within_DD @ directions_DR
        schur = directions_DR.mT @ beside_DR
        if rank < len(within_DD):
            basis = torch.linalg.qr(directions_DR.cpu(), mode="complete").Q[:, rank:].to(directions_DR.device)
            eigenvalues, vectors = torch.linalg.eigh((basis.mT @ within_DD @ basis).cpu())
            cut = len(within_DD) * torch.finfo(torch.float64).eps * float(eigenvalues[-1].clamp(min=0))
            known = eigenvalues > cut
            scaled = (vectors[:, known] / eigenvalues[known].sqrt()).to(basis.device)
            explained = scaled.mT @ (basis.mT @ beside_DR)
            schur = schur - explained.mT @ explained
        return 0.5 * (schur + schur.mT)

    @cached_property
    def center_logits_K(self) -> Tensor | None:
        """W μ_G + b (K); None without a classifier."""
        if self.weight_KD is None:
            return None
        logits_K = self.weight_KD @ self.global_mean_D
        return logits_K if self.bias_K is None else logits_K + self.bias_K

    @cached_property
    def deciding_means(self) -> tuple[Tensor, Tensor, Tensor]:
        """Class means around μ_G that classify samples, half their squared norms, and which classes these are.

        They are the training split's, where this is another one.
        """
        if self.reference is None:
            offsets_KD, known = self.means.rows_KD, self.present
        else:
            known = (self.reference.counts_K > 0).nonzero()[:, 0]
            offsets_KD = self.reference.means_KD[known] - self.global_mean_D
        return offsets_KD, 0.5 * torch.linalg.vector_norm(offsets_KD, dim=1) ** 2, known

    @cached_property
    def groups(self) -> tuple[Tensor, Tensor] | None:
        """Positions, among the classes present, of the head's and the tail's classes; None on balanced training data.

        The border is the geometric mean of the largest and the smallest class, which halves an exponential tail and
        parts the two sizes of a step.
        """
        counts_K = self.of_present(self.counts_K if self.reference is None else self.reference.counts_K)
        if self.classes < 2 or not bool((counts_K > 0).all()):
            return None
        largest, smallest = float(counts_K.max()), float(counts_K.min())
        if largest < LONG_TAIL * smallest:
            return None
        in_head = counts_K >= math.sqrt(largest * smallest)
        return in_head.nonzero()[:, 0], (~in_head).nonzero()[:, 0]
