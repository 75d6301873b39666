"""The polar factor by matrix products only (Newton–Schulz): fast on GPUs, where an eigendecomposition or SVD is not.

With G = AᵀA/s², s² ≥ σ_max², the coupled iteration (Higham 2008, §6.7, after Denman and Beavers)

    P = Z Y,   T = a I + b P + c P²,   Y ← Y T,   Z ← T Z        from Y = G, Z = I

leads to Y = G^{1/2} and Z = G^{−1/2}, hence S = (AᵀA)^{1/2} = s Y, S⁻¹ = Z/s and polar(A) = A S⁻¹. The first steps
use the quintic that increases small singular values fastest (3.44 times a step, Jordan et al. 2024), the last ones a
quintic that converges cubically to 1 (Kovarik 1970). One Newton step on the factor itself, R ← R (3 I − RᵀR)/2, removes
the error from squaring the condition number. If singular values are too small for these steps, the caller uses the SVD.

The derivative's S X + X S = C is the same iteration on the matrix sign of [[S, C], [0, −S]], whose corner is 2 X
(Roberts 1980), with C antisymmetric.
"""

from __future__ import annotations

import torch
from torch import Tensor

GROWING, CONVERGING = (3.4445, -4.7750, 2.0315), (1.875, -1.25, 0.375)
STEPS = (GROWING,) * 8 + (CONVERGING,) * 5
"""Enough for σ_min ≥ 4e-5 s."""
CONVERGED = 1e-9
"""Largest error of RᵀR after the correction with which the iteration counts as converged."""


def newton_schulz_polar(matrix_DR: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return polar(A) (D, R), S and S⁻¹ (R, R) of a float64 matrix, and whether the iteration converged (a tensor)."""
    gram_RR = matrix_DR.mT @ matrix_DR
    # Both norms bound the largest eigenvalue.
    bound = torch.minimum(torch.linalg.matrix_norm(gram_RR), gram_RR.abs().sum(0).amax())
    bound = bound.clamp(min=torch.finfo(gram_RR.dtype).tiny)
    root_RR, inverse_RR = gram_RR / bound, torch.eye(len(gram_RR), dtype=gram_RR.dtype, device=gram_RR.device)
    for a, b, c in STEPS:
        product_RR = inverse_RR @ root_RR
        growth_RR = torch.addmm(product_RR, product_RR, product_RR, beta=b, alpha=c)
        growth_RR.diagonal().add_(a)
        root_RR, inverse_RR = root_RR @ growth_RR, growth_RR @ inverse_RR
    inverse_RR = (inverse_RR + inverse_RR.mT) / (2 * bound.sqrt())
    factor_DR = matrix_DR @ inverse_RR
    error_RR = factor_DR.mT @ factor_DR
    error_RR.diagonal().sub_(1)
    factor_DR = factor_DR - factor_DR @ (error_RR / 2)
    symmetric_RR = factor_DR.mT @ matrix_DR
    # The Newton step squares the error, so the remaining error follows from the one before.
    converged = torch.linalg.matrix_norm(error_RR).square() <= CONVERGED
    return factor_DR, (symmetric_RR + symmetric_RR.mT) / 2, inverse_RR, converged


def lyapunov(symmetric_RR: Tensor, antisymmetric_RR: Tensor) -> Tensor:
    """Return X of S X + X S = C for S positive definite and C antisymmetric; X is antisymmetric."""
    scale = torch.minimum(torch.linalg.matrix_norm(symmetric_RR), symmetric_RR.abs().sum(0).amax())
    block_RR, corner_RR = symmetric_RR / scale, antisymmetric_RR / scale
    for a, b, c in STEPS:
        square_RR = block_RR @ block_RR
        crossed_RR = block_RR @ corner_RR
        crossed_RR = crossed_RR + crossed_RR.mT  # B Q − Q B, since Q is antisymmetric and B symmetric
        growth_RR = torch.addmm(square_RR, square_RR, square_RR, beta=b, alpha=c)
        growth_RR.diagonal().add_(a)
        twice_RR = square_RR @ crossed_RR
        corner_RR = corner_RR @ growth_RR + block_RR @ (b * crossed_RR + c * (twice_RR + twice_RR.mT))
        corner_RR = (corner_RR - corner_RR.mT) / 2
        block_RR = block_RR @ growth_RR
    return corner_RR / 2
