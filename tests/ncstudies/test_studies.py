"""Every study can be made: arms, claims and figures fit each other; the committed reports are their own proof."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from ncengine.metrics import METRICS
from ncfigures.catalogue import FIGURES
from ncfigures.options import check_figure, choose_metric_keys, parse_options
from ncstudies.claim_tests import SIGNIFICANCE_LEVEL, compute_p_values
from ncstudies.runner import plan_runs
from ncstudies.studies import STUDIES

REPORTS = Path(__file__).parents[2] / "docs" / "reproduction"


@pytest.mark.parametrize("size", ["laptop", "paper"])
@pytest.mark.parametrize("name", STUDIES)
def test_a_study_holds_together(name, size):
    study = STUDIES[name](size)
    assert study.name == name
    assert study.question.endswith("?") or study.question.endswith(".")
    for setting in study.settings:
        configs = [config.canonical_json() for config in setting.arms.values()]
        assert len(set(configs)) == len(configs), "arms differ"
        assert {config.seed for config in setting.arms.values()} == {0}
        shared = [json.loads(config) for config in configs]
        apart = {key for held in shared for key in held if held[key] != shared[0][key]}
        assert apart == {"head"}, "arms differ in their heads alone"
        assert study.claims
        for claim in study.claims:
            assert {claim.arm, claim.baseline} <= set(setting.arms)
            assert claim.text.endswith(".")
            assert claim.statistic.describe(10)
        for drawing in setting.figures:
            options = parse_options(dict(drawing.options))
            check_figure(drawing.figure, "svg", options)
            assert set(choose_metric_keys(drawing.figure, options)) <= set(METRICS)
            assert set(drawing.options) <= set(FIGURES[drawing.figure].options)


def test_runs_of_all_arms_of_a_seed_come_before_the_next_seed():
    plan = plan_runs(STUDIES["convergence"]("laptop"), "laptop", 3)
    study = STUDIES["convergence"]("laptop")
    arms = [(setting.name, arm) for setting in study.settings for arm in setting.arms]
    assert [(each.config.seed, each.setting.name, each.arm) for each in plan] == [
        (seed, *arm) for seed in range(3) for arm in arms
    ]
    assert len({each.key for each in plan}) == len(plan) == 18


def test_studies_share_runs_that_are_alike():
    keys = [
        {each.key for each in plan_runs(STUDIES[name]("laptop"), "laptop", 5)} for name in ("convergence", "implicit")
    ]
    assert len(keys[0] & keys[1]) == 10


@pytest.mark.parametrize("name", STUDIES)
def test_the_committed_report_is_what_its_numbers_say(name):
    """Verdicts are computed anew from the pairs in `claims.csv`; text and pictures are there and complete."""
    folder = REPORTS / f"{name}-laptop"
    rows = list(csv.DictReader((folder / "claims.csv").read_text().splitlines()))
    text, page = (folder / "README.md").read_text(), (folder / "report.html").read_text()
    study = STUDIES[name]("laptop")
    assert [row["claim"] for row in rows] == [c.text for _ in study.settings for c in study.claims]
    for row in rows:
        left, right = (np.array([float(v) for v in row[key].split()]) for key in ("values of", "values than"))
        assert len(left) >= 5
        p, opposite = compute_p_values(left, right, row["relation"])
        assert float(row["p"]) == pytest.approx(p, rel=1e-3)  # p has four digits
        expected = (
            "agrees" if p <= SIGNIFICANCE_LEVEL else "disagrees" if opposite <= SIGNIFICANCE_LEVEL else "undecided"
        )
        assert row["verdict"] == expected
    for verdict, words in (("agrees", "agree with"), ("disagrees", "disagree with"), ("undecided", "are undecided")):
        count = sum(row["verdict"] == verdict for row in rows)
        assert re.findall(rf"(\d+) {words}", text) == ([str(count)] if count else [])
        assert text.count(f"**{verdict}**") == count == page.count(f"<strong>{verdict}</strong>")
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert pictures == re.findall(r'<img src="(.*?)"', page)
    assert {path.name for path in folder.glob("*.svg")} == set(pictures)
    assert "not finished" not in text
