"""NC3, self-duality: the classifier aligns with the class means. ‖WH/‖WH‖_F − T‖_F (Zhu et al. 2021), W as it is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ncengine.metrics.spec import MetricSpec, Pairs, zero

if TYPE_CHECKING:
    from torch import Tensor

    from ncengine.metrics.pairs import Tile


def _term(tile: Tile) -> Tensor:
    norm = tile.snapshot.alignment_norm
    product = tile.weights_as_is_by_means()
    return ((product / norm if norm > 0 else product) - tile.etf) ** 2


NC3 = MetricSpec(
    key="nc3",
    label="NC3 self-duality",
    symbol="‖WH/‖WH‖ − T‖",
    formula="‖WH/‖WH‖_F − T‖_F, T = (I − 11ᵀ/K)/√(K−1)",
    family="NC3",
    direction="low",
    ideal=zero,
    source="Zhu et al. 2021",
    reading="How far the classifier is from pointing along the class means, as a simplex ETF.",
    how=Pairs(("means", "weights"), _term, lambda total, _classes: math.sqrt(total), diagonal=True),
)
