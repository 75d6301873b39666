"""NC3 as a distance: ‖W/‖W‖_F − Hᵀ/‖H‖_F‖²_F (Papyan, Han, Donoho 2020), W as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ncengine.metrics.spec import MetricSpec, Moments, rows_of, zero

if TYPE_CHECKING:
    from ncengine.metrics.snapshot import Snapshot


def nc3_distance(snapshot: Snapshot) -> float | None:
    """Return the squared distance, in [0, 4]; None without a classifier."""
    means, weights = rows_of(snapshot, "means"), rows_of(snapshot, "weights")
    if means is None or weights is None:
        return None
    # W − w̄ and w̄ apart: the rows of H sum to zero where μ_G is the mean of the class means.
    scale = weights.norm_as_is
    gap_KD = (weights.rows_KD / scale).sub_(means.rows_KD, alpha=1 / means.norm)
    offset_D = weights.offset_D / scale
    cross = 2 * float(gap_KD.sum(0) @ offset_D)
    gap = float(gap_KD.square_().sum())
    return gap + cross + len(means) * float(offset_D @ offset_D)


NC3_DISTANCE = MetricSpec(
    key="nc3_distance",
    label="NC3 distance of classifier and means",
    symbol="‖W/‖W‖ − Hᵀ/‖H‖‖²",
    formula="‖W/‖W‖_F − Hᵀ/‖H‖_F‖²_F",
    family="NC3",
    direction="low",
    ideal=zero,
    source="Papyan, Han, Donoho 2020",
    reading="How far the classifier and the class means are from being the same up to a scale, whatever their shape.",
    how=Moments(nc3_distance),
)
