"""NC2, spread of angles: standard deviation over i ≠ j of the cosines (Papyan, Han, Donoho 2020)."""

from __future__ import annotations

import math

from ncengine.metrics.spec import MetricSpec, Pairs, Which, for_both, zero


def _spec(which: Which, of: str) -> MetricSpec:
    pair = "cos(m_i, m_j)" if which == "means" else "cos(w_i − w̄, w_j − w̄)"
    return MetricSpec(
        key=f"nc2_angle_std_{which}",
        label=f"NC2 spread of angles{of}",
        symbol="std of cos",
        formula=f"std_{{i≠j}} {pair}",
        family="NC2",
        direction="low",
        ideal=zero,
        source="Papyan, Han, Donoho 2020",
        reading="How unequal the angles are, whatever their value.",
        how=Pairs(
            (which,),
            # Around the mean, which is known beforehand: equal cosines give zero, not the rounding of two squares.
            lambda tile: (tile.cosines(which) - tile.rows(which).mean_cosine) ** 2,
            lambda mean, _classes: math.sqrt(mean),
        ),
    )


NC2_ANGLE_STD = for_both(_spec)
