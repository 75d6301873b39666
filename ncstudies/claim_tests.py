"""Whether a claim agrees with what was seen: runs paired by their seeds, and a test of the pairs.

*lower* and *higher*: Wilcoxon's signed-rank test of the differences, exact for few pairs (Wilcoxon 1945), one-sided as
the claims are. *steadier*: Pitman and Morgan's test that one of two paired variances is smaller, which is that of the
correlation between sums and differences (Morgan 1939). A claim *agrees* where the test in its direction gives
p ≤ 0.05, *disagrees* where the test in the opposite direction does, and is *undecided* between. The least p of
Wilcoxon's test with n pairs is 2⁻ⁿ: 0.031 for five. p is not corrected for the number of claims.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from ncfigures.figure_spec import F64
from ncstudies.study import Claim, Outcome, Relation, Setting

LEVEL = 0.05
LEAST_PAIRS = 3
Verdict = Literal["agrees", "disagrees", "undecided", "not measured"]


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of a claim in a setting: the pairs (one a seed), the p of the claim and of its opposite."""

    claim: Claim
    setting: Setting
    of: tuple[float, ...]
    than: tuple[float, ...]
    p: float
    p_opposite: float
    verdict: Verdict

    @property
    def won(self) -> int:
        """In how many pairs the claim holds."""
        sign = -1 if self.claim.relation == "higher" else 1
        return sum(sign * (a - b) < 0 for a, b in zip(self.of, self.than, strict=True))


def judged(claim: Claim, setting: Setting, of: Sequence[Outcome], than: Sequence[Outcome]) -> Seen:
    """Return what is seen of a claim in outcomes that are paired by their places."""
    pairs = [(claim.reading.of(a), claim.reading.of(b)) for a, b in zip(of, than, strict=True)]
    held = [(a, b) for a, b in pairs if math.isfinite(a) and math.isfinite(b)]
    left, right = np.array(held, dtype=np.float64).reshape(-1, 2).T
    if len(held) < LEAST_PAIRS:
        return Seen(claim, setting, tuple(left), tuple(right), math.nan, math.nan, "not measured")
    p, opposite = probabilities(left, right, claim.relation)
    verdict: Verdict = "agrees" if p <= LEVEL else "disagrees" if opposite <= LEVEL else "undecided"
    return Seen(claim, setting, tuple(left), tuple(right), p, opposite, verdict)


def probabilities(left: F64, right: F64, relation: Relation) -> tuple[float, float]:
    """Return the p of `left` being in a relation to `right`, pair by pair, and that of the opposite.

    Both are 1 where nothing can be told: all pairs are equal or, for *steadier*, one of the two does not vary at all.
    """
    if relation == "steadier":
        sums, differences = left + right, left - right
        if not (np.ptp(left) and np.ptp(right) and np.ptp(sums) and np.ptp(differences)):
            return 1.0, 1.0
        # The covariance of sum and difference is that of the variances' difference.
        less, greater = (
            float(stats.pearsonr(sums, differences, alternative=side).pvalue) for side in ("less", "greater")
        )
        return less, greater
    differences = left - right if relation == "lower" else right - left
    if not differences.any():
        return 1.0, 1.0
    less, greater = (float(stats.wilcoxon(differences, alternative=side).pvalue) for side in ("less", "greater"))
    return less, greater
