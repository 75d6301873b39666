"""Projections of a capture other than the run's own view: principal directions, or the tetrahedron of four classes.

Up to 128 classes a view is a matrix for the streamed coordinates. Above, the streamed coordinates have three
dimensions, and the view is computed here from all K−1; features are then projected to principal directions only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ncengine.geometry.views import simplex_rows, stream_projection, tetrahedron_matrix

VIEWS = ("pca", "tetrahedron")


@dataclass(frozen=True, eq=False)
class ProjectedCapture:
    """A view's matrix, the vertices that it is applied to, and the arrays that replace the streamed ones."""

    matrix: npt.NDArray[np.float32]
    vertices: npt.NDArray[np.float32]
    arrays: dict[str, npt.NDArray[Any]]


def project_capture(arrays: Mapping[str, npt.NDArray[Any]], view: str, four: Sequence[int]) -> ProjectedCapture:
    """Return a capture's `arrays` in the view `pca` or `tetrahedron` (of the classes `four`).

    Raises ValueError for another view, for classes that are not four, and if a capture of an older version has no
    principal directions.
    """
    if view not in VIEWS:
        raise ValueError(f"view must be the run's own or one of {', '.join(VIEWS)}, got {view!r}")
    classes = len(arrays["means"])
    if view == "tetrahedron":
        matrix = tetrahedron_matrix(classes, four)
    elif "pca" in arrays:
        # Projected to orthonormal directions, vertices of norm one have norm √(3/(K−1)) on average.
        matrix = arrays["pca"] * np.float32(math.sqrt(max(1.0, (classes - 1) / 3)))
    else:
        raise ValueError("this capture has no principal directions: it was made by an older version")
    vertices = simplex_rows(classes)
    if stream_projection(classes) is None:
        return ProjectedCapture(matrix, vertices, {})
    features = np.zeros((0, 3), np.float32)
    labels = np.zeros(0, np.int32)
    if view == "pca":
        features = arrays["features_pca"] * np.float32(math.sqrt((classes - 1) / 3))
        labels = arrays["labels"]
    projected = {name: arrays[f"{name}_whole"] @ matrix for name in ("means", "weights")}
    return ProjectedCapture(
        np.eye(3, dtype=np.float32), vertices @ matrix, {**projected, "features": features, "labels": labels}
    )
