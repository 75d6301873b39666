"""The columns of the list of runs, what its filter completes, and what those who only read see of it."""

from __future__ import annotations

import json

from backend.api.routes.catalogue import metrics
from backend.store import run_filter
from dashboard.components.form import list_settings
from dashboard.pages import runs
from ncengine.config import RunConfig


def known() -> list[runs.Column]:
    return runs.list_columns(metrics().items, RunConfig.model_json_schema())


def test_every_column_can_be_sorted_by_what_it_is_named_after():
    shown = known()
    fields = [column["field"] for column in shown]
    assert len(set(fields)) == len(fields)
    assert {"train.nc1", "test.top1", "optimiser.lr", "duration"} <= set(fields)
    for column in shown:
        if "sort" in column:
            assert run_filter.field_column(column["sort"]) is not None, column["field"]
    assert [column["title"] for column in shown if column.get("shown")][6:12] == [
        "NC1 curve", "NC1", "NC2 ∠", "NC3", "Train accuracy", "Test accuracy"
    ]  # fmt: skip


def test_settings_are_those_of_the_schema():
    found = list_settings(RunConfig.model_json_schema())
    assert {"batch_size", "head.name", "head.delta", "optimiser.lr", "measure.every"} <= set(found)
    assert all(found.values()), "each has its help"


def test_the_filter_completes_fields_that_it_understands():
    words = runs.build_vocabulary(known(), RunConfig.model_json_schema(), [], {"digits": {}})
    assert words["values"]["dataset"] == ["digits"]
    assert "nearest-etf" in words["values"]["head"]
    assert words["values"]["loss"] == ["cross-entropy", "mse"]
    values = {"status": "running", "created": "2026-01-01"}
    for field in words["fields"]:
        name, sign = field["name"], field["sign"]
        assert run_filter.parse_filter(f"{name}{sign}{values.get(name, 1)}"), name
    assert {field["name"] for field in words["fields"]} >= {"nc1", "test.top1", "optimiser.lr", "tag"}


def test_those_who_only_read_have_no_buttons_that_change():
    for may_change in (True, False):
        layout = runs.layout(known(), {}, may_change=may_change, may_delete=may_change)
        drawn = json.dumps(layout.to_plotly_json(), default=vars)
        assert ("data-bulk" in drawn, "/new" in drawn, 'data-part": "demonstrate' in drawn) == (may_change,) * 3
