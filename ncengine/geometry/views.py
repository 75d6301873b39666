"""Three-dimensional views of the frame R^{K−1} in which the ETF's vertices never move.

A picture is a (K−1, 3) matrix applied to coordinates c = Rᵀ(h − μ_G). K = 4, 3, 2 are exact: a tetrahedron, a triangle,
a line, nothing projected away. For K ≥ 5 the *spherical view* is an orthogonal projection P ∈ St(K−1, 3) in which all K
vertices lie on a sphere, spread as evenly as possible: every centred tight frame of K vectors in R³ is a projection of
the simplex (Naimark), so the equal-norm ones are found by minimising over the Stiefel manifold

    mean_{i<j} 1/‖p̂_i − p̂_j‖²  +  20 · CV(‖p_i‖)²,   p_i = the projected vertex i, p̂_i = p_i/‖p_i‖

K = 5 … 64 are shipped (`spherical.npz`, by scripts/make_spherical_views.py). From 65 on the Fibonacci lattice, made
a tight frame, is as good (17.8° between nearest vertices at K = 100, found 18.1°) and there at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

SHIPPED = Path(__file__).with_name("spherical.npz")
SHIPPED_UP_TO = 64
WHOLE_FRAME_UP_TO = 128
"""Classes up to which coordinates travel in all K−1 dimensions; beyond, in the three of the view."""
FloatArray = npt.NDArray[np.float32]


def optimise_spherical(classes: int, *, steps: int = 600, starts: int = 3) -> FloatArray:
    """Return P (K−1, 3), orthonormal columns, for K ≥ 5: the best of `starts` seeded Riemannian optimisations."""
    import torch

    from ncengine.geometry.riemannian import geoopt, stiefel
    from ncengine.geometry.simplex import simplex_etf

    manifold = stiefel()
    vertices = simplex_etf(classes, dtype=torch.float64)
    first, second = torch.triu_indices(classes, classes, 1)

    def energy(projection: torch.Tensor) -> torch.Tensor:
        points = vertices @ projection
        norms = points.norm(dim=1)
        directions = points / norms[:, None]
        squared = 2 - 2 * (directions @ directions.mT)[first, second]
        repulsion = (1 / squared.clamp(min=1e-9)).mean()
        total: torch.Tensor = repulsion + 20 * norms.var(correction=0) / norms.mean() ** 2
        return total

    best: tuple[float, torch.Tensor] | None = None
    for seed in range(starts):
        generator = torch.Generator().manual_seed(seed)
        start = torch.linalg.qr(torch.randn(classes - 1, 3, generator=generator, dtype=torch.float64)).Q
        projection = geoopt().ManifoldParameter(start, manifold=manifold)
        optimiser = geoopt().optim.RiemannianAdam([projection], lr=0.05)
        for step in range(steps):
            optimiser.param_groups[0]["lr"] = 0.05 * 0.5 * (1 + math.cos(math.pi * step / steps))
            optimiser.zero_grad()
            energy(projection).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        reached = float(energy(projection.detach()))
        if best is None or reached < best[0]:
            best = reached, torch.linalg.qr(projection.detach()).Q
    if best is None:
        raise ValueError(f"starts must be at least 1, got {starts}")
    if classes == 5:  # of five points not all norms can be alike: by Naimark they would be five ±a that sum to zero
        return best[1].numpy().astype(np.float32)
    basis = _basis_rows(classes, range(classes))
    finished: FloatArray = (basis.T @ equal_norms(basis @ best[1].numpy())).astype(np.float32)
    return finished


def fibonacci_spherical(classes: int) -> FloatArray:
    """Return P (K−1, 3), orthonormal columns, that puts K vertices onto the Fibonacci lattice, all at the same norm.

    K centred points X with XᵀX = I are V P for P = VᵀX. Scaling each to the same norm and the whole to XᵀX = I in turns
    converges to both (Tropp et al. 2005, alternating projection onto tight and equal-norm frames).
    """
    index = np.arange(classes) + 0.5
    height, turn = 1 - 2 * index / classes, np.pi * (1 + math.sqrt(5)) * index
    radius = np.sqrt(1 - height**2)
    points_K3 = np.stack([radius * np.cos(turn), radius * np.sin(turn), height], axis=1)
    projection: FloatArray = (_basis_rows(classes, range(classes)).T @ equal_norms(points_K3)).astype(np.float32)
    return projection


def equal_norms(points_K3: npt.NDArray[np.float64], turns: int = 200) -> npt.NDArray[np.float64]:
    """Return points near these with XᵀX = I, a mean of zero and all norms alike, where there are such points."""
    for _ in range(turns):
        points_K3 = points_K3 / np.linalg.norm(points_K3, axis=1, keepdims=True)
        left, _, right = np.linalg.svd(points_K3 - points_K3.mean(axis=0), full_matrices=False)
        points_K3 = left @ right
    return points_K3


@cache
def _shipped() -> dict[str, FloatArray]:
    with np.load(SHIPPED, allow_pickle=False) as stored:
        return {key: stored[key] for key in stored.files}


@cache
def view_matrix(classes: int) -> FloatArray:
    """Return the (K−1, 3) matrix of the default view: exact for K ≤ 4, spherical for K ≥ 5.

    It is scaled so that the vertices √(K/(K−1)) V of the ETF, which have norm one, keep norm one in the picture.
    Raises ValueError for fewer than two classes.
    """
    if classes < 2:
        raise ValueError(f"a view needs at least 2 classes, got {classes}")
    if classes <= 4:
        return np.eye(classes - 1, 3, dtype=np.float32)
    projection = _shipped()[f"K{classes}"] if classes <= SHIPPED_UP_TO else fibonacci_spherical(classes)
    scaled: FloatArray = projection * np.float32(math.sqrt((classes - 1) / 3))
    return scaled


HOLD_PCA = 0.01
"""Eigenvalues closer than this share of the largest count as equal, and the picture before decides between them."""


def aligned_pca(coordinates_KR: npt.NDArray[np.float64], previous_R3: npt.NDArray[Any] | None) -> FloatArray:
    """Return P (R, 3), orthonormal columns: the leading principal directions of K points, near the picture before.

    Principal directions have no sign, and at collapse all of them are equal, so that the plain ones jump from epoch to
    epoch. Here P spans the leading eigenvectors of C/λ_max + δ P′P′ᵀ, C the second moments and P′ the picture before,
    and is turned within that space to where P′ᵀP is nearest to the identity (Procrustes). Directions that do not exist
    (R < 3) are zero columns. Without a picture before, the largest coordinate of each direction is positive.
    """
    rank = coordinates_KR.shape[1]
    moments_RR = coordinates_KR.T @ coordinates_KR
    largest = float(np.linalg.eigvalsh(moments_RR)[-1]) if rank else 0.0
    before_R3 = previous_R3 if previous_R3 is not None and previous_R3.shape == (rank, 3) and rank >= 3 else None
    if largest > 0:
        moments_RR = moments_RR / largest
    if before_R3 is not None:
        moments_RR = moments_RR + HOLD_PCA * (before_R3 @ before_R3.T)
    _, vectors = np.linalg.eigh(moments_RR)
    leading = vectors[:, ::-1][:, :3]
    if before_R3 is not None:
        left, _, right = np.linalg.svd(leading.T @ before_R3)
        leading = leading @ (left @ right)
    else:
        signs = np.sign(leading[np.abs(leading).argmax(axis=0), np.arange(leading.shape[1])])
        leading = leading * np.where(signs == 0, 1.0, signs)
    found: FloatArray = np.zeros((rank, 3), dtype=np.float32)
    found[:, : leading.shape[1]] = leading
    return found


def tetrahedron_matrix(classes: int, four: Sequence[int]) -> FloatArray:
    """Return the (K−1, 3) matrix of the view of four classes: their vertices at the corners of a tetrahedron, norm one.

    P = √(4(K−1)/(3K)) V⁽⁴⁾ᵀ V₄, with V⁽⁴⁾ (4, K−1) the four classes' rows of the Helmert basis and V₄ (4, 3) the basis
    for four: what lies between the four vertices is seen whole, and all other vertices fall onto the centre. Raises
    ValueError where the four are not different classes of 0 … K−1.
    """
    if len(four) != 4 or len(set(four)) != 4 or not all(0 <= label < classes for label in four):
        raise ValueError(f"classes must be 4 different ones of 0 … {classes - 1}, got {list(four)}")
    scale = math.sqrt(4 * (classes - 1) / (3 * classes))
    projection: FloatArray = (scale * _basis_rows(classes, four).T @ _basis_rows(4, range(4))).astype(np.float32)
    return projection


def simplex_rows(classes: int) -> FloatArray:
    """Return the K unit vertices (K, K−1) of the simplex ETF in its own frame; `simplex.simplex_etf` without torch."""
    vertices: FloatArray = (math.sqrt(classes / (classes - 1)) * _basis_rows(classes, range(classes))).astype(
        np.float32
    )
    return vertices


def _basis_rows(classes: int, rows: Sequence[int]) -> npt.NDArray[np.float64]:
    """Return rows of the Helmert basis (n, K−1); `simplex.simplex_basis` without torch."""
    index, row = np.arange(1, classes), np.asarray(rows)[:, None]
    found: npt.NDArray[np.float64] = np.where(row < index, 1.0, np.where(row == index, -index, 0.0)) / np.sqrt(
        index * (index + 1)
    )
    return found


def view_name(classes: int) -> str:
    """Return `line`, `triangle`, `tetrahedron` (exact) or `spherical`."""
    return {2: "line", 3: "triangle", 4: "tetrahedron"}.get(classes, "spherical")


def stream_projection(classes: int) -> FloatArray | None:
    """Return the (K−1, 3) matrix that coordinates are multiplied with before they travel, or None up to 128 classes."""
    return None if classes <= WHOLE_FRAME_UP_TO else view_matrix(classes)


def blocks(classes: int) -> int:
    """Return how many neighbouring classes share a row of the travelling cosines: one up to 128 classes."""
    return 1 if classes <= WHOLE_FRAME_UP_TO else block_size(classes)


def block_size(classes: int) -> int:
    """Return how many neighbouring classes make a block, of which there are then at most 64."""
    return math.ceil(classes / 64)
