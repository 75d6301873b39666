"""NC3 by angles: mean over c of cos(w_c − w̄, m_c), and its variance, uniform duality (Wu, Papyan 2024)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ncengine.metrics.spec import MetricSpec, Moments, one, rows_of, zero

if TYPE_CHECKING:
    from torch import Tensor

    from ncengine.metrics.snapshot import Snapshot


def own_cosines(snapshot: Snapshot) -> Tensor | None:
    """Return cos(w_c − w̄, m_c) (K') of the classes present; None without a classifier."""
    means, weights = rows_of(snapshot, "means"), rows_of(snapshot, "weights")
    if means is None or weights is None:
        return None
    scale_K = means.inverse_norms_K * weights.inverse_norms_K
    return ((means.rows_KD * weights.rows_KD).sum(1) * scale_K).clamp(-1, 1)


def nc3_cosine(snapshot: Snapshot) -> float | None:
    """Return the mean of the cosines, in [−1, 1]."""
    cosines_K = own_cosines(snapshot)
    return None if cosines_K is None else float(cosines_K.mean())


def nc3_uniform(snapshot: Snapshot) -> float | None:
    """Return the variance of the cosines, in [0, 1]."""
    cosines_K = own_cosines(snapshot)
    return None if cosines_K is None else float(cosines_K.var(correction=0))


NC3_COSINE = MetricSpec(
    key="nc3_cosine",
    label="NC3 cosine of classifier and mean",
    symbol="mean cos(w_c, m_c)",
    formula="mean_c cos(w_c − w̄, m_c)",
    family="NC3",
    direction="high",
    ideal=one,
    source="Papyan, Han, Donoho 2020",
    reading="How closely each classifier row points along its own class mean; 1 when it does.",
    how=Moments(nc3_cosine),
)
NC3_UNIFORM = MetricSpec(
    key="nc3_uniform",
    label="NC3 uniform duality",
    symbol="var cos(w_c, m_c)",
    formula="var_c cos(w_c − w̄, m_c)",
    family="NC3",
    direction="low",
    ideal=zero,
    source="Wu, Papyan 2024",
    reading="Whether all classes are aligned alike; 0 when none lags.",
    how=Moments(nc3_uniform),
)
