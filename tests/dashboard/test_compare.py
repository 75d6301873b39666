"""The comparison: which runs are one entry, in what they differ, what stands at the end, which is best."""

from __future__ import annotations

import json

import pytest

from backend.api import wire
from backend.api.routes.catalogue import metrics
from backend.api.run_groups import group_by_configuration
from dashboard.components.shell import render_css_variables
from dashboard.pages import compare
from dashboard.plots.charts import compare_figure, overview_groups
from ncengine.config.differences import config_differences
from ncengine.heads.registry import HEADS
from ncfigures import palette
from tests.harness import tiny


def run(name: str, seed: int = 0, summary: dict | None = None, **settings: object) -> wire.RunWire:
    config = tiny(seed=seed, **settings)
    example = dict(wire.RunWire.model_config["json_schema_extra"]["examples"][0])
    example |= {"id": f"{name}{seed}", "name": name, "config": config, "summary": summary or {}}
    return wire.RunWire(**example)


def of_heads() -> list[wire.RunWire]:
    heads = {"nearest": "nearest-etf", "fixed": "fixed-etf"}
    return [
        run(name, seed, {"train": {"nc1": (1 + seed) * (2 if name == "fixed" else 1)}}, head={"name": head})
        for name, head in heads.items()
        for seed in range(3)
    ]


def test_runs_that_differ_in_their_seed_alone_are_one_entry():
    found = group_by_configuration(of_heads())
    assert [(entry.label, entry.head, len(entry.runs)) for entry in found] == [
        ("nearest, 3 seeds", "nearest-etf", 3),
        ("fixed, 3 seeds", "fixed-etf", 3),
    ]
    alone = group_by_configuration([run("a", head={"name": "linear"}), run("b", head={"name": "linear"}, epochs=9)])
    assert [entry.label for entry in alone] == ["a", "b"]
    assert len({entry.dash for entry in alone}) == 2, "entries of one head differ in their dashes"


def test_settings_that_differ_are_told_and_no_others():
    rows = dict(config_differences([entry.runs[0].config for entry in group_by_configuration(of_heads())]))
    assert rows["head.name"] == ["nearest-etf", "fixed-etf"]
    assert rows["head.rotation"][0] is None
    assert not {key for key in rows if not key.startswith("head.")}
    assert config_differences([run("a", 0).config, run("a", 1).config]) == []


def test_finals_have_median_and_range_and_the_best_is_marked():
    found = group_by_configuration(of_heads())
    values = [compare.compute_final_range(entry, "nc1", "train") for entry in found]
    assert values == [(2, 1, 3), (4, 2, 6)]
    assert compare.find_best(values, "low") == {0}
    assert compare.find_best(values, "high") == {1}
    assert compare.find_best([*values, values[0]], "low") == {0, len(values)}, "equals are marked alike"
    assert compare.find_best([values[0], None], "low") == set(), "one alone is not best"
    assert compare.find_best([values[0], values[0]], "low") == set(), "where all are equal none is best"
    assert compare.compute_final_range(found[0], "nc3", "train") is None


@pytest.mark.parametrize("runs", [of_heads(), of_heads()[:1]])
def test_the_page_holds_what_its_script_needs(runs):
    listed = metrics(10).items
    page = compare.layout(runs, listed, overview_groups(listed)).to_plotly_json()["props"]
    entries = json.loads(page["data-configurations"])
    assert [run_id for entry in entries for run_id in entry["runs"]] == [each.id for each in runs]
    assert len(json.loads(page["data-colours"])) == len(entries)
    figure = compare_figure([(entry["label"], "#2457c5", entry["dash"]) for entry in entries])
    assert len(figure["data"]) == 3 * len(entries)
    assert figure["data"][1]["fill"] == "tonexty"


def test_without_runs_the_page_leads_to_the_list():
    assert "Runs" in json.dumps(compare.layout([], [], []).to_plotly_json(), default=lambda part: part.to_plotly_json())


@pytest.mark.parametrize("head", [*HEADS, "cosine", "of-a-plugin", "of-another"])
def test_every_head_has_a_colour_of_both_themes(head):
    key = palette.head_key(head)
    for theme in ("light", "dark"):
        assert f"--head-{key}:{palette.HEAD_COLOURS[theme][key]};" in render_css_variables()
    assert key == head or key.startswith("other-")


def test_heads_that_are_not_listed_share_few_colours_and_none_of_a_listed_one():
    keys = {palette.head_key(f"head-{number}") for number in range(100)}
    assert keys == {"other-0", "other-1", "other-2", "other-3"}
