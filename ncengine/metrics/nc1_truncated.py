"""NC1 as the code of Papyan, Han and Donoho prints it: truncated SVD of Σ_B with K − 1 directions, not over K."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ncengine.metrics.spec import MetricSpec, Moments, zero

if TYPE_CHECKING:
    from ncengine.metrics.snapshot import Snapshot


def nc1_truncated(snapshot: Snapshot) -> float | None:
    """Return tr(Σ_W Σ_B†) over the K − 1 leading directions of Σ_B, in [0, ∞)."""
    _, eigenvalues_R = snapshot.between
    if not len(eigenvalues_R):
        return None
    leading = slice(snapshot.classes - 1)
    return float((snapshot.within_along_between[leading] / eigenvalues_R[leading]).sum())


NC1_TRUNCATED = MetricSpec(
    key="nc1_truncated",
    label="NC1, truncated SVD, undivided",
    symbol="tr(Σ_W Σ_B†)",
    formula="tr(Σ_W U Λ⁻¹ Uᵀ), U, Λ: the K−1 leading singular pairs of Σ_B",
    family="NC1",
    direction="low",
    ideal=zero,
    source="Papyan, Han, Donoho 2020, released code",
    reading="NC1 times K, to be compared with figures that do not divide by the number of classes.",
    how=Moments(nc1_truncated),
)
