"""The nearest-ETF problem as the paper solves it: a Riemannian trust region, and implicit differentiation by matrices.

Written anew from the equations of Markou, Ajanthan, Gould 2024 (eq. 7, 9 and its supplement), over St(d, K) and not
over our smaller St(d, K−1), with pymanopt's trust region (the paper's solver), exact gradients and Hessians, from the
previous solution. With the constraints h(U) = 0 (the upper triangle of UᵀU − I, p = K(K+1)/2 of them), A = ∂h/∂U
(p × dK) and the Lagrangian's Hessian H, the derivative for an upstream gradient v is

    z = H⁻¹ (v − Aᵀ (A H⁻¹ Aᵀ)⁻¹ A H⁻¹ v),   ∂/∂H̃ = (2/√(K−1)) Z M
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pymanopt
from pymanopt.manifolds import Stiefel
from pymanopt.optimizers import TrustRegions

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TrustRegion:
    """The problem for normalised means H̃ (d, K), the previous solution (d, K) and δ."""

    means_DK: F64
    previous_DK: F64
    delta: float

    @property
    def projector_KK(self) -> F64:
        classes = self.means_DK.shape[1]
        return np.eye(classes) - 1 / classes

    @property
    def scale(self) -> float:
        return 1 / math.sqrt(self.means_DK.shape[1] - 1)

    def solve(self, tolerance: float) -> F64:
        """Return U* (d, K) to a Riemannian gradient's norm of `tolerance`."""
        manifold = Stiefel(*self.means_DK.shape)
        h, c, m, prox, delta = self.means_DK, self.scale, self.projector_KK, self.previous_DK, self.delta

        @pymanopt.function.numpy(manifold)
        def cost(u: F64) -> Any:
            return np.sum((h - c * u @ m) ** 2) + delta / 2 * np.sum((u - prox) ** 2)

        @pymanopt.function.numpy(manifold)
        def gradient(u: F64) -> F64:
            return -2 * c * (h - c * u @ m) @ m + delta * (u - prox)

        @pymanopt.function.numpy(manifold)
        def hessian(_u: F64, x: F64) -> F64:
            return 2 * c * c * x @ m + delta * x

        problem = pymanopt.Problem(manifold, cost, euclidean_gradient=gradient, euclidean_hessian=hessian)
        optimiser = TrustRegions(verbosity=0, min_gradient_norm=tolerance, max_iterations=30)
        found: F64 = optimiser.run(problem, initial_point=prox.copy()).point
        return found

    def vjp(self, solution_DK: F64, upstream_DK: F64) -> F64:
        """Return the gradient with respect to H̃ by implicit differentiation at the solution."""
        u, c, m = solution_DK, self.scale, self.projector_KK
        features, classes = u.shape
        slope = -2 * c * (self.means_DK - c * u @ m) @ m + self.delta * (u - self.previous_DK)
        multiplier_KK = u.T @ slope
        hessian_KK = 2 * c * c * m + self.delta * np.eye(classes) - (multiplier_KK + multiplier_KK.T) / 2
        inverse_KK = np.linalg.inv(hessian_KK)  # H is I_d ⊗ this, row by row of U
        first, second = np.triu_indices(classes)
        constraint_PDK = np.zeros((len(first), features, classes))
        rows = np.arange(len(first))
        constraint_PDK[rows, :, first] += u.T[second]
        constraint_PDK[rows, :, second] += u.T[first]
        weighted_PDK = constraint_PDK @ inverse_KK
        flat, weighted = constraint_PDK.reshape(len(first), -1), weighted_PDK.reshape(len(first), -1)
        direct_DK = upstream_DK @ inverse_KK
        dual_P = np.linalg.solve(weighted @ flat.T, flat @ direct_DK.ravel())
        z_DK = direct_DK - (dual_P @ weighted).reshape(features, classes)
        found: F64 = 2 * c * z_DK @ m
        return found
