"""GNC2, hyperspherical uniformity: mean over i ≠ j of log(1/‖û_i − û_j‖), minus its value at the simplex ETF.

Source: Liu et al. 2023. û are the normalised rows; at the simplex ETF all distances are √(2K/(K−1)).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ncengine.metrics.spec import MetricSpec, Pairs, Which, for_both, zero

if TYPE_CHECKING:
    from torch import Tensor

    from ncengine.metrics.pairs import Tile

COINCIDENT = 1e-15
"""Squared distances below the rounding of cosines are taken as this, so that the logarithm stays finite."""


def _energy(which: Which) -> Pairs:
    def term(tile: Tile) -> Tensor:
        simplex = 2 * tile.classes / (tile.classes - 1)
        squared = (2 - 2 * tile.cosines(which)).clamp(min=COINCIDENT)
        return -0.5 * (squared / simplex).log()

    return Pairs((which,), term)


def _spec(which: Which, of: str) -> MetricSpec:
    return MetricSpec(
        key=f"gnc2_{which}",
        label=f"Hyperspherical energy above the ETF's{of}",
        symbol="mean log 1/‖û_i − û_j‖",
        formula="mean_{i≠j} log(1/‖û_i − û_j‖) + ½ log(2K/(K−1))",
        family="NC2",
        direction="low",
        ideal=zero,
        source="Liu et al. 2023",
        reading="How far the directions are from being spread evenly over the sphere.",
        how=_energy(which),
    )


GNC2 = for_both(_spec)
