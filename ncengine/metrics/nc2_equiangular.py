"""NC2, equal angles: mean over i ≠ j of |cos_ij + 1/(K−1)| (Papyan, Han, Donoho 2020)."""

from __future__ import annotations

from ncengine.metrics.spec import MetricSpec, Pairs, Which, for_both, simplex_cosine, zero


def _spec(which: Which, of: str) -> MetricSpec:
    pair = "cos(m_i, m_j)" if which == "means" else "cos(w_i − w̄, w_j − w̄)"
    return MetricSpec(
        key=f"nc2_equiangular_{which}",
        label=f"NC2 equal angles{of}",
        symbol="mean |cos + 1/(K−1)|",
        formula=f"mean_{{i≠j}} |{pair} + 1/(K−1)|",
        family="NC2",
        direction="low",
        ideal=zero,
        source="Papyan, Han, Donoho 2020",
        reading="How far the cosines are from the simplex's −1/(K−1) on average.",
        how=Pairs((which,), lambda tile: (tile.cosines(which) - simplex_cosine(tile.classes)).abs()),
    )


NC2_EQUIANGULAR = for_both(_spec)
