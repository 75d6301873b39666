"""Verdicts against slow references, and what is read of runs."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ncstudies.claim_tests import compute_p_values, evaluate_claim
from ncstudies.study import Claim, ClassifierLag, EpochsToThreshold, MetricAt, PeakMemory, RunOutcome, StepTime

NUMBERS = st.lists(st.floats(-10, 10).map(lambda v: round(v, 1)), min_size=3, max_size=8)


def signed_rank(differences):
    """Wilcoxon's one-sided p from its definition: every assignment of signs to the ranks of what is not zero."""
    kept = [d for d in differences if d]
    ranks = stats.rankdata(np.abs(kept))
    seen = sum(r for r, d in zip(ranks, kept, strict=True) if d > 0)
    sums = [
        sum(r for r, up in zip(ranks, signs, strict=True) if up)
        for signs in itertools.product((0, 1), repeat=len(kept))
    ]
    return sum(total <= seen + 1e-9 for total in sums) / len(sums)


@settings(deadline=None, max_examples=60)
@given(NUMBERS)
def test_lower_is_the_signed_rank_test_by_its_definition(differences):
    left, right = np.array(differences), np.zeros(len(differences))
    p, opposite = compute_p_values(left, right, "lower")
    if not any(differences):
        assert (p, opposite) == (1.0, 1.0)
        return
    assert p == pytest.approx(signed_rank(differences), abs=1e-9)
    assert opposite == pytest.approx(signed_rank([-d for d in differences]), abs=1e-9)
    assert compute_p_values(left, right, "higher") == (opposite, p)
    assert compute_p_values(right, left, "lower") == (opposite, p)


def test_five_pairs_that_agree_give_the_least_p():
    left = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    assert compute_p_values(left, left + np.array([0.1, 0.5, 0.2, 0.3, 0.4]), "lower") == (2**-5, 1.0)


def test_steadier_is_pitmans_and_morgans_test_by_its_formula():
    """t = (F − 1)√(n − 2) / (2 √(F (1 − r²))) with F the ratio of variances and r the correlation (Morgan 1939)."""
    random = np.random.default_rng(5)
    left, right = random.normal(size=9), 2.5 * random.normal(size=9)
    ratio, r = left.var() / right.var(), np.corrcoef(left, right)[0, 1]
    t = (ratio - 1) * math.sqrt(7) / (2 * math.sqrt(ratio * (1 - r * r)))
    p, opposite = compute_p_values(left, right, "steadier")
    assert p == pytest.approx(stats.t.cdf(t, 7), rel=1e-9)
    assert opposite == pytest.approx(1 - p, rel=1e-9)


@pytest.mark.parametrize(("left", "right"), [([1, 1, 1, 1], [1, 2, 3, 4]), ([1, 2, 3, 4], [2, 3, 4, 5])])
def test_steadier_says_nothing_of_what_does_not_vary_or_varies_alike(left, right):
    assert compute_p_values(np.array(left, float), np.array(right, float), "steadier") == (1.0, 1.0)


def outcome(*loss):
    return RunOutcome(list(range(1, len(loss) + 1)), {"train": {"loss": list(loss)}})


SETTING = SimpleNamespace(name="here")
CLAIM = Claim("Lower.", "a test", MetricAt("loss"), "lower", "a", "b")


def test_a_claim_agrees_disagrees_or_is_undecided():
    low, high = [outcome(3, v) for v in (1, 2, 3, 4, 5)], [outcome(3, v) for v in (2, 3, 4, 5, 7)]
    found = evaluate_claim(CLAIM, SETTING, low, high)
    assert (found.verdict, found.wins, found.arm_values[0], found.baseline_values[-1]) == ("agrees", 5, 1.0, 7.0)
    assert evaluate_claim(CLAIM, SETTING, high, low).verdict == "disagrees"
    assert evaluate_claim(CLAIM, SETTING, low, low).verdict == "undecided"
    assert evaluate_claim(CLAIM, SETTING, low[:2], high[:2]).verdict == "not measured"


def test_runs_that_lack_the_number_are_left_out_with_their_partners():
    low = [outcome(1), outcome(None), *[outcome(v) for v in (2, 3, 4, 5)]]
    high = [outcome(v) for v in (2, 3, 4, 5, 6, "NaN")]
    assert evaluate_claim(CLAIM, SETTING, low, high).arm_values == (1.0, 2.0, 3.0, 4.0)


def test_what_is_read_of_a_run():
    run = RunOutcome(
        [1, 2, 3, 4],
        {
            "train": {
                "nc1": [4, 0.4, 0.6, 0.3],
                "nc3_distance": [1, 1, 0.5, 0.3],
                "etf_distance_means": [1, 1, 0.1, 0.1],
            }
        },
        {"head": 0.002, "backward": 0.003},
        {"head": 2**20, "backward": 2**21},
    )
    assert MetricAt("nc1").value(run) == 0.3
    assert MetricAt("nc1", at=0.5).value(run) == 0.4
    assert math.isnan(MetricAt("nc1", "test").value(run))
    assert EpochsToThreshold("nc1", 0.5).value(run) == 4, "it stays below from the fourth epoch on"
    assert EpochsToThreshold("nc1", 0.1).value(run) == 5, "never: one epoch more than there are"
    assert math.isnan(EpochsToThreshold("nc3", 0.1).value(run))
    assert ClassifierLag().value(run) == pytest.approx((0.4 + 0.2) / 2)
    assert StepTime().value(run) == pytest.approx(5.0)
    assert StepTime(("head",)).value(run) == pytest.approx(2.0)
    assert PeakMemory().value(run) == 2.0
    assert math.isnan(PeakMemory().value(outcome(1)))
    assert MetricAt("top1", "test", 0.25).describe(40) == "Top-1 accuracy, test, epoch 10"
    assert MetricAt("top1").format(0.9876) == "98.76\N{NO-BREAK SPACE}%"
