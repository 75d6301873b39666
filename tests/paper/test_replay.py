"""A run as one file: it holds what was captured, within the error it states; it stays small, and asks for nothing."""

from __future__ import annotations

import base64
import json
import re

import numpy as np
import pytest

from backend import views, wire
from backend.errors import NotFound
from backend.paper.replay import replay
from backend.store import artifacts, event_log, runs
from tests.harness import tiny
from tests.paper.conftest import trained


def told_by(content):
    text = content.decode()
    return json.loads(re.search(r'id="replay-data">(.*?)</script>', text, re.S).group(1))


def array_of(told, name):
    held = told["arrays"][name]
    whole = np.frombuffer(base64.b64decode(held["data"]), "<i2").astype(float) * held["scale"]
    return whole.reshape(-1, held["rows"], held["columns"])


def test_it_holds_every_capture_within_the_stated_error(kept):
    told = told_by(replay(kept.store, kept.run))
    per_epoch = event_log.newest(kept.store, kept.run, "RunStarted").payload["steps_per_epoch"]
    steps = artifacts.steps(kept.store, kept.run, "geometry")
    assert [round(step / per_epoch, 6) for step in steps] == [capture["epoch"] for capture in told["captures"]]
    for place, step in enumerate(steps):
        capture = views.geometry(kept.store, kept.run, step / per_epoch)
        for name in ("means", "weights", "features"):
            error = np.abs(array_of(told, name)[place] - wire.from_typed(capture.arrays[name])).max()
            assert error <= 1.0001 * told["error"]
        cosines = wire.from_typed(capture.arrays["cosines_means"])
        np.testing.assert_allclose(array_of(told, "cosines")[place], cosines, atol=2e-5)
        assert told["captures"][place]["angle"] == capture.facts["smallest_angle_deg"]
    assert 0 < told["error"] < 1e-3
    assert f"{told['error']:.1e}" in replay(kept.store, kept.run).decode(), "the page says how far off it is"
    series = views.series(kept.store, kept.run, ["nc1"])
    np.testing.assert_allclose(told["series"]["values"]["test"]["nc1"], series.values["test"]["nc1"], rtol=1e-5)


def test_a_hundred_epochs_of_ten_classes_are_three_megabytes_at_most(store):
    run_id = trained(store, tiny(epochs=100, measure={"features": 250}), "hundred epochs")
    content = replay(store, run_id)
    told = told_by(content)
    assert len(content) <= 3_000_000
    assert told["left_out"] == 0
    assert len(told["captures"]) > 100
    assert array_of(told, "features").shape[1] >= 200


def test_many_classes_are_thinned_and_it_says_so(kept, monkeypatch):
    monkeypatch.setattr("backend.paper.replay.MOST_BYTES", 10_000)
    content = replay(kept.store, kept.run).decode()
    told = told_by(content.encode())
    steps = artifacts.steps(kept.store, kept.run, "geometry")
    assert told["left_out"] == len(steps) - len(told["captures"]) > 0
    assert f"{told['left_out']} captures in between are left out" in content
    assert told["captures"][-1]["epoch"] == 3


def test_nothing_in_it_is_taken_from_elsewhere(kept):
    content = replay(kept.store, kept.heads[3]).decode()
    assert "default-src 'none'" in content
    assert not re.findall(r'(?:src|href)="(?!data:)', content)
    assert not re.findall(r"https?://(?!www\.w3\.org)", content)
    assert "<title>linear $x$ 手: replay</title>" in content
    assert replay(kept.store, kept.heads[3]).decode() == content


def test_two_hundred_classes_have_one_view(kept):
    content = replay(kept.store, kept.many).decode()
    assert "data-view=" not in content.split('type="module"')[0]
    assert len(content) < 3_000_000


def test_a_run_without_captures_says_so(store):
    run_id, _ = runs.create(store, tiny())
    with pytest.raises(NotFound, match="needs at least one capture"):
        replay(store, run_id)
