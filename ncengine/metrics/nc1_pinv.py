"""NC1 as the usual code computes it: with a pseudo-inverse of a float32 Σ_B, whose cut-off is D times float32's ε.

The released code of Zhu et al. 2021 and of Markou et al. 2024 calls `scipy.linalg.pinv` on a float32 D×D matrix; its
default leaves out singular values below max(D, D)·ε of the largest. Directions in which class means differ by less than
that are not seen, so the value is at most that of `nc1`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ncengine.metrics.spec import MetricSpec, Moments, zero

if TYPE_CHECKING:
    from ncengine.metrics.snapshot import Snapshot

FLOAT32_EPSILON = 2.0**-23


def nc1_pinv(snapshot: Snapshot) -> float | None:
    """Return tr(Σ_W pinv(Σ_B))/K with the cut-off of a float32 pseudo-inverse, in [0, ∞)."""
    directions_DR, eigenvalues_R = snapshot.between
    if not len(eigenvalues_R):
        return None
    seen = eigenvalues_R > len(directions_DR) * FLOAT32_EPSILON * eigenvalues_R[0]
    return float((snapshot.within_along_between[seen] / eigenvalues_R[seen]).sum()) / snapshot.classes


NC1_PINV = MetricSpec(
    key="nc1_pinv",
    label="NC1 with a float32 pseudo-inverse",
    symbol="tr(Σ_W pinv₃₂ Σ_B)/K",
    formula="tr(Σ_W pinv(Σ_B))/K, λ > D·2⁻²³·λ_max",
    family="NC1",
    direction="low",
    ideal=zero,
    source="Zhu et al. 2021, released code",
    reading="NC1 with the cut-off of the usual code, to be compared with figures made by it.",
    how=Moments(nc1_pinv),
)
