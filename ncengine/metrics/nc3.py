"""NC3, self-duality: the classifier aligns with the class means. ‖WH/‖WH‖_F − T‖_F (Zhu et al. 2021)."""

from __future__ import annotations

from ncengine.metrics.nc2 import etf_gap
from ncengine.metrics.snapshot import Snapshot
from ncengine.metrics.spec import MetricSpec, zero


def nc3(snapshot: Snapshot) -> float | None:
    """Return ‖WH/‖WH‖_F − T‖_F, in [0, 2], with W as it is; None without a classifier."""
    rows = snapshot.weight_present_KD
    if rows is None or snapshot.classes < 2:
        return None
    return etf_gap(rows @ snapshot.centred_DK, snapshot.etf_gram)


NC3 = MetricSpec(
    key="nc3",
    label="NC3 self-duality",
    symbol="‖WH/‖WH‖ − T‖",
    direction="low",
    ideal=zero,
    source="Zhu et al. 2021",
    reading="How far the classifier is from pointing along the class means, as a simplex ETF.",
    value=nc3,
)
