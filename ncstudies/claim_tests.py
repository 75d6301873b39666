"""Statistical tests of claims: runs paired by their seeds, and a test of the pairs.

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

from ncstudies.study import F64, Claim, Relation, RunOutcome, Setting

SIGNIFICANCE_LEVEL = 0.05
MIN_PAIRS = 3
Verdict = Literal["agrees", "disagrees", "undecided", "not measured"]


@dataclass(frozen=True, slots=True)
class ClaimResult:
    """The test of a claim in a setting: a pair of values a seed, p of the claim and of its opposite."""

    claim: Claim
    setting: Setting
    arm_values: tuple[float, ...]
    baseline_values: tuple[float, ...]
    p: float
    p_opposite: float
    verdict: Verdict

    @property
    def wins(self) -> int:
        """The number of pairs in which the claim holds."""
        sign = -1 if self.claim.relation == "higher" else 1
        return sum(sign * (a - b) < 0 for a, b in zip(self.arm_values, self.baseline_values, strict=True))


def evaluate_claim(
    claim: Claim, setting: Setting, arm: Sequence[RunOutcome], baseline: Sequence[RunOutcome]
) -> ClaimResult:
    """Return the test of a claim on outcomes paired by their positions; pairs without a number are left out."""
    pairs = [(claim.statistic.value(a), claim.statistic.value(b)) for a, b in zip(arm, baseline, strict=True)]
    finite = [(a, b) for a, b in pairs if math.isfinite(a) and math.isfinite(b)]
    left, right = np.array(finite, dtype=np.float64).reshape(-1, 2).T
    if len(finite) < MIN_PAIRS:
        return ClaimResult(claim, setting, tuple(left), tuple(right), math.nan, math.nan, "not measured")
    p, opposite = compute_p_values(left, right, claim.relation)
    verdict: Verdict = "undecided"
    if p <= SIGNIFICANCE_LEVEL:
        verdict = "agrees"
    elif opposite <= SIGNIFICANCE_LEVEL:
        verdict = "disagrees"
    return ClaimResult(claim, setting, tuple(left), tuple(right), p, opposite, verdict)


def compute_p_values(left: F64, right: F64, relation: Relation) -> tuple[float, float]:
    """Return the one-sided p that `left` is in a relation to `right`, pair by pair, and that of the opposite relation.

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
