"""The page's camera in a printed figure: orthographic, as Plotly has it, so a file shows what the screen did."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backend.store.errors import Invalid

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Camera:
    """Where the eye is, which way is up, and the zoom; the centre is the origin."""

    eye: tuple[float, float, float] = (1.25, 1.25, 0.8)
    up: tuple[float, float, float] = (0.0, 0.0, 1.0)
    zoom: float = 1.0

    def project(self, points_N3: F64) -> tuple[F64, F64]:
        """Return screen coordinates (N, 2) and depth towards the eye (N) of points (N, 3)."""
        back = np.asarray(self.eye) / np.linalg.norm(self.eye)
        right = np.cross(np.asarray(self.up), back)
        right /= np.linalg.norm(right)
        upward = np.cross(back, right)
        return points_N3 @ np.stack([right, upward], axis=1), points_N3 @ back


def parse_camera(text: str | None) -> Camera:
    """Read `ex,ey,ez,ux,uy,uz,zoom`; raises Invalid where that is no camera."""
    if not text:
        return Camera()
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 7 or not np.isfinite(numbers).all() or not numbers[6] > 0:
        raise Invalid(f"camera must be seven numbers ex,ey,ez,ux,uy,uz,zoom with zoom > 0, got {text!r}")
    eye, up = tuple(numbers[:3]), tuple(numbers[3:6])
    if np.linalg.norm(np.cross(eye, up)) < 1e-6 * max(1.0, float(np.linalg.norm(eye))):
        raise Invalid(f"the camera's up must not point along its eye, got {text!r}")
    return Camera(eye, up, numbers[6])  # type: ignore[arg-type]
