"""NC4: the classifier decides as the nearest class mean would (Papyan, Han, Donoho 2020)."""

from __future__ import annotations

from ncengine.metrics.snapshot import Snapshot
from ncengine.metrics.spec import MetricSpec, zero


def ncc_mismatch(snapshot: Snapshot) -> float | None:
    """Return the share of samples with argmax(Wh + b) ≠ argmin_c ‖h − μ_c‖, in [0, 1]; μ_c of the training split."""
    if snapshot.logits_NK is None or snapshot.nearest_mean_N is None:
        return None
    return float((snapshot.logits_NK.argmax(axis=1) != snapshot.nearest_mean_N).mean())


NC4_NCC_MISMATCH = MetricSpec(
    key="nc4_ncc_mismatch",
    label="NC4 nearest-mean disagreement",
    symbol="P[argmax(Wh+b) ≠ argmin‖h−μ_c‖]",
    direction="low",
    ideal=zero,
    source="Papyan, Han, Donoho 2020",
    reading="Share of samples that the nearest class mean would put into another class than the classifier does.",
    value=ncc_mismatch,
)
