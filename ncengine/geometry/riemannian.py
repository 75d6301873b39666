"""The nearest-ETF problem by Riemannian optimisation, an independent solution to test the closed form with.

Minimises −⟨A, R⟩ over R ∈ St(D, R) with geoopt's Stiefel manifold (Euclidean metric) and Riemannian gradient descent
with Barzilai–Borwein steps (Wen & Yin 2013), from the previous frame. On the manifold ‖R‖ is constant, so this has the
same minimiser as ‖H̃ − R Vᵀ/√(K−1)‖² + (δ/2)‖R − R_prox‖² with A = (2/√(K−1)) H̃ V + δ R_prox.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from ncengine.geometry.polar import PolarFactor, bounded


def geoopt() -> Any:
    """Import geoopt without its deprecation warning."""
    with warnings.catch_warnings():
        # geoopt 0.5.1 decorates with torch.jit.script, which torch 2.14 announces as deprecated.
        warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated")
        import geoopt as module
    return module


def stiefel() -> Any:
    """Return geoopt's Stiefel manifold with the Euclidean metric."""
    return geoopt().EuclideanStiefel()


def maximise_alignment(
    target_DR: Tensor, start_DR: Tensor, *, tolerance: float = 1e-10, max_steps: int = 5000
) -> tuple[Tensor, int]:
    """Return the maximiser of ⟨target, R⟩ over matrices with orthonormal columns, and the number of steps.

    Stops when the Riemannian gradient's norm is below `tolerance` times the target's. Raises RuntimeError if
    `max_steps` do not suffice.
    """
    manifold = stiefel()
    frame = start_DR.clone()
    scale = target_DR.norm()
    gradient = manifold.egrad2rgrad(frame, -target_DR)
    step = float(1.0 / scale.clamp(min=1e-30))
    for count in range(max_steps):
        if gradient.norm() <= tolerance * scale:
            return frame, count
        moved = manifold.retr(frame, -step * gradient)
        moved_gradient = manifold.egrad2rgrad(moved, -target_DR)
        change, gradient_change = moved - frame, moved_gradient - gradient
        curvature = float((change * gradient_change).sum().abs())
        step = float((change * change).sum()) / curvature if curvature > 0 else 1.0 / float(scale)
        frame, gradient = moved, moved_gradient
    raise RuntimeError(
        f"the Riemannian solver did not reach a relative gradient of {tolerance:g} in {max_steps} steps; "
        "the class means are close to rank-deficient: raise delta or use solver='polar'"
    )


def riemannian_polar(matrix_DR: Tensor, start_DR: Tensor) -> PolarFactor:
    """Return polar(A) (D, R) by iteration from `start_DR`; S = RᵀA is symmetric at the solution."""
    matrix = matrix_DR.to(torch.float64)
    factor_DR, _ = maximise_alignment(matrix, start_DR.to(torch.float64))
    product_RR = factor_DR.mT @ matrix
    sigma_R, right_RR = torch.linalg.eigh((product_RR + product_RR.mT) / 2)
    return bounded(factor_DR.to(matrix_DR.dtype), right_RR, sigma_R)
