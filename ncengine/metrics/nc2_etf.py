"""NC2, distance of the Gram matrix from the simplex ETF's: ‖G/‖G‖_F − T‖_F (Zhu et al. 2021), G = HᵀH or W Wᵀ.

W is taken as it is, not centred, as in the paper.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ncengine.metrics.spec import MetricSpec, Pairs, Which, for_both, zero

if TYPE_CHECKING:
    from torch import Tensor

    from ncengine.metrics.pairs import Tile


def _gap(which: Which) -> Pairs:
    def term(tile: Tile) -> Tensor:
        rows = tile.rows(which)
        if which == "weights":
            return (tile.weights_gram_as_is() / rows.gram_norm_as_is - tile.etf) ** 2
        return (tile.gram(which) / rows.gram_norm - tile.etf) ** 2

    return Pairs((which,), term, lambda total, _classes: math.sqrt(total), diagonal=True)


def _spec(which: Which, of: str) -> MetricSpec:
    gram = "HᵀH" if which == "means" else "W Wᵀ"
    return MetricSpec(
        key=f"nc2_etf_{which}",
        label=f"NC2 Gram distance to the ETF{of}",
        symbol=f"‖{gram}/‖{gram}‖ − T‖",
        formula=f"‖{gram}/‖{gram}‖_F − T‖_F, T = (I − 11ᵀ/K)/√(K−1)",
        family="NC2",
        direction="low",
        ideal=zero,
        source="Zhu et al. 2021",
        reading="How far the matrix of inner products is from the simplex's; norms and angles together.",
        how=_gap(which),
    )


NC2_ETF = for_both(_spec)
