"""What runs will take, from what runs like them took: the same settings first, then the same network and data."""

from __future__ import annotations

import pytest

from backend.jobs.sweep import estimate_runs
from backend.store import event_log, run_attempts, runs
from backend.store.event_log import NewEvent
from backend.store.run_attempts import ResourceSample
from tests.conftest import BOTH
from tests.harness import ServerProcess, tiny, wait_for


def took(store, config, seconds, memory=None):
    """Store a run of one epoch that took so many seconds."""
    run_id, _ = runs.create(store, config)
    number = run_attempts.claim_run(store, run_id, "cpu")
    event_log.append(store, run_id, number, [NewEvent("EpochMeasured", {"epoch": 1, "scalars": {}})], {"epoch": 1})
    event_log.record_heartbeat(store, run_id, number, seconds)
    if memory:
        run_attempts.insert_resource_sample(store, run_id, number, ResourceSample(100.0, memory))
    run_attempts.end_attempt(store, run_id, number, NewEvent("RunFinished", {}))


@BOTH
def test_the_most_alike_runs_tell(store):
    config = tiny(epochs=10)
    assert [(e.seconds, e.memory_bytes, e.runs, e.alike) for e in estimate_runs(store, [config])] == [
        (None, None, 0, None)
    ]
    for seconds in (4.0, 5.0, 9.0):
        took(store, tiny(seed=int(seconds)), seconds, int(seconds) * 10**8)
    took(store, tiny(batch_size=32), 50.0)
    (same,) = estimate_runs(store, [config])
    assert same.seconds == pytest.approx(5.0 * 10), "the median of one epoch, ten times"
    assert (same.memory_bytes, same.runs, same.alike) == (5 * 10**8, 3, "with the same settings")
    other, again = estimate_runs(store, [tiny(epochs=10, head={"name": "linear"}), tiny(epochs=20, seed=77)])
    assert other.alike == "of the same network and data"
    assert other.seconds == pytest.approx(7.0 * 10), "of 4, 5, 9 and 50"
    assert again.seconds == pytest.approx(100.0)
    (unknown,) = estimate_runs(store, [tiny(backbone={"name": "mlp", "width": 48})])
    assert unknown.seconds is None


@pytest.mark.parametrize("body", [{"grid": {"optimiser.lr": []}}, {"seeds": 0}, {"grid": {"nothing": [1]}}])
def test_an_impossible_plan_is_refused(quiet_server: ServerProcess, body):
    with quiet_server.client() as http:
        answer = http.post("/api/v1/config/estimate", json={"config": tiny().model_dump(mode="json"), **body})
    assert answer.status_code == 422, answer.text


def test_a_plan_counts_its_runs(start_server):
    server = start_server("--no-demonstration", "--no-warm")
    config = tiny(epochs=30).model_dump(mode="json")
    with server.client() as http:
        plan = {"config": config, "grid": {"head.name": ["linear", "nearest-etf"]}, "seeds": 3}
        empty = http.post("/api/v1/config/estimate", json=plan).json()
        assert (empty["runs"], empty["seconds"], empty["unknown"]) == (6, None, 6)
        http.post("/api/v1/runs", json={"config": config})
        wait_for(lambda: http.get("/api/v1/runs?status=finished").json()["total"] == 1, 60)
        known = http.post("/api/v1/config/estimate", json=plan).json()
        row = http.get("/api/v1/runs").json()["items"][0]
    assert known["seconds"] == pytest.approx(6 * row["running_s"], rel=0.01)
    assert known["wall_seconds"] == pytest.approx(known["seconds"] / known["slots"], rel=0.01)
    assert known["unknown"] == 0
