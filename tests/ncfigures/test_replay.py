"""Runs as one file: it holds what was captured, within the error it states; it stays small, and asks for nothing."""

from __future__ import annotations

import base64
import json
import re

import numpy as np
import pytest

from backend.api import views, wire
from backend.figures.files import make_replay_file
from backend.store import artifacts, event_log, runs
from backend.store.errors import Invalid, NotFound
from tests.harness import tiny
from tests.ncfigures.conftest import trained


def told_by(content):
    text = content.decode()
    return json.loads(re.search(r'id="replay-data">(.*?)</script>', text, re.S).group(1))


def array_of(told, name, run=0):
    held = told["runs"][run]["arrays"][name]
    whole = np.frombuffer(base64.b64decode(held["data"]), "<i2").astype(float) * held["scale"]
    return whole.reshape(-1, held["rows"], held["columns"])


def test_it_holds_every_capture_within_the_stated_error(kept):
    told = told_by(make_replay_file(kept.store, [kept.run]))
    per_epoch = event_log.find_newest_event(kept.store, kept.run, "RunStarted").payload["steps_per_epoch"]
    steps = artifacts.list_steps(kept.store, kept.run, "geometry")
    directions = [views.read_captured_arrays(kept.store, kept.run, step)["pca"] for step in steps]
    np.testing.assert_allclose(array_of(told, "pca"), directions, atol=5e-5)
    assert [round(step / per_epoch, 6) for step in steps] == [
        capture["epoch"] for capture in told["runs"][0]["captures"]
    ]
    for place, step in enumerate(steps):
        capture = views.read_geometry(kept.store, kept.run, step / per_epoch)
        for name in ("means", "weights", "features"):
            error = np.abs(array_of(told, name)[place] - wire.from_typed(capture.arrays[name])).max()
            assert error <= 1.0001 * told["error"]
        cosines = wire.from_typed(capture.arrays["cosines_means"])
        np.testing.assert_allclose(array_of(told, "cosines")[place], cosines, atol=2e-5)
        assert told["runs"][0]["captures"][place]["smallest_angle_deg"] == capture.facts["smallest_angle_deg"]
    assert 0 < told["error"] < 1e-3
    assert f"{told['error']:.1e}" in make_replay_file(kept.store, [kept.run]).decode(), (
        "the page says how far off it is"
    )
    series = views.read_series(kept.store, kept.run, ["nc1"])
    assert [line["label"] for line in told["lines"]] == ["train", "test"]
    np.testing.assert_allclose(told["lines"][1]["values"]["nc1"]["middle"], series.values["test"]["nc1"], rtol=1e-5)
    assert "low" not in told["lines"][1]["values"]["nc1"]


def test_a_hundred_epochs_of_ten_classes_are_three_megabytes_at_most(store):
    run_id = trained(store, tiny(epochs=100, measure={"features": 250}), "hundred epochs")
    content = make_replay_file(store, [run_id])
    told = told_by(content)
    assert len(content) <= 3_000_000
    assert told["runs"][0]["left_out"] == 0
    assert len(told["runs"][0]["captures"]) > 100
    assert array_of(told, "features").shape[1] >= 200


def test_many_classes_are_thinned_and_it_says_so(kept, monkeypatch):
    monkeypatch.setattr("ncfigures.replay.MAX_COORDINATE_BYTES", 10_000)
    content = make_replay_file(kept.store, [kept.run]).decode()
    told = told_by(content.encode())
    steps = artifacts.list_steps(kept.store, kept.run, "geometry")
    assert told["runs"][0]["left_out"] == len(steps) - len(told["runs"][0]["captures"]) > 0
    assert f"{told['runs'][0]['left_out']} captures are omitted to limit the file size" in content
    assert told["runs"][0]["captures"][-1]["epoch"] == 3


def test_nothing_in_it_is_taken_from_elsewhere(kept):
    content = make_replay_file(kept.store, [kept.heads[3]]).decode()
    assert "default-src 'none'" in content
    assert not re.findall(r'(?:src|href)="(?!data:)', content)
    assert not re.findall(r"https?://(?!www\.w3\.org)", content)
    assert "<title>linear $x$ 手: replay</title>" in content
    assert make_replay_file(kept.store, [kept.heads[3]]).decode() == content


def test_two_hundred_classes_have_one_view(kept):
    content = make_replay_file(kept.store, [kept.many]).decode()
    assert "data-view=" not in content.split('type="module"')[0]
    assert len(content) < 3_000_000


def test_a_run_without_captures_says_so(store):
    run_id, _ = runs.create(store, tiny())
    with pytest.raises(NotFound, match="needs at least one capture"):
        make_replay_file(store, [run_id])


def test_a_comparison_shows_heads_side_by_side_with_medians_over_their_seeds(kept):
    content = make_replay_file(kept.store, kept.heads)
    told = told_by(content)
    assert [run["id"] for run in told["runs"]] == [kept.heads[0], kept.heads[3]], "the first seed of each"
    for place, run_id in ((0, kept.heads[0]), (1, kept.heads[3])):
        capture = views.read_geometry(kept.store, run_id, None)
        means = wire.from_typed(capture.arrays["means"])
        np.testing.assert_allclose(array_of(told, "means", place)[-1], means, atol=1.0001 * told["error"])
    assert [(line["label"], line["colour"]) for line in told["lines"]] == [
        ("for paper, 3 seeds", "head-nearest-etf"),
        ("linear $x$ 手, 3 seeds", "head-linear"),
    ]
    values = [views.read_series(kept.store, run_id, ["nc1"]).values["train"]["nc1"] for run_id in kept.heads[3:]]
    curve = told["lines"][1]["values"]["nc1"]
    for name, part in (("low", np.min), ("middle", np.median), ("high", np.max)):
        np.testing.assert_allclose(curve[name], part(values, axis=0), rtol=1e-5)
    assert content == make_replay_file(kept.store, kept.heads)


def test_more_than_stand_side_by_side_are_refused(kept, store):
    ids = [trained(store, tiny(epochs=1, batch_size=64 + place), f"run {place}") for place in range(5)]
    with pytest.raises(Invalid, match="shows 1 to 4 runs or groups of seeds side by side, got 5"):
        make_replay_file(store, ids)
    with pytest.raises(Invalid, match="got 0"):
        make_replay_file(store, [])
