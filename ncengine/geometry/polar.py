"""The orthonormal polar factor and its exact derivative.

For A = P Σ Qᵀ (D×R, D ≥ R) the factor is polar(A) = P Qᵀ: the nearest matrix with orthonormal columns, the solution
of the orthogonal Procrustes problem (Schönemann 1966; Higham 1986). With S = (P Qᵀ)ᵀA = Q diag(σ) Qᵀ and an upstream
gradient G,

    grad_A = R X + (I − R Rᵀ) G S⁻¹,   S X + X S = RᵀG − GᵀR,   X̂_ij = (Qᵀ(RᵀG − GᵀR)Q)_ij / (σ_i + σ_j)

in O(DR² + R³) time and O(DR) memory (Guiding Neural Collapse solves the same system with an R²D×RD matrix instead).

If A loses rank the factor is not differentiable and 1/σ is unbounded. In the derivative σ_i and σ_i + σ_j are therefore
bounded below by `FLOOR`·σ_max; `floor_hits` counts how often that changed a value.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ncengine.geometry.newton_schulz import lyapunov, newton_schulz_polar

FLOOR = 1e-6
"""Smallest σ/σ_max that the derivative uses: below it the gradient is that of the clamped problem."""
WELL_CONDITIONED = 1e-3
"""Smallest σ_min/σ_max at which AᵀA is used: the factor then has an error of about 1e-10."""


class _FloorCounter:
    """Counts singular values that the floor replaced, on the device, without a read from it."""

    def __init__(self) -> None:
        self._hits: dict[torch.device, Tensor] = {}

    def add(self, hits: Tensor) -> None:
        held = self._hits.get(hits.device)
        self._hits[hits.device] = hits if held is None else held + hits

    def total(self) -> int:
        return sum(int(hits) for hits in self._hits.values())


_floor_counter = _FloorCounter()


def floor_hits() -> int:
    """Return how many singular values the floor has replaced in this process."""
    return _floor_counter.total()


class PolarFactor(NamedTuple):
    """polar(A) = R with the quantities that its derivative needs.

    `factor_DR` = R in the dtype of A; in float64 `right_RR` = Q (columns), `sigma_R` the singular values bounded below
    by the floor, in any order, and `inverse_RR` = Q diag(1/σ) Qᵀ = S⁻¹. Newton–Schulz gives no singular values: then
    `sigma_R` is empty, and `right_RR` is S itself.
    """

    factor_DR: Tensor
    right_RR: Tensor
    sigma_R: Tensor
    inverse_RR: Tensor


def polar_factor(matrix_DR: Tensor) -> PolarFactor:
    """Return the polar factor of A (D, R), D ≥ R; computed in float64.

    On the CPU R = A S⁻¹ with S from the eigenvectors of AᵀA, which is R×R. That squares the condition number κ and errs
    by about 1e-16 κ², so from κ = 1/WELL_CONDITIONED on, and on a GPU (where reading κ would wait), the SVD is used.
    """
    matrix = matrix_DR.to(torch.float64)
    if matrix.device.type == "cpu":
        squared_R, right_RR = torch.linalg.eigh(matrix.mT @ matrix)
        ascending = squared_R.tolist()
        if ascending[0] > WELL_CONDITIONED**2 * ascending[-1]:
            sigma_R = squared_R.sqrt()
            inverse_RR = (right_RR / sigma_R) @ right_RR.mT
            factor_DR = (inverse_RR @ matrix.mT).mT.to(matrix_DR.dtype)
            return PolarFactor(factor_DR, right_RR, sigma_R, inverse_RR)
    left, sigma_R, right_h = torch.linalg.svd(matrix, full_matrices=False)
    return bounded((left @ right_h).to(matrix_DR.dtype), right_h.mT, sigma_R)


def newton_schulz_factor(matrix_DR: Tensor) -> PolarFactor:
    """Return the polar factor of A (D, R) by Newton–Schulz in float64, or by the SVD if that does not converge."""
    matrix = matrix_DR.to(torch.float64)
    factor_DR, symmetric_RR, inverse_RR, converged = newton_schulz_polar(matrix)
    if not bool(converged):
        return polar_factor(matrix_DR)
    return PolarFactor(factor_DR.to(matrix_DR.dtype), symmetric_RR, matrix.new_empty(0), inverse_RR)


def bounded(factor_DR: Tensor, right_RR: Tensor, sigma_R: Tensor) -> PolarFactor:
    """Return R, Q and σ as a PolarFactor, with σ bounded below by the floor, and count the replaced values."""
    floor = (sigma_R.amax() * FLOOR).clamp(min=torch.finfo(sigma_R.dtype).tiny)
    _floor_counter.add((sigma_R < floor).sum())
    bounded_R = torch.maximum(sigma_R, floor)
    return PolarFactor(factor_DR, right_RR, bounded_R, (right_RR / bounded_R) @ right_RR.mT)


def polar_vjp(found: PolarFactor, upstream_DR: Tensor) -> Tensor:
    """Return the gradient (D, R) with respect to A of a scalar whose gradient at polar(A) is `upstream_DR`.

    With Ĉ = Qᵀ RᵀG Q the formula above is R Q (X̂ − Ĉ diag(1/σ)) Qᵀ + G S⁻¹. Everything but three products is R×R and
    in float64, since it divides by σ; the three are in the dtype of R and G.
    """
    factor_DR, right_RR, sigma_R, inverse_RR = found
    dtype = factor_DR.dtype
    inner_RR = (factor_DR.mT @ upstream_DR).to(torch.float64)
    if len(sigma_R):
        inner_RR = right_RR.mT @ inner_RR @ right_RR
        solved_RR = (inner_RR - inner_RR.mT) / (sigma_R[:, None] + sigma_R)
        along_RR = right_RR @ (solved_RR - inner_RR / sigma_R) @ right_RR.mT
    else:
        along_RR = lyapunov(right_RR, inner_RR - inner_RR.mT) - inner_RR @ inverse_RR
    return torch.addmm(inverse_RR.to(dtype) @ upstream_DR.mT, along_RR.to(dtype).mT, factor_DR.mT).mT


class Polar(torch.autograd.Function):
    """`polar_factor` and `polar_vjp` as one autograd function."""

    @staticmethod
    def forward(ctx: Any, matrix_DR: Tensor) -> Tensor:
        found = polar_factor(matrix_DR)
        ctx.save_for_backward(*found)
        return found.factor_DR

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream_DR: Tensor) -> Tensor:
        return polar_vjp(PolarFactor(*ctx.saved_tensors), upstream_DR)


def polar(a: Tensor) -> Tensor:
    """Return the orthonormal polar factor of `a` (D, R) with D ≥ R: same shape, orthonormal columns, differentiable.

    Raises ValueError if D < R, since no matrix of that shape has orthonormal columns.
    """
    if a.ndim != 2 or a.shape[0] < a.shape[1]:
        raise ValueError(f"polar needs a (D, R) matrix with D >= R, got {tuple(a.shape)}")
    factor: Tensor = Polar.apply(a)
    return factor
