"""Squared distance to the nearest simplex ETF (Markou, Ajanthan, Gould 2024, without the proximal term).

    min over ETFs of ‖H̃ − U M/√(K−1)‖²_F = 2 − (2/√(K−1)) ‖H̃‖_*,   H̃ = H/‖H‖_F

H̃ V and H̃ have the same singular values σ̃ because the columns of H̃ sum to zero (where they do not, their mean is taken
off first). With at most K−1 of them and ‖σ̃‖ = 1, the value is Σ (σ̃ − 1/√(K−1))², which has no cancellation near zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ncengine.metrics.spec import MetricSpec, Which, for_both, of_rows, zero

if TYPE_CHECKING:
    from ncengine.metrics.rows import Rows


def etf_distance(rows: Rows) -> float:
    """Return the squared distance of H̃ (or of the centred, normalised W) to the nearest simplex ETF, in [0, 2]."""
    rank = len(rows) - 1
    singular_R = rows.sum_free.decomposition[1][:rank] / rows.norm
    short = rank - len(singular_R)  # directions that fewer features than K−1 do not have
    # What the mean of the rows takes of ‖H̃‖² = 1, where μ_G is not the mean of the class means.
    outside = len(rows) * float(rows.residual_D @ rows.residual_D) / rows.norm**2
    return float(((singular_R - rank**-0.5) ** 2).sum()) + short / rank + outside


def _spec(which: Which, of: str) -> MetricSpec:
    matrix = "H̃" if which == "means" else "W̃"
    return MetricSpec(
        key=f"etf_distance_{which}",
        label=f"NC2 distance to the nearest ETF{of}",
        symbol=f"min ‖{matrix} − UM/√(K−1)‖²",
        formula=f"min_U ‖{matrix} − U M/√(K−1)‖²_F = 2 − 2‖{matrix}‖_*/√(K−1)",
        family="NC2",
        direction="low",
        ideal=zero,
        source="Markou, Ajanthan, Gould 2024",
        reading="How much is left when the simplex ETF is turned as close as it goes.",
        how=of_rows(which, etf_distance),
    )


ETF_DISTANCE = for_both(_spec)
