"""The simplex ETF nearest to given class means, in closed form (method: Markou, Ajanthan, Gould 2024, eq. 6–8).

    U* = argmin_{U ∈ St(D,K)} ‖H̃ − U M/√(K−1)‖²_F + (δ/2)‖U − U_prox‖²_F,   H̃ = H/‖H‖_F,   M = I − 11ᵀ/K

On the Stiefel manifold ‖U M‖ and ‖U‖ are constant, so this is an orthogonal Procrustes problem. Only U M = R Vᵀ enters
the classifier, with V the Helmert basis and R = U V; in that gauge the singular direction U1 is gone and D ≥ K−1
suffices:

    R* = polar( (2/√(K−1)) H̃ V + δ R_prox ) ∈ R^{D×(K−1)}
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from ncengine.geometry.polar import PolarFactor, newton_schulz_factor, polar_factor, polar_vjp
from ncengine.geometry.riemannian import riemannian_polar
from ncengine.geometry.simplex import constant, simplex_basis, simplex_etf

Rotation = Literal["canonical", "haar"]
DeltaMode = Literal["fixed", "relative"]
Solver = Literal["auto", "polar", "matmul", "riemannian"]
SOLVERS: dict[Solver, Callable[[Tensor, Tensor], PolarFactor]] = {
    "polar": lambda matrix_DR, _held_DR: polar_factor(matrix_DR),
    "matmul": lambda matrix_DR, _held_DR: newton_schulz_factor(matrix_DR),
    "riemannian": riemannian_polar,
}
"""Solvers of the same problem: exact, by products only, and geoopt's iteration from the proximal frame."""
SMALLEST_NORM = 1e-30
"""Lower bound of ‖H‖ in divisions, so that 0/0 is 0."""


def first_frame(features: int, classes: int, *, like: Tensor) -> Tensor:
    """Return the first K−1 unit vectors of R^D as a frame (D, K−1), with the dtype and device of `like`."""
    return torch.eye(classes - 1, features, dtype=like.dtype, device=like.device).mT


def rotated_frame(features: int, classes: int, rotation: Rotation, seed: int) -> Tensor:
    """Return a float32 frame (D, K−1): the first K−1 unit vectors (`canonical`) or Haar-random by the seed (`haar`)."""
    canonical_DR = first_frame(features, classes, like=torch.empty(0))
    if rotation == "canonical":
        return canonical_DR
    if rotation != "haar":
        raise ValueError(f"rotation must be 'canonical' or 'haar', got {rotation!r}")
    generator = torch.Generator().manual_seed(seed)
    gaussian = torch.randn(features, classes - 1, generator=generator, dtype=torch.float64)
    orthonormal, triangle = torch.linalg.qr(gaussian)
    # QR is unique, and the factor Haar-distributed, once the triangle's diagonal is positive (Mezzadri 2007).
    frame_DR: Tensor = orthonormal * triangle.diagonal().sign()
    return frame_DR.to(canonical_DR.dtype)


def nearest_etf(
    means_DK: Tensor, previous_DR: Tensor | None = None, *, delta: float = 1e-3, solver: Solver = "polar"
) -> Tensor:
    """Return the frame R (D, K−1), orthonormal columns, of the simplex ETF R Vᵀ nearest to centred class means.

    `means_DK` holds the class means minus their mean as columns, any scale: it is divided by its Frobenius norm, and
    the gradient includes that norm. `previous_DR` is R_prox (no gradient); without it the proximal term is left out.
    With all-zero means the previous frame, or the first K−1 unit vectors, is returned. `solver` is the closed form by
    decomposition (`polar`) or by products only (`matmul`), the faster of the two for the device (`auto`), or geoopt's
    iteration to the same point (`riemannian`). Raises ValueError for D < K−1, for shapes that do not fit, for
    a negative delta and for an unknown solver.
    """
    if means_DK.ndim != 2:
        raise ValueError(f"means must be (features, classes), one column a class, got shape {tuple(means_DK.shape)}")
    features, classes = means_DK.shape
    rank = classes - 1
    if features < rank:
        raise ValueError(
            f"{classes} classes need at least {rank} features for a simplex ETF, got {features}; "
            f"set backbone.features={rank} or more"
        )
    if delta < 0:
        raise ValueError(f"delta must be >= 0, got {delta}")
    if previous_DR is not None and previous_DR.shape != (features, rank):
        raise ValueError(f"the previous frame must be {(features, rank)}, got {tuple(previous_DR.shape)}")
    require_solver(solver)

    prox_DR = first_frame(features, classes, like=means_DK) if previous_DR is None else previous_DR.detach()
    frame: Tensor = NearestETF.apply(means_DK, prox_DR, 0.0 if previous_DR is None else delta, solver)
    return frame


def require_solver(solver: str) -> None:
    """Raise ValueError for an unknown solver."""
    if solver != "auto" and solver not in SOLVERS:
        raise ValueError(f"solver must be 'auto', {', '.join(map(repr, SOLVERS))}, got {solver!r}")


