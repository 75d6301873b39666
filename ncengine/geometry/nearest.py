"""The simplex ETF nearest to given class means, in closed form (method: Markou, Ajanthan, Gould 2024, eq. 6–8).

    U* = argmin_{U ∈ St(D,K)} ‖H̃ − U M/√(K−1)‖²_F + (δ/2)‖U − U_prox‖²_F,   H̃ = H/‖H‖_F,   M = I − 11ᵀ/K

On the Stiefel manifold ‖U M‖ and ‖U‖ are constant, so this is an orthogonal Procrustes problem. Only U M = R Vᵀ enters
the classifier, with V the Helmert basis and R = U V; in that gauge the singular direction U1 is gone and D ≥ K−1
suffices:

    R* = polar( (2/√(K−1)) H̃ V + δ R_prox ) ∈ R^{D×(K−1)}
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from ncengine.geometry.polar import polar
from ncengine.geometry.riemannian import riemannian_polar
from ncengine.geometry.simplex import simplex_basis, simplex_etf

Solver = Literal["polar", "riemannian"]


def first_frame(features: int, classes: int, *, like: Tensor) -> Tensor:
    """Return the first K−1 unit vectors of R^D as a frame (D, K−1), with the dtype and device of `like`."""
    return torch.eye(features, classes - 1, dtype=like.dtype, device=like.device)


def nearest_etf(
    means_DK: Tensor, previous_DR: Tensor | None = None, *, delta: float = 1e-3, solver: Solver = "polar"
) -> Tensor:
    """Return the frame R (D, K−1), orthonormal columns, of the simplex ETF R Vᵀ nearest to centred class means.

    `means_DK` holds the class means minus their mean as columns, any scale: it is divided by its Frobenius norm, and
    the gradient flows through that norm. `previous_DR` is R_prox (no gradient); without it the proximal term is left
    out. With all-zero means the previous frame, or the first K−1 unit vectors, is returned. `solver` is the closed
    form or geoopt's iteration to the same point. Raises ValueError for D < K−1, for shapes that do not fit, for a
    negative delta and for an unknown solver.
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
    if solver not in ("polar", "riemannian"):
        raise ValueError(f"solver must be 'polar' or 'riemannian', got {solver!r}")

    # The problem is small and its derivative divides by singular values: float32 or better, whatever autocast says.
    dtype = torch.promote_types(means_DK.dtype, torch.float32)
    with torch.autocast(means_DK.device.type, enabled=False):
        means = means_DK.to(dtype)
        fallback = first_frame(features, classes, like=means) if previous_DR is None else previous_DR.to(dtype)
        fallback = fallback.detach()
        norm = torch.linalg.vector_norm(means)
        empty = norm == 0
        # Dividing by 1 where the norm is 0 keeps the gradient finite; a device-side choice, so nothing waits here.
        normalised = means / torch.where(empty, torch.ones_like(norm), norm)
        basis = simplex_basis(classes, dtype=dtype, device=means.device)
        matrix = (2 / math.sqrt(rank)) * (normalised @ basis)
        if previous_DR is not None:
            matrix = matrix + delta * fallback
        matrix = torch.where(empty, fallback, matrix)
        return polar(matrix) if solver == "polar" else riemannian_polar(matrix, fallback)


def etf_weights(frame_DR: Tensor) -> Tensor:
    """Return the classifier W = √(K/(K−1)) V Rᵀ (K, D) of a frame R (D, K−1): unit rows, cosines −1/(K−1)."""
    etf = simplex_etf(frame_DR.shape[1] + 1, dtype=frame_DR.dtype, device=frame_DR.device)
    return etf @ frame_DR.mT
