"""First and second moments of features by class, accumulated in one pass that loses nothing to cancellation.

Deviations are taken from a shift s_c of each class, the first class mean seen, in float64:

    δ_i = h_i − s_{y_i},   d_c = Σ_{i∈c} δ_i,   q_c = Σ_{i∈c} ‖δ_i‖²,   S = Σ_i δ_i δ_iᵀ
    μ_c = s_c + d_c/n_c,   Σ_{i∈c} ‖h_i − μ_c‖² = q_c − ‖d_c‖²/n_c,   N Σ_W = S − Σ_c d_c d_cᵀ/n_c

so that neither a far-away μ_G nor a collapsed class eats digits. Moments about one shift add, and moving them to
another is exact (Chan, Golub, LeVeque 1983): that is how they merge, also across processes. Memory is O(K D + D²).
"""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK_BYTES = 32 * 2**20
"""Of one float64 copy of a batch's rows; larger batches are taken in parts."""
SCATTER_BLOCK = 128
"""Rows of S that are summed at once."""


class ClassMoments:
    """Additive sums about a shift of each class; all tensors are float64 on one device.

    `counts_K` n_c, `shift_KD` s_c, `delta_KD` d_c, `squares_K` q_c, `scatter_DD` S, of which only what is on and above
    the diagonal means anything; `norms` are the shift of ‖h‖, the sum of deviations from it, and of their squares.
    """

    ADDITIVE = ("counts_K", "delta_KD", "squares_K", "scatter_DD")

    def __init__(self, classes: int, features: int) -> None:
        self.counts_K = torch.zeros(classes, dtype=torch.float64)
        self.shift_KD = torch.zeros(classes, features, dtype=torch.float64)
        self.delta_KD = torch.zeros(classes, features, dtype=torch.float64)
        self.squares_K = torch.zeros(classes, dtype=torch.float64)
        self.scatter_DD = torch.zeros(features, features, dtype=torch.float64)
        self.norms = torch.zeros(3, dtype=torch.float64)

    @property
    def device(self) -> torch.device:
        return self.counts_K.device

    def to(self, device: torch.device) -> ClassMoments:
        """Move to a device, in place."""
        for name in (*self.ADDITIVE, "shift_KD", "norms"):
            setattr(self, name, getattr(self, name).to(device))
        return self

    def clone(self) -> ClassMoments:
        """Return a copy that shares nothing."""
        copy = ClassMoments(0, 0)
        for name in (*self.ADDITIVE, "shift_KD", "norms"):
            setattr(copy, name, getattr(self, name).clone())
        return copy

    def add(self, features_BD: Tensor, labels_B: Tensor, *, fresh: bool) -> None:
        """Take rows in; `fresh` says that a class among them may be one that was not seen before."""
        rows = max(1, CHUNK_BYTES // (8 * features_BD.shape[1]))
        for part_BD, part_B in zip(torch.split(features_BD, rows), torch.split(labels_B, rows), strict=True):
            self._add(part_BD.to(torch.float64), part_B, fresh)

    def _add(self, batch_BD: Tensor, labels_B: Tensor, fresh: bool) -> None:
        counts_K = torch.bincount(labels_B, minlength=len(self.counts_K)).to(torch.float64)
        norms_B = torch.linalg.vector_norm(batch_BD, dim=1)
        if fresh:
            new_K = (self.counts_K == 0) & (counts_K > 0)
            means_KD = torch.zeros_like(self.shift_KD).index_add_(0, labels_B, batch_BD)
            means_KD /= counts_K.clamp(min=1)[:, None]
            self.shift_KD = torch.where(new_K[:, None], means_KD, self.shift_KD)
            self.norms[0] = torch.where(self.counts_K.sum() == 0, norms_B.mean(), self.norms[0])
        delta_BD = batch_BD - self.shift_KD[labels_B]
        self.counts_K += counts_K
        self.delta_KD.index_add_(0, labels_B, delta_BD)
        self.squares_K.index_add_(0, labels_B, (delta_BD**2).sum(1))
        for first in range(0, delta_BD.shape[1], SCATTER_BLOCK):
            # On and above the diagonal alone: the rest is its mirror image.
            rows = slice(first, first + SCATTER_BLOCK)
            self.scatter_DD[rows, first:].addmm_(delta_BD[:, rows].mT, delta_BD[:, first:])
        apart_B = norms_B - self.norms[0]
        self.norms[1] += apart_B.sum()
        self.norms[2] += apart_B @ apart_B

    def move_to(self, shift_KD: Tensor, norm_shift: Tensor) -> None:
        """Take the deviations from another shift: δ' = δ + (s − s')."""
        move_KD = self.shift_KD - shift_KD
        weighted_KD = self.counts_K[:, None] * move_KD
        cross_DD = self.delta_KD.mT @ move_KD
        self.scatter_DD += cross_DD + cross_DD.mT + weighted_KD.mT @ move_KD
        self.squares_K += ((2 * self.delta_KD + weighted_KD) * move_KD).sum(1)
        self.delta_KD += weighted_KD
        self.shift_KD = shift_KD
        count, move = self.counts_K.sum(), self.norms[0] - norm_shift
        _, total, squares = self.norms.unbind()
        self.norms = torch.stack([norm_shift, total + count * move, squares + (2 * total + count * move) * move])

    def merge(self, other: ClassMoments) -> None:
        """Take in what `other` holds, which stays as it is."""
        theirs = other.clone().to(self.device)
        self.shift_KD = torch.where((self.counts_K == 0)[:, None], theirs.shift_KD, self.shift_KD)
        if not bool(self.counts_K.any()):
            self.norms[0] = theirs.norms[0]
        theirs.move_to(self.shift_KD, self.norms[0])
        for name in self.ADDITIVE:
            getattr(self, name).add_(getattr(theirs, name))
        self.norms[1:] += theirs.norms[1:]

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
        """N Σ_W, whole."""
        counts_K1 = self.counts_K.clamp(min=1)[:, None]
        upper_DD = (self.scatter_DD - (self.delta_KD / counts_K1).mT @ self.delta_KD).triu()
        return upper_DD + upper_DD.triu(1).mT

    @property
    def norm_mean_and_std(self) -> tuple[float, float]:
        """Mean and population standard deviation of ‖h‖."""
        shift, total, squares = self.norms.tolist()
        count = max(1.0, float(self.counts_K.sum()))
        return shift + total / count, max(0.0, squares / count - (total / count) ** 2) ** 0.5

    def reduced(self) -> ClassMoments:
        """Return the sum over all processes of `torch.distributed`'s default group; a collective."""
        from torch import distributed

        found = self.clone()
        counts_K = found.counts_K.clone()
        distributed.all_reduce(counts_K)
        # A common shift: the class means of all processes together.
        shift_KD = found.means_KD * found.counts_K[:, None]
        norm_shift = found.norms[0] * found.counts_K.sum() + found.norms[1]
        distributed.all_reduce(shift_KD)
        distributed.all_reduce(norm_shift)
        found.move_to(shift_KD / counts_K.clamp(min=1)[:, None], norm_shift / counts_K.sum().clamp(min=1))
        for name in found.ADDITIVE:
            distributed.all_reduce(getattr(found, name))
        sums = found.norms[1:].clone()
        distributed.all_reduce(sums)
        found.norms[1:] = sums
        return found
