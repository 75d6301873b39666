"""NC1, variability collapse: tr(Σ_W Σ_B†)/K (Papyan, Han, Donoho 2020).

With Σ_B = P Λ Pᵀ of rank r ≤ K − 1 this is Σ_r (pᵣᵀ Σ_W pᵣ)/λᵣ / K: no D×D inverse, and the pseudo-inverse's cut is
explicit (`snapshot.RANK_CUT`; the rank used is in the measurement).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ncengine.metrics.spec import MetricSpec, Moments, zero

if TYPE_CHECKING:
    from ncengine.metrics.snapshot import Snapshot


def nc1(snapshot: Snapshot) -> float | None:
    """Return tr(Σ_W Σ_B†)/K, in [0, ∞); None where all class means coincide."""
    _, eigenvalues_R = snapshot.between
    if not len(eigenvalues_R):
        return None
    return float((snapshot.within_along_between / eigenvalues_R).sum()) / snapshot.classes


NC1 = MetricSpec(
    key="nc1",
    label="NC1 variability",
    symbol="tr(Σ_W Σ_B†)/K",
    formula="tr(Σ_W Σ_B†)/K",
    family="NC1",
    direction="low",
    ideal=zero,
    source="Papyan, Han, Donoho 2020",
    reading="How large the spread inside classes is beside the spread between them; 0 when each class is one point.",
    how=Moments(nc1),
)
