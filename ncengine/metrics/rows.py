"""K' vectors in R^D that belong to classes and sum to zero: centred class means, or centred classifier rows."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

COINCIDENT = 1e-12
"""Vectors shorter than this share of the scale they were computed from are zero."""


def frobenius(matrix: Tensor) -> float:
    """Return ‖A‖_F by the norms of its rows: in one go a million squares lose four digits."""
    return float(torch.linalg.vector_norm(torch.linalg.vector_norm(matrix, dim=1)))


class Rows:
    """Centred rows (K', D), float64, and what is derived from them; `scale` is the size of the numbers before centring.

    `offset_D` is what centring took off; `as_is` forms of products put it on again, since some papers take W as it is.
    """

    def __init__(self, rows_KD: Tensor, offset_D: Tensor, scale: float) -> None:
        self.rows_KD, self.offset_D = rows_KD, offset_D
        self._scale, self._zero = scale, COINCIDENT * scale

    @classmethod
    def centred(cls, rows_KD: Tensor, offset_D: Tensor) -> Rows:
        """Return rows less `offset_D`."""
        low, high = rows_KD.aminmax() if rows_KD.numel() else (torch.zeros(()), torch.zeros(()))
        return cls(rows_KD - offset_D, offset_D, max(-float(low), float(high)))

    def __len__(self) -> int:
        return len(self.rows_KD)

    @cached_property
    def norms_K(self) -> Tensor:
        """Euclidean norms (K'), zero where a row is zero up to rounding."""
        norms_K = torch.linalg.vector_norm(self.rows_KD, dim=1)
        return torch.where(norms_K > self._zero, norms_K, 0.0)

    @cached_property
    def degenerate(self) -> bool:
        """Whether fewer than two rows differ, so that there are no angles."""
        return len(self) < 2 or not bool((self.norms_K > 0).any())

    @cached_property
    def inverse_norms_K(self) -> Tensor:
        """1/norm, and 0 for rows of norm zero, whose cosine with everything is 0."""
        return torch.where(self.norms_K > 0, 1 / self.norms_K, 0.0)

    @cached_property
    def norm(self) -> float:
        """Frobenius norm of all rows."""
        return frobenius(self.rows_KD)

    @cached_property
    def norm_as_is(self) -> float:
        """Frobenius norm of the rows before centring: ‖rows‖² + K'‖offset‖²."""
        return float((self.norm**2 + len(self) * float(self.offset_D @ self.offset_D)) ** 0.5)

    @cached_property
    def mean_cosine(self) -> float:
        """Mean cosine over pairs i ≠ j."""
        return self.mean_cosine_among(torch.arange(len(self), device=self.rows_KD.device))

    def mean_cosine_among(self, which: Tensor) -> float:
        """Return the mean cosine over pairs i ≠ j of some rows, at least two: (‖Σ û‖² − Σ ‖û‖²)/(n(n−1))."""
        inverse_K = torch.zeros_like(self.inverse_norms_K)
        inverse_K[which] = self.inverse_norms_K[which]
        count, known = len(which), float((inverse_K > 0).sum())
        total_D = inverse_K @ self.rows_KD
        return (float(total_D @ total_D) - known) / (count * (count - 1))

    @cached_property
    def decomposition(self) -> tuple[Tensor, Tensor]:
        """Right singular vectors (D, r) and singular values (r), descending, r = min(K', D)."""
        # A triangle first, so that the long side never enters the decomposition; that is on the CPU, where small
        # ones are quickest.
        if len(self) > self.rows_KD.shape[1]:
            triangle_DD = torch.linalg.qr(self.rows_KD, mode="r").R
            _, singular_R, right_RD = torch.linalg.svd(triangle_DD.cpu(), full_matrices=False)
            directions_DR = right_RD.mT
        else:
            basis_DK, triangle_KK = torch.linalg.qr(self.rows_KD.mT)
            left_KR, singular_R, _ = torch.linalg.svd(triangle_KK.cpu(), full_matrices=False)
            directions_DR = basis_DK @ left_KR.to(basis_DK.device)
        return directions_DR.to(self.rows_KD.device), singular_R.to(self.rows_KD.device)

    @cached_property
    def residual_D(self) -> Tensor:
        """Mean row: zero up to rounding where centring took off the mean of the rows."""
        return self.rows_KD.mean(0)

    @cached_property
    def sum_free(self) -> Rows:
        """The rows less their mean, which are these where it is zero."""
        if float(torch.linalg.vector_norm(self.residual_D)) <= self._zero:
            return self
        return Rows(self.rows_KD - self.residual_D, self.offset_D + self.residual_D, self._scale)

    @cached_property
    def gram_norm(self) -> float:
        """‖rows rowsᵀ‖_F."""
        rows = self.rows_KD
        return frobenius(rows @ rows.mT if self._wide else rows.mT @ rows)

    @cached_property
    def gram_norm_as_is(self) -> float:
        """‖rows rowsᵀ‖_F of the rows before centring."""
        rows = self.rows_KD + self.offset_D
        return frobenius(rows @ rows.mT if self._wide else rows.mT @ rows)

    def product_norm_as_is(self, other: Rows) -> float:
        """Return ‖A Bᵀ‖_F, A these rows before centring, B the other's centred rows, by the smaller Gram matrices."""
        rows = self.rows_KD + self.offset_D
        if self._wide:
            return frobenius(rows @ other.rows_KD.mT)
        inner = ((rows.mT @ rows) * (other.rows_KD.mT @ other.rows_KD)).sum()
        return float(inner.clamp(min=0).sqrt())

    @property
    def _wide(self) -> bool:
        """Whether there are no more rows than columns, so that products over classes are the smaller ones."""
        return len(self) <= self.rows_KD.shape[1]
