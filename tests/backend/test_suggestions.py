"""Mistyped names: every message that lists what is allowed suggests the most similar name."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from backend.api import run_groups
from backend.figures.export import FigureOrder, parse_order_options
from backend.jobs import sweep
from backend.store import query
from backend.store.errors import Invalid, did_you_mean
from backend.store.validation import field_errors, override_settings, setting_names
from ncengine.config import RunConfig


@pytest.mark.parametrize(
    ("name", "candidates", "suggested"),
    [
        ("optimizer.lr", ("optimiser.lr", "optimiser.momentum"), "optimiser.lr"),
        ("lr", ("epochs", "optimiser.lr"), "optimiser.lr"),
        ("First-Light", ("first-light", "four-classes"), "first-light"),
        ("nc9", ("nc1", "loss"), None),
        ("", ("nc1",), None),
    ],
)
def test_the_most_similar_name_is_suggested(name, candidates, suggested):
    assert did_you_mean(name, candidates) == (f" (did you mean {suggested!r}?)" if suggested else "")


def test_settings_are_those_of_all_components():
    names = setting_names()
    assert {"epochs", "optimiser.lr", "head.delta", "backbone.features", "measure.first_epoch_captures"} <= names


def refused(work, *args):
    with pytest.raises((Invalid, ValueError)) as error:
        work(*args)
    if isinstance(error.value, ValidationError):
        return "; ".join(f"{each.path}: {each.message}" for each in field_errors(error.value.errors()))
    return str(error.value)


def test_each_kind_of_name_is_suggested(store):
    config = RunConfig.model_validate({"data": {"name": "digits"}})
    for said, suggested in (
        (refused(override_settings, config, {"optimizer.lr": 0.1}), "optimiser.lr"),
        (refused(override_settings, config, {"optimiser.lrr": 0.1}), "optimiser.lr"),
        (refused(override_settings, config, {"head.name": "nearst-etf"}), "nearest-etf"),
        (refused(override_settings, config, {"precision": "bfloat"}), "bfloat16"),
        (refused(sweep.expand_grid, config, {"optimiser.lrr": [0.1]}, 1), "optimiser.lr"),
        (refused(parse_order_options, FigureOrder("a", "geometri", "pdf", {})), "geometry"),
        (refused(lambda: query.list_runs(store, q="haed:linear")), "head"),
        (refused(lambda: query.list_runs(store, sort="-ephoc")), "epoch"),
        (refused(lambda: run_groups.group_runs(store, "haed")), "head"),
    ):
        assert f"(did you mean {suggested!r}?)" in said


def test_a_filter_on_an_unknown_field_says_so_and_quoted_text_is_searched(store):
    assert "there is no field 'http' to filter by" in refused(lambda: query.list_runs(store, q="http://example.org"))
    assert query.list_runs(store, q='"http://example.org"').total == 0


def test_a_union_has_one_error():
    class Body(BaseModel):
        value: str | int

    with pytest.raises(ValidationError) as error:
        TypeAdapter(Body).validate_python({"value": 1.5})
    (found,) = field_errors(error.value.errors())
    assert found.path == "value"
    assert found.message.count("Input should be") == 2


def test_problems_have_suggestions_and_one_error_for_each_field(quiet_server):
    with quiet_server.client() as http:
        body = {"action": "priority", "runs": ["a"], "value": 1.5}
        detail = http.post("/api/v1/runs/bulk", json=body).json()["detail"]
        assert detail.count("value: ") == 1
        body = {"config": {"data": {"name": "digit"}, "optimizer": {}}}
        problem = http.post("/api/v1/runs", json=body).json()
        assert [each["path"] for each in problem["errors"]] == ["data", "optimizer"]
        assert "(did you mean 'digits'?)" in problem["detail"]
        assert "(did you mean 'optimiser'?)" in problem["detail"]
        detail = http.get("/api/v1/figures/geometrie.pdf", params={"runs": "a"}).json()["detail"]
        assert "(did you mean 'geometry'?)" in detail
        detail = http.get("/api/v1/runs", params={"q": "haed:linear"}).json()["detail"]
        assert "(did you mean 'head'?)" in detail
