"""The orthonormal polar factor and its exact derivative, forward and backward side by side.

For A = P Σ Qᵀ (D×R, D ≥ R) the factor is polar(A) = P Qᵀ: the nearest matrix with orthonormal columns, the solution
of the orthogonal Procrustes problem (Schönemann 1966; Higham 1986). With S = (P Qᵀ)ᵀA = Q diag(σ) Qᵀ and an upstream
gradient G,

    grad_A = R X + (I − R Rᵀ) G S⁻¹,   S X + X S = RᵀG − GᵀR,   X̂_ij = (Qᵀ(RᵀG − GᵀR)Q)_ij / (σ_i + σ_j)

in O(DR² + R³) time and O(DR) memory (Guiding Neural Collapse solves the same system with an R²D×RD matrix instead).

Where A loses rank the factor is not differentiable and 1/σ grows without bound. σ_i and σ_i + σ_j are therefore
bounded below by `FLOOR`·σ_max in the backward pass; `floor_hits` counts how often that changed anything.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

FLOOR = 1e-6
"""Smallest σ/σ_max that the derivative uses: below it the gradient is that of the clamped problem, finite."""


class _FloorCounter:
    """Counts singular values that the floor replaced, on the device, so that counting never waits for it."""

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


def polar_gradient(factor_DR: Tensor, right_RR: Tensor, sigma_R: Tensor, upstream_DR: Tensor) -> Tensor:
    """Return the gradient with respect to A of a scalar whose gradient at R = polar(A) is `upstream_DR`.

    `right_RR` holds Q (columns) and `sigma_R` the singular values of A, so that S = Q diag(σ) Qᵀ. All of one dtype.
    """
    floor = sigma_R.amax() * FLOOR
    _floor_counter.add((sigma_R < floor).sum())
    tiny = torch.finfo(sigma_R.dtype).tiny
    bounded_R = sigma_R.clamp(min=floor).clamp(min=tiny)
    # In the eigenbasis of S everything is a division: G Q and RᵀG Q are formed once.
    upstream_Q = upstream_DR @ right_RR
    factor_Q = factor_DR @ right_RR
    inner = factor_Q.mT @ upstream_Q
    solved = (inner - inner.mT) / (bounded_R[:, None] + bounded_R[None, :])
    outside = (upstream_Q - factor_Q @ inner) / bounded_R
    gradient: Tensor = (factor_Q @ solved + outside) @ right_RR.mT
    return gradient


class Polar(torch.autograd.Function):
    """polar(A) in float64 inside whatever the caller's precision; A is small and the division by σ is delicate."""

    @staticmethod
    def forward(ctx: Any, matrix_DR: Tensor) -> Tensor:
        left, sigma_R, right_h = torch.linalg.svd(matrix_DR.to(torch.float64), full_matrices=False)
        factor_DR: Tensor = left @ right_h
        ctx.save_for_backward(factor_DR, right_h.mT, sigma_R)
        return factor_DR.to(matrix_DR.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream_DR: Tensor) -> Tensor:
        factor_DR, right_RR, sigma_R = ctx.saved_tensors
        gradient = polar_gradient(factor_DR, right_RR, sigma_R, upstream_DR.to(torch.float64))
        return gradient.to(upstream_DR.dtype)


def polar(a: Tensor) -> Tensor:
    """Return the orthonormal polar factor of `a` (D, R) with D ≥ R: same shape, orthonormal columns, differentiable.

    Raises ValueError where D < R, since then no matrix of that shape has orthonormal columns.
    """
    if a.ndim != 2 or a.shape[0] < a.shape[1]:
        raise ValueError(f"polar needs a (D, R) matrix with D >= R, got {tuple(a.shape)}")
    factor: Tensor = Polar.apply(a)
    return factor