def resolve_solver(solver: Solver, device_type: str) -> Solver:
    """Return the solver that `auto` stands for on a device.

    Decompositions on a CPU, where they are faster at every size that `make bench` measures; products on a GPU, where a
    decomposition of a small matrix is a long sequence of small kernels.
    """
    if solver != "auto":
        return solver
    return "polar" if device_type == "cpu" else "matmul"


def effective_delta(delta: float, mode: DeltaMode, classes: int) -> float:
    """Return δ as the problem uses it: `fixed` as it is, `relative` times 200/(K−1).

    The data term's singular values are about 2/(K−1) there, so a fixed δ = 1e-3 is 0.5 % of it at K = 10 and half of it
    at K = 1000; relative to it, the same number has the same effect.
    """
    if mode not in ("fixed", "relative"):
        raise ValueError(f"delta_mode must be 'fixed' or 'relative', got {mode!r}")
    return delta if mode == "fixed" else delta * 2 / (classes - 1) * 100


class Solution(NamedTuple):
    """The nearest ETF's frame with the quantities that its derivative needs.

    `polar` is of A = H V + w R_prox, w = δ ‖H‖ √(K−1)/2: the problem's matrix times ‖H‖ √(K−1)/2, which does not
    change the polar factor and avoids divisions by zero. If H is zero, w = 1 and the frame is R_prox itself.
    """

    polar: PolarFactor
    means_DK: Tensor
    prox_DR: Tensor
    norm: Tensor


def solve(means_DK: Tensor, prox_DR: Tensor, delta: float, solver: Solver) -> Solution:
    """Return the solution for centred means H (D, K) and R_prox (D, K−1), float32 or float64; no shape is checked."""
    rank = prox_DR.shape[1]
    prox_DR = prox_DR.clone()  # the caller overwrites its own tensor later
    norm = torch.linalg.vector_norm(means_DK)
    weight = torch.add(norm == 0, norm, alpha=delta * math.sqrt(rank) / 2)
    basis = constant(simplex_basis, rank + 1, means_DK.dtype, means_DK.device)
    matrix_DR = torch.addcmul((basis.mT @ means_DK.mT).mT, prox_DR, weight)
    found = SOLVERS[resolve_solver(solver, matrix_DR.device.type)](matrix_DR, prox_DR)
    return Solution(found, means_DK, prox_DR, norm)


def nearest_etf_vjp(solution: Solution, delta: float, upstream_DR: Tensor) -> Tensor:
    """Return the gradient (D, K) with respect to H of a scalar whose gradient at the frame is `upstream_DR`.

    With Γ = ∂/∂A it is Γ Vᵀ + (∂w/∂‖H‖) ⟨Γ, R_prox⟩ H/‖H‖.
    """
    rank = upstream_DR.shape[1]
    gradient_DR = polar_vjp(solution.polar, upstream_DR)
    basis = constant(simplex_basis, rank + 1, gradient_DR.dtype, gradient_DR.device)
    along = torch.dot(gradient_DR.mT.flatten(), solution.prox_DR.mT.flatten()) * (delta * math.sqrt(rank) / 2)
    rate = along / solution.norm.clamp(min=SMALLEST_NORM)
    return torch.addcmul((basis @ gradient_DR.mT).mT, solution.means_DK, rate)


class NearestETF(torch.autograd.Function):
    """`solve` and `nearest_etf_vjp` as one autograd function, in float32 or better; autograd casts gradients back."""

    @staticmethod
    def forward(ctx: Any, means_DK: Tensor, prox_DR: Tensor, delta: float, solver: Solver) -> Tensor:
        dtype = torch.promote_types(means_DK.dtype, torch.float32)
        found = solve(means_DK.to(dtype), prox_DR.to(dtype), delta, solver)
        save_solution(ctx, found)
        ctx.delta = delta
        return found.polar.factor_DR

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream_DR: Tensor) -> tuple[Tensor | None, ...]:
        return nearest_etf_vjp(load_solution(ctx), ctx.delta, upstream_DR), None, None, None


def save_solution(ctx: Any, solution: Solution, *more: Tensor) -> None:
    """Save a solution, and other tensors that a backward pass needs, in an autograd context."""
    ctx.save_for_backward(*solution.polar, solution.means_DK, solution.prox_DR, solution.norm, *more)


def load_solution(ctx: Any) -> Solution:
    """Return the solution that `save_solution` saved; other tensors follow it in `ctx.saved_tensors`."""
    kept = ctx.saved_tensors
    return Solution(PolarFactor(*kept[:4]), *kept[4:7])


def etf_weights(frame_DR: Tensor) -> Tensor:
    """Return the classifier W = √(K/(K−1)) V Rᵀ (K, D) of a frame R (D, K−1): unit rows, cosines −1/(K−1)."""
    etf = constant(simplex_etf, frame_DR.shape[1] + 1, frame_DR.dtype, frame_DR.device)
    return etf @ frame_DR.mT
