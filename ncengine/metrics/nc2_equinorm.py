"""NC2, equal norms: std/mean of ‖m_c‖, and of ‖w_c − w̄‖ (Papyan, Han, Donoho 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ncengine.metrics.spec import MetricSpec, Which, for_both, of_rows, zero

if TYPE_CHECKING:
    from ncengine.metrics.rows import Rows


def equinorm(rows: Rows) -> float:
    """Return std/mean of the rows' norms (population standard deviation), in [0, √(K−1)]."""
    return float(rows.norms_K.std(correction=0) / rows.norms_K.mean())


def _spec(which: Which, of: str) -> MetricSpec:
    norm = "‖m_c‖" if which == "means" else "‖w_c − w̄‖"
    return MetricSpec(
        key=f"nc2_equinorm_{which}",
        label=f"NC2 equal norms{of}",
        symbol=f"std/mean {norm}",
        formula=f"std_c {norm} / mean_c {norm}",
        family="NC2",
        direction="low",
        ideal=zero,
        source="Papyan, Han, Donoho 2020",
        reading="How unequal the norms are; 0 when all are as long.",
        how=of_rows(which, equinorm),
    )


NC2_EQUINORM = for_both(_spec)
