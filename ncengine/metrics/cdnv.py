"""Class-distance normalised variance (Galanti, György, Hutter 2021), as the mean and the geometric mean over pairs.

    V_ij = (σ_i² + σ_j²)/(2 ‖μ_i − μ_j‖²),   σ_c² = mean over class c of ‖h − μ_c‖²

Pairs whose means coincide up to rounding have no value and are left out; a flag says that there are some.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ncengine.metrics.spec import MetricSpec, Pairs, zero

if TYPE_CHECKING:
    from torch import Tensor

    from ncengine.metrics.pairs import Tile


def pair_values(tile: Tile) -> Tensor:
    """Return V_ij of a tile's pairs."""
    return tile.mean_variances / tile.squared_distances


CDNV = MetricSpec(
    key="cdnv",
    label="Class-distance normalised variance",
    symbol="CDNV",
    formula="mean_{i≠j} (σ_i² + σ_j²)/(2‖μ_i − μ_j‖²)",
    family="NC1",
    direction="low",
    ideal=zero,
    source="Galanti, György, Hutter 2021",
    reading="Spread of two classes over their squared distance, averaged over pairs; a bound on how often the nearest "
    "class mean errs. Neighbouring classes weigh most.",
    how=Pairs(("means",), pair_values),
)
CDNV_LOG = MetricSpec(
    key="cdnv_log",
    label="CDNV, mean of logarithms",
    symbol="exp mean log CDNV",
    formula="exp(mean_{i≠j} log V_ij)",
    family="NC1",
    direction="low",
    ideal=zero,
    source="Galanti, György, Hutter 2021; averaged as by Wu, Papyan 2024",
    reading="The geometric mean over pairs of classes: a few close pairs do not drown the rest.",
    how=Pairs(("means",), lambda tile: pair_values(tile).log(), lambda mean, _classes: math.exp(mean)),
)
