"""Make ncengine/geometry/spherical.npz: the spherical view of each K from 5 to 64, with its quality printed."""

from __future__ import annotations

import math

import numpy as np
import torch

from ncengine.geometry.riemannian import geoopt, stiefel
from ncengine.geometry.simplex import simplex_etf
from ncengine.geometry.views import SHIPPED, SHIPPED_UP_TO, FloatArray, equal_norms, simplex_rows


def energy(vertices: torch.Tensor, projection: torch.Tensor) -> torch.Tensor:
    """Return what a view minimises: the mean of 1/distance² of directions, and 20 CV² of norms."""
    points = vertices @ projection
    norms = points.norm(dim=1)
    directions = points / norms[:, None]
    first, second = torch.triu_indices(len(vertices), len(vertices), 1)
    squared = 2 - 2 * (directions @ directions.mT)[first, second]
    repulsion = (1 / squared.clamp(min=1e-9)).mean()
    total: torch.Tensor = repulsion + 20 * norms.var(correction=0) / norms.mean() ** 2
    return total


def optimise_spherical(classes: int, *, steps: int = 600, starts: int = 3) -> FloatArray:
    """Return P (K−1, 3), orthonormal columns, for K ≥ 5: the best of `starts` seeded Riemannian optimisations."""
    vertices = simplex_etf(classes, dtype=torch.float64)
    reached: list[tuple[float, torch.Tensor]] = []
    for seed in range(starts):
        generator = torch.Generator().manual_seed(seed)
        start = torch.linalg.qr(torch.randn(classes - 1, 3, generator=generator, dtype=torch.float64)).Q
        projection = geoopt().ManifoldParameter(start, manifold=stiefel())
        optimiser = geoopt().optim.RiemannianAdam([projection], lr=0.05)
        for step in range(steps):
            optimiser.param_groups[0]["lr"] = 0.05 * 0.5 * (1 + math.cos(math.pi * step / steps))
            optimiser.zero_grad()
            energy(vertices, projection).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        reached.append((float(energy(vertices, projection.detach())), torch.linalg.qr(projection.detach()).Q))
    best = min(reached, key=lambda pair: pair[0])[1].numpy()
    if classes == 5:  # five points cannot have equal norms: by Naimark they would be five ±a that sum to zero
        found: FloatArray = best.astype(np.float32)
        return found
    # √((K−1)/K) V of the vertices √(K/(K−1)) V is the basis itself.
    basis = math.sqrt((classes - 1) / classes) * vertices.numpy()
    projected: FloatArray = (basis.T @ equal_norms(basis @ best)).astype(np.float32)
    return projected


def main() -> None:
    """Make the views, print their quality, and write them."""
    views = {}
    for classes in range(5, SHIPPED_UP_TO + 1):
        views[f"K{classes}"] = projection = optimise_spherical(classes)
        points = simplex_rows(classes) @ projection
        norms = np.linalg.norm(points, axis=1)
        directions = points / norms[:, None]
        cosines = (directions @ directions.T)[~np.eye(classes, dtype=bool)]
        angle = np.degrees(np.arccos(cosines.max()))
        print(f"K={classes}: norm CV {norms.std() / norms.mean():.5f}, smallest angle {angle:.1f} degrees", flush=True)
    np.savez_compressed(SHIPPED, **views)


if __name__ == "__main__":
    main()
