"""Variability collapse index, 1 − tr(Σ_T† Σ_B)/min(D, K−1), Σ_T = Σ_W + Σ_B (Xu, Liu 2023).

Near collapse the trace is K−1 up to rounding, so the rest is computed by itself: within span(H) the inverse of Σ_T is
(Λ + S)⁻¹ with the Schur complement S (`snapshot.conditional_within`), and r − tr((Λ + S)⁻¹Λ) = tr((Λ + S)⁻¹S).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ncengine.metrics.spec import MetricSpec, Moments, zero

if TYPE_CHECKING:
    from torch import Tensor

    from ncengine.metrics.snapshot import Snapshot


def vci(snapshot: Snapshot) -> float | None:
    """Return the index, in [0, 1]; None where all class means coincide."""
    directions_DR, eigenvalues_R = snapshot.between
    rank = len(eigenvalues_R)
    if not rank:
        return None
    most = min(len(directions_DR), snapshot.classes - 1)
    # In the scale of Λ, where the matrix to invert is I + Λ^-½ S Λ^-½ and well conditioned near collapse.
    scale_R = eigenvalues_R.rsqrt()
    within = snapshot.conditional_within * scale_R[:, None] * scale_R
    spread_R = _eigenvalues(within)
    return float((most - rank + (spread_R / (1 + spread_R)).sum()) / most)


def _eigenvalues(symmetric: Tensor) -> Tensor:
    import torch

    eigenvalues: Tensor = torch.linalg.eigvalsh(symmetric.cpu()).clamp(min=0)
    return eigenvalues


VCI = MetricSpec(
    key="vci",
    label="Variability collapse index",
    symbol="VCI",
    formula="1 − tr(Σ_T† Σ_B)/min(D, K−1)",
    family="NC1",
    direction="low",
    ideal=zero,
    source="Xu, Liu 2023",
    reading="Share of the variation along the class means' directions that lies inside classes; unchanged by any "
    "invertible linear map of the features.",
    how=Moments(vci),
)
