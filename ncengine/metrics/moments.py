"""First and second moments of features by class, accumulated in one pass without cancellation.

Deviations are taken from a shift s_c of each class, the first class mean seen, in float64:

    δ_i = h_i − s_{y_i},   d_c = Σ_{i∈c} δ_i,   q_c = Σ_{i∈c} ‖δ_i‖²,   S = Σ_i δ_i δ_iᵀ
    μ_c = s_c + d_c/n_c,   Σ_{i∈c} ‖h_i − μ_c‖² = q_c − ‖d_c‖²/n_c,   N Σ_W = S − Σ_c d_c d_cᵀ/n_c

so that neither a large μ_G nor a collapsed class costs digits. Moments about the same shift add, and the change to
another shift is exact (Chan, Golub, LeVeque 1983), which merges meters and processes. Memory is O(K D + D²).
"""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK_BYTES = 32 * 2**20
"""Size of one float64 copy of a batch's rows; larger batches are processed in parts."""
SCATTER_BLOCK = 128
"""Rows of S that are summed at once."""


class ClassMoments:
    """Additive sums about a shift of each class; all tensors are float64 on one device.

    `counts_K` n_c, `shift_KD` s_c, `delta_KD` d_c, `squares_K` q_c, `scatter_DD` S, of which only the part on and above
    the diagonal is used; `norm_sums` are the shift of ‖h‖, the sum of deviations from it, and of their squares.
    """

    ADDITIVE = ("counts_K", "delta_KD", "squares_K", "scatter_DD")

    def __init__(self, classes: int, features: int) -> None:
        self.counts_K = torch.zeros(classes, dtype=torch.float64)
        self.shift_KD = torch.zeros(classes, features, dtype=torch.float64)
        self.delta_KD = torch.zeros(classes, features, dtype=torch.float64)
        self.squares_K = torch.zeros(classes, dtype=torch.float64)
        self.scatter_DD = torch.zeros(features, features, dtype=torch.float64)
        self.norm_sums = torch.zeros(3, dtype=torch.float64)

    @property
    def device(self) -> torch.device:
        return self.counts_K.device

    def to(self, device: torch.device) -> ClassMoments:
        """Move to a device, in place."""
        for name in (*self.ADDITIVE, "shift_KD", "norm_sums"):
            setattr(self, name, getattr(self, name).to(device))
        return self

    def clone(self) -> ClassMoments:
        """Return a deep copy."""
        copy = ClassMoments(0, 0)
        for name in (*self.ADDITIVE, "shift_KD", "norm_sums"):
            setattr(copy, name, getattr(self, name).clone())
        return copy

    def update(self, features_BD: Tensor, labels_B: Tensor, *, has_new_classes: bool) -> None:
        """Add rows (B, D) with labels (B,); `has_new_classes`: some may be of a class without samples so far."""
        rows = max(1, CHUNK_BYTES // (8 * features_BD.shape[1]))
        for part_BD, part_B in zip(torch.split(features_BD, rows), torch.split(labels_B, rows), strict=True):
            self._update(part_BD.to(torch.float64), part_B, has_new_classes)

    def _update(self, batch_BD: Tensor, labels_B: Tensor, has_new_classes: bool) -> None:
        counts_K = torch.bincount(labels_B, minlength=len(self.counts_K)).to(torch.float64)
        norms_B = torch.linalg.vector_norm(batch_BD, dim=1)
        if has_new_classes:
            new_K = (self.counts_K == 0) & (counts_K > 0)
            means_KD = torch.zeros_like(self.shift_KD).index_add_(0, labels_B, batch_BD)
            means_KD /= counts_K.clamp(min=1)[:, None]
            self.shift_KD = torch.where(new_K[:, None], means_KD, self.shift_KD)
            self.norm_sums[0] = torch.where(self.counts_K.sum() == 0, norms_B.mean(), self.norm_sums[0])
        delta_BD = batch_BD - self.shift_KD[labels_B]
        self.counts_K += counts_K
        self.delta_KD.index_add_(0, labels_B, delta_BD)
        self.squares_K.index_add_(0, labels_B, (delta_BD**2).sum(1))
        for first in range(0, delta_BD.shape[1], SCATTER_BLOCK):
            # Only on and above the diagonal: the matrix is symmetric.
            rows = slice(first, first + SCATTER_BLOCK)
            self.scatter_DD[rows, first:].addmm_(delta_BD[:, rows].mT, delta_BD[:, first:])
        apart_B = norms_B - self.norm_sums[0]
        self.norm_sums[1] += apart_B.sum()
        self.norm_sums[2] += apart_B @ apart_B

    def shift_to(self, shift_KD: Tensor, norm_shift: Tensor) -> None:
        """Change to deviations from another shift: δ' = δ + (s − s')."""
        move_KD = self.shift_KD - shift_KD
        weighted_KD = self.counts_K[:, None] * move_KD
        cross_DD = self.delta_KD.mT @ move_KD
        self.scatter_DD += cross_DD + cross_DD.mT + weighted_KD.mT @ move_KD
        self.squares_K += ((2 * self.delta_KD + weighted_KD) * move_KD).sum(1)
        self.delta_KD += weighted_KD
        self.shift_KD = shift_KD
        count, move = self.counts_K.sum(), self.norm_sums[0] - norm_shift
        _, total, squares = self.norm_sums.unbind()
        self.norm_sums = torch.stack([norm_shift, total + count * move, squares + (2 * total + count * move) * move])

    def merge(self, other: ClassMoments) -> None:
        """Add the moments of `other`, which is not changed."""
        theirs = other.clone().to(self.device)
        self.shift_KD = torch.where((self.counts_K == 0)[:, None], theirs.shift_KD, self.shift_KD)
        if not bool(self.counts_K.any()):
            self.norm_sums[0] = theirs.norm_sums[0]
        theirs.shift_to(self.shift_KD, self.norm_sums[0])
        for name in self.ADDITIVE:
            getattr(self, name).add_(getattr(theirs, name))
        self.norm_sums[1:] += theirs.norm_sums[1:]

    @property
    def means_KD(self) -> Tensor:
        """Class means μ_c; the rows of classes without samples are zero."""
        return self.shift_KD + self.delta_KD / self.counts_K.clamp(min=1)[:, None]

    @property
    def central_squares_K(self) -> Tensor:
        """Σ_{i∈c} ‖h_i − μ_c‖², at least 0."""
        counts_K = self.counts_K.clamp(min=1)
        return (self.squares_K - (self.delta_KD**2).sum(1) / counts_K).clamp(min=0)

    @property
    def central_scatter_DD(self) -> Tensor:
        """N Σ_W."""
        counts_K1 = self.counts_K.clamp(min=1)[:, None]
        upper_DD = (self.scatter_DD - (self.delta_KD / counts_K1).mT @ self.delta_KD).triu()
        return upper_DD + upper_DD.triu(1).mT

    @property
    def norm_mean_and_std(self) -> tuple[float, float]:
        """Mean and population standard deviation of ‖h‖."""
        shift, total, squares = self.norm_sums.tolist()
        count = max(1.0, float(self.counts_K.sum()))
        return shift + total / count, max(0.0, squares / count - (total / count) ** 2) ** 0.5

    def all_reduce(self) -> ClassMoments:
        """Return the sum over all processes of `torch.distributed`'s default group; a collective."""
        from torch import distributed

        found = self.clone()
        counts_K = found.counts_K.clone()
        distributed.all_reduce(counts_K)
        # A common shift: the class means of all processes together.
        shift_KD = found.means_KD * found.counts_K[:, None]
        norm_shift = found.norm_sums[0] * found.counts_K.sum() + found.norm_sums[1]
        distributed.all_reduce(shift_KD)
        distributed.all_reduce(norm_shift)
        found.shift_to(shift_KD / counts_K.clamp(min=1)[:, None], norm_shift / counts_K.sum().clamp(min=1))
        for name in found.ADDITIVE:
            distributed.all_reduce(getattr(found, name))
        sums = found.norm_sums[1:].clone()
        distributed.all_reduce(sums)
        found.norm_sums[1:] = sums
        return found
