"""Three-dimensional views of the frame R^{K−1} in which the ETF's vertices are constant.

A view is a (K−1, 3) matrix applied to coordinates c = Rᵀ(h − μ_G). K = 4, 3, 2 are exact: a tetrahedron, a triangle, a
line. For K ≥ 5 the *spherical view* is an orthogonal projection P ∈ St(K−1, 3) in which all K
vertices lie on a sphere, spread as evenly as possible: every centred tight frame of K vectors in R³ is a projection of
the simplex (Naimark), so the equal-norm ones are found by minimising over the Stiefel manifold

    mean_{i<j} 1/‖p̂_i − p̂_j‖²  +  20 · CV(‖p_i‖)²,   p_i = the projected vertex i, p̂_i = p_i/‖p_i‖

K = 5 … 64 are shipped (`spherical.npz`, by scripts/make_spherical_views.py). From 65 on the Fibonacci lattice, made
a tight frame, is nearly as good (17.8° between nearest vertices at K = 100, 18.1° by optimisation) and immediate.
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
"""Classes up to which coordinates are streamed in all K−1 dimensions; above, in the three of the view."""
FloatArray = npt.NDArray[np.float32]


def fibonacci_spherical(classes: int) -> FloatArray:
    """Return P (K−1, 3), orthonormal columns, that maps K vertices to the Fibonacci lattice with equal norms.

    K centred points X with XᵀX = I are V P for P = VᵀX. Alternately scaling each point to the same norm and all to XᵀX
    = I converges to both (Tropp et al. 2005, alternating projection onto tight and equal-norm frames).
    """
    index = np.arange(classes) + 0.5
    height, angle = 1 - 2 * index / classes, np.pi * (1 + math.sqrt(5)) * index
    radius = np.sqrt(1 - height**2)
    points_K3 = np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=1)
    projection: FloatArray = (_basis_rows(classes, range(classes)).T @ equal_norms(points_K3)).astype(np.float32)
    return projection


def equal_norms(points_K3: npt.NDArray[np.float64], iterations: int = 200) -> npt.NDArray[np.float64]:
    """Return points near these with XᵀX = I, a mean of zero and equal norms, if such points exist."""
    for _ in range(iterations):
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

    It is scaled so that the vertices √(K/(K−1)) V of the ETF, which have norm one, keep norm one.
    Raises ValueError for fewer than two classes.
    """
    if classes < 2:
        raise ValueError(f"a view needs at least 2 classes, got {classes}")
    if classes <= 4:
        return np.eye(classes - 1, 3, dtype=np.float32)
    projection = _shipped()[f"K{classes}"] if classes <= SHIPPED_UP_TO else fibonacci_spherical(classes)
    scaled: FloatArray = projection * np.float32(math.sqrt((classes - 1) / 3))
    return scaled


PCA_ALIGNMENT = 0.01
"""Eigenvalues closer than this share of the largest count as equal; the previous directions then decide."""


def aligned_pca(coordinates_KR: npt.NDArray[np.float64], previous_R3: npt.NDArray[Any] | None) -> FloatArray:
    """Return P (R, 3), orthonormal columns: the leading principal directions of K points, near the previous ones.

    Principal directions have no sign, and at collapse all eigenvalues are equal, so that they would change at random
    from epoch to epoch. Here P spans the leading eigenvectors of C/λ_max + δ P′P′ᵀ, C the second moments and P′ the
    previous directions, and is rotated within that space to where P′ᵀP is nearest to the identity (Procrustes).
    Directions that do not exist (R < 3) are zero columns. Without previous ones, the largest coordinate of each
    direction is positive.
    """
    rank = coordinates_KR.shape[1]
    moments_RR = coordinates_KR.T @ coordinates_KR
    largest = float(np.linalg.eigvalsh(moments_RR)[-1])
    aligned_R3 = previous_R3 if previous_R3 is not None and previous_R3.shape == (rank, 3) and rank >= 3 else None
    if largest > 0:
        moments_RR = moments_RR / largest
    if aligned_R3 is not None:
        moments_RR = moments_RR + PCA_ALIGNMENT * (aligned_R3 @ aligned_R3.T)
    _, vectors = np.linalg.eigh(moments_RR)
    leading = vectors[:, ::-1][:, :3]
    if aligned_R3 is not None:
        left, _, right = np.linalg.svd(leading.T @ aligned_R3)
        leading = leading @ (left @ right)
    else:
        leading = leading * np.sign(leading[np.abs(leading).argmax(axis=0), np.arange(leading.shape[1])])
    found: FloatArray = np.zeros((rank, 3), dtype=np.float32)
    found[:, : leading.shape[1]] = leading
    return found


def tetrahedron_matrix(classes: int, four: Sequence[int]) -> FloatArray:
    """Return the (K−1, 3) matrix of the view of four classes: their vertices form a tetrahedron of norm one.

    P = √(4(K−1)/(3K)) V⁽⁴⁾ᵀ V₄, with V⁽⁴⁾ (4, K−1) the four classes' rows of the Helmert basis and V₄ (4, 3) the basis
    for four: the span of the four vertices is shown exactly, and all other vertices are projected to the centre. Raises
    ValueError if the four are not different classes of 0 … K−1.
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
    """Return the (K−1, 3) matrix that streamed coordinates are multiplied by, or None up to 128 classes."""
    return None if classes <= WHOLE_FRAME_UP_TO else view_matrix(classes)


def cosine_block_size(classes: int) -> int:
    """Return the number of neighbouring classes in a row of the streamed cosines: one up to 128 classes."""
    return 1 if classes <= WHOLE_FRAME_UP_TO else block_size(classes)


def block_size(classes: int) -> int:
    """Return the number of neighbouring classes in a block, of which there are at most 64."""
    return math.ceil(classes / 64)
