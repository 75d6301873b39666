"""NC1, variability collapse: tr(Σ_W Σ_B†)/K (Papyan, Han, Donoho 2020, eq. for NC1).

With Σ_B = P Λ Pᵀ of rank r ≤ K − 1 this is Σ_r (pᵣᵀ Σ_W pᵣ)/λᵣ / K: no D×D inverse, and the pseudo-inverse's cut is
explicit (`snapshot.RANK_CUT`). Where all class means coincide Σ_B† = 0, and so is the value; the flag says so.
"""

from __future__ import annotations

import numpy as np

from ncengine.metrics.snapshot import Snapshot
from ncengine.metrics.spec import MetricSpec, zero


def nc1(snapshot: Snapshot) -> float | None:
    """Return tr(Σ_W Σ_B†)/K, in [0, ∞)."""
    samples = int(snapshot.counts_K.sum())
    if not samples:
        return None
    directions_DR, eigenvalues_R = snapshot.between
    within_R = np.einsum("dr,de,er->r", directions_DR, snapshot.scatter_DD, directions_DR, optimize=True) / samples
    return float((within_R / eigenvalues_R).sum() / snapshot.classes)


NC1 = MetricSpec(
    key="nc1",
    label="NC1 within-class variability",
    symbol="tr(Σ_W Σ_B†)/K",
    direction="low",
    ideal=zero,
    source="Papyan, Han, Donoho 2020",
    reading="How large the spread inside classes is beside the spread between them; 0 when each class is one point.",
    value=nc1,
)
