"""How many training samples each class keeps: limits, exponential and step imbalance (Cui et al., Cao et al. 2019).

exponential  n_c = n · f^{c/(K−1)};    step  n_c = n for c < K/2, f n from there on;    f the imbalance factor
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

Imbalance = Literal["none", "exponential", "step"]


def class_counts(
    available: Sequence[int], *, limit: int | None = None, imbalance: Imbalance = "none", factor: float = 1.0
) -> tuple[int, ...]:
    """Return the samples that each class keeps of those available, at least one: n is the largest class's number."""
    held = [count if limit is None else min(count, limit) for count in available]
    if imbalance == "none":
        return tuple(held)
    most, last = max(held), max(1, len(held) - 1)
    shares = [factor ** (c / last) if imbalance == "exponential" else 1.0 for c in range(len(held))]
    if imbalance == "step":
        shares = [1.0 if c < (len(held) + 1) // 2 else factor for c in range(len(held))]
    # A hair is added before rounding down, so that 100 · 0.01 is 1 and not 0.999….
    return tuple(min(count, max(1, math.floor(most * share + 1e-9))) for count, share in zip(held, shares, strict=True))
