"""Features on a sphere, h = τ f/‖f‖ (Markou et al. 2024, §3.2), forward and backward side by side.

For an upstream gradient G the gradient is (τ/‖f‖) (G − h ⟨G, h⟩/τ²): the part of G along h changes only the length.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

SMALLEST_NORM = 1e-12
"""Features shorter than this are scaled as if they were this long, so that a zero feature stays zero."""


def to_sphere(features_BD: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    """Return h (B, d) and τ/‖f‖ (B, 1)."""
    scale_B1 = radius / torch.linalg.vector_norm(features_BD, dim=1, keepdim=True).clamp(min=SMALLEST_NORM)
    return features_BD * scale_B1, scale_B1


def sphere_vjp(upstream_BD: Tensor, h_BD: Tensor, scale_B1: Tensor, radius: float, out: Tensor | None = None) -> Tensor:
    """Return the gradient with respect to f, written into `out` (which may be `upstream_BD`) where it is given."""
    along_B1 = torch.linalg.vecdot(upstream_BD, h_BD)[:, None]
    return torch.addcmul(upstream_BD, h_BD, along_B1, value=-(radius**-2), out=out).mul_(scale_B1)


class OnSphere(torch.autograd.Function):
    """`to_sphere` and `sphere_vjp` as one differentiable step."""

    @staticmethod
    def forward(ctx: Any, features_BD: Tensor, radius: float) -> Tensor:
        h_BD, scale_B1 = to_sphere(features_BD, radius)
        ctx.save_for_backward(h_BD, scale_B1)
        ctx.radius = radius
        return h_BD

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream_BD: Tensor) -> tuple[Tensor, None]:
        h_BD, scale_B1 = ctx.saved_tensors
        return sphere_vjp(upstream_BD, h_BD, scale_B1, ctx.radius), None


def on_sphere(features_BD: Tensor, radius: float) -> Tensor:
    """Return the features (B, D) scaled to length `radius` > 0; a zero feature stays zero. Differentiable once."""
    return cast(Tensor, OnSphere.apply(features_BD, radius))
