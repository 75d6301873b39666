"""Centred class means or classifier rows, with the quantities that several metrics derive from them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from ncengine.lazy_torch import torch

if TYPE_CHECKING:
    from torch import Tensor

    Vectors: TypeAlias = "Tensor | CentredVectors"

COINCIDENT = 1e-12
"""Vectors shorter than this share of the scale they were computed from count as zero."""
RANK_CUT = 1e-13
"""Eigenvalues of Σ_B below this share of the largest count as zero."""


def frobenius(matrix: Tensor) -> float:
    """Return ‖A‖_F, computed from the norms of the rows: one sum over a million squares loses four digits."""
    return float(torch.linalg.vector_norm(torch.linalg.vector_norm(matrix, dim=1)))


class Spectrum(NamedTuple):
    """Eigenvectors (D, r) and eigenvalues (r,), descending, of a covariance."""

    directions_DR: Tensor
    eigenvalues_R: Tensor


class CentredVectors:
    """Centred rows (K', D) in float64: class means minus μ_G, or classifier rows minus their mean.

    `offset_D` is what centring subtracted; the properties named `uncentred` add it again, since some papers use W as it
    is. `scale` is the largest absolute value before centring, from which rounding errors are judged.
    """

    def __init__(self, rows_KD: Tensor, offset_D: Tensor, scale: float) -> None:
        self.rows_KD, self.offset_D = rows_KD, offset_D
        self._scale, self._zero = scale, COINCIDENT * scale

    @classmethod
    def centred(cls, rows_KD: Tensor, offset_D: Tensor) -> CentredVectors:
        """Subtract `offset_D` from rows (K', D)."""
        low, high = rows_KD.aminmax() if rows_KD.numel() else (torch.zeros(()), torch.zeros(()))
        return cls(rows_KD - offset_D, offset_D, max(-float(low), float(high)))

    @classmethod
    def of_centred(cls, vectors: Vectors) -> CentredVectors:
        """Wrap rows (K', D) that are centred already, as float64."""
        if isinstance(vectors, CentredVectors):
            return vectors
        return cls.centred(vectors.double(), vectors.new_zeros(vectors.shape[1]).double())

    @classmethod
    def of_uncentred(cls, vectors: Vectors) -> CentredVectors:
        """Wrap rows (K', D) such as W, as float64, and subtract their mean; wrapped vectors are returned unchanged."""
        if isinstance(vectors, CentredVectors):
            return vectors
        rows_KD = vectors.double()
        return cls.centred(rows_KD, rows_KD.mean(0))

    def __len__(self) -> int:
        return len(self.rows_KD)

    @cached_property
    def norms_K(self) -> Tensor:
        """Euclidean norms (K'), zero for a row that is zero up to rounding."""
        norms_K = torch.linalg.vector_norm(self.rows_KD, dim=1)
        return torch.where(norms_K > self._zero, norms_K, 0.0)

    @cached_property
    def coincide(self) -> bool:
        """Whether fewer than two rows differ, so that no angles are defined."""
        return len(self) < 2 or not bool((self.norms_K > 0).any())

    @cached_property
    def inverse_norms_K(self) -> Tensor:
        """1/norm (K'), and 0 for rows of norm zero, which makes their cosine with every row 0."""
        return torch.where(self.norms_K > 0, 1 / self.norms_K, 0.0)

    @cached_property
    def norm(self) -> float:
        """Frobenius norm of all rows."""
        return frobenius(self.rows_KD)

    @cached_property
    def uncentred_norm(self) -> float:
        """Frobenius norm before centring, from ‖rows‖² + K'‖offset‖²."""
        return float((self.norm**2 + len(self) * float(self.offset_D @ self.offset_D)) ** 0.5)

    @cached_property
    def mean_cosine(self) -> float:
        """Mean cosine over pairs i ≠ j."""
        return self.mean_cosine_among(torch.arange(len(self), device=self.rows_KD.device))

    def mean_cosine_among(self, positions: Tensor) -> float:
        """Return the mean cosine over pairs i ≠ j of at least two of the rows: (‖Σ û‖² − Σ ‖û‖²)/(n(n−1))."""
        inverse_K = torch.zeros_like(self.inverse_norms_K)
        inverse_K[positions] = self.inverse_norms_K[positions]
        count, known = len(positions), float((inverse_K > 0).sum())
        total_D = inverse_K @ self.rows_KD
        return (float(total_D @ total_D) - known) / (count * (count - 1))

    @cached_property
    def decomposition(self) -> tuple[Tensor, Tensor]:
        """Right singular vectors (D, r) and singular values (r), descending, r = min(K', D)."""
        # A QR decomposition first, so that the long side never enters the SVD; the SVD of the small triangle is
        # fastest on the CPU.
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
    def spectrum(self) -> Spectrum:
        """Eigenvectors and eigenvalues of rowsᵀ rows/K' above the rank cut: of class means, those of Σ_B."""
        if self.coincide:
            return Spectrum(self.rows_KD.new_zeros(self.rows_KD.shape[1], 0), self.rows_KD.new_zeros(0))
        directions_DR, singular_R = self.decomposition
        eigenvalues_R = singular_R**2 / len(self)
        rank = int((eigenvalues_R > RANK_CUT * eigenvalues_R[0]).sum())
        return Spectrum(directions_DR[:, :rank], eigenvalues_R[:rank])

    @cached_property
    def mean_row_D(self) -> Tensor:
        """Mean row: zero up to rounding if centring subtracted the mean of the rows."""
        return self.rows_KD.mean(0)

    @cached_property
    def with_zero_mean(self) -> CentredVectors:
        """The rows minus their mean; these rows themselves if that is zero up to rounding."""
        if float(torch.linalg.vector_norm(self.mean_row_D)) <= self._zero:
            return self
        return CentredVectors(self.rows_KD - self.mean_row_D, self.offset_D + self.mean_row_D, self._scale)

    @cached_property
    def gram_norm(self) -> float:
        """‖rows rowsᵀ‖_F."""
        rows = self.rows_KD
        return frobenius(rows @ rows.mT if self._wide else rows.mT @ rows)

    @cached_property
    def uncentred_gram_norm(self) -> float:
        """‖rows rowsᵀ‖_F of the rows before centring."""
        rows = self.rows_KD + self.offset_D
        return frobenius(rows @ rows.mT if self._wide else rows.mT @ rows)

    def uncentred_product_norm(self, other: CentredVectors) -> float:
        """Return ‖A Bᵀ‖_F, A these rows before centring, B the other's centred rows, from the smaller Gram matrices."""
        rows = self.rows_KD + self.offset_D
        if self._wide:
            return frobenius(rows @ other.rows_KD.mT)
        inner = ((rows.mT @ rows) * (other.rows_KD.mT @ other.rows_KD)).sum()
        return float(inner.clamp(min=0).sqrt())

    @property
    def _wide(self) -> bool:
        """Whether there are no more rows than columns, so that products over classes are the smaller ones."""
        return len(self) <= self.rows_KD.shape[1]
