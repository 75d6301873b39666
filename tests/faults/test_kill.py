"""Real kill -9, of workers and of servers: nothing lost, nothing doubled, the numbers of an unharmed run."""

from __future__ import annotations

import os
import signal
import time

import pytest

from backend.jobs.supervisor import Supervisor
from backend.store import artifacts, event_log, runs
from backend.store.database import open_store
from ncengine.train import run as train
from tests.harness import tiny, wait_for


def check(store, run_id, epochs):
    """What must hold after any fault: contiguous numbers, each epoch once, every file whole."""
    events = event_log.after(store, run_id, 0, 100_000)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert runs.get(store, run_id).last_seq == len(events)
    assert [event.payload["epoch"] for event in events if event.type == "EpochMeasured"] == list(range(1, epochs + 1))
    steps = [event.payload["step"] for event in events if event.type == "GeometryCaptured"]
    assert steps == sorted(set(steps))
    for kind in ("geometry", "checkpoint"):
        for row in artifacts.rows(store, run_id, kind):
            assert artifacts.read(store, row) is not None, row.path
    return events


def reference(config):
    """The last epoch's numbers of an uninterrupted run of this process, and its step losses."""
    events = list(train(config))
    return events[-1].summary


def attempt_pid(store, run_id):
    found = [row for row in runs.owned_attempts(store) if row.run_id == run_id and row.pid]
    return found[0].pid if found else None


def epochs_done(store, run_id):
    return runs.get(store, run_id).epoch


@pytest.mark.parametrize("moment", ["before the first checkpoint", "after two epochs"])
def test_a_killed_worker_is_resumed_bit_for_bit(store, moment):
    config = tiny(epochs=6, device="cpu", head={"name": "nearest-etf"})
    run_id, _ = runs.create(store, config)
    supervisor = Supervisor(store, warm=False)
    supervisor.start()
    try:
        wait_for(lambda: attempt_pid(store, run_id), what="a worker")
        if moment == "after two epochs":
            wait_for(lambda: epochs_done(store, run_id) >= 2, what="two epochs")
        else:
            wait_for(lambda: event_log.newest(store, run_id, "GeometryCaptured"), what="a first capture")
        os.kill(attempt_pid(store, run_id), signal.SIGKILL)
        wait_for(lambda: runs.get(store, run_id).status == "finished", 90, "the end of the run")
    finally:
        supervisor.close()
    events = check(store, run_id, 6)
    assert sum(event.type == "AttemptFailed" for event in events) == 1
    assert runs.get(store, run_id).attempt == 2
    expected = reference(config)
    found = runs.get(store, run_id).summary
    assert found == {split: dict(scalars) for split, scalars in expected.items()}


def test_a_worker_that_cannot_be_started_is_tried_again(store, monkeypatch):
    run_id, _ = runs.create(store, tiny(epochs=1, device="cpu"))
    monkeypatch.setattr("backend.jobs.supervisor.START_GRACE_S", 1.0)
    supervisor = Supervisor(store, warm=False)
    submit, refused = supervisor.engine.submit, []

    def refusing_once(*order):
        if not refused:
            refused.append(order)
            raise OSError("no process to be had")
        return submit(*order)

    monkeypatch.setattr(supervisor.engine, "submit", refusing_once)
    supervisor.start()
    try:
        wait_for(lambda: runs.get(store, run_id).status == "finished", 60, "the end of the run")
    finally:
        supervisor.close()
    assert runs.get(store, run_id).attempt == 2
    check(store, run_id, 1)


def test_a_worker_that_always_dies_is_given_up_with_a_reason(store):
    run_id, _ = runs.create(store, tiny(epochs=500, device="cpu"))
    supervisor = Supervisor(store, warm=False)
    supervisor.start()
    try:
        for attempt in (1, 2, 3):
            wait_for(
                lambda n=attempt: runs.get(store, run_id).attempt == n and attempt_pid(store, run_id),
                what=f"attempt {attempt}",
            )
            os.kill(attempt_pid(store, run_id), signal.SIGKILL)
        wait_for(lambda: runs.get(store, run_id).status == "failed", what="giving up")
    finally:
        supervisor.close()
    row = runs.get(store, run_id)
    assert "3 times" in row.error
    assert row.attempt == 3
    runs.retry(store, run_id)
    assert runs.get(store, run_id).status == "queued"


def test_an_error_of_the_run_fails_it_at_once_with_its_words(store):
    run_id, _ = runs.create(
        store,
        tiny(
            epochs=30,
            device="cpu",
            optimiser={"name": "sgd", "lr": 100.0, "weight_decay": 9.0},
            head={"name": "linear", "normalise": False},
        ),
    )
    supervisor = Supervisor(store, warm=False)
    supervisor.start()
    try:
        wait_for(lambda: runs.get(store, run_id).status == "failed", what="the failure")
    finally:
        supervisor.close()
    row = runs.get(store, run_id)
    assert "lower optimiser.lr" in row.error
    assert row.attempt == 1, "an error that would come again is not tried again"
    assert "Traceback" in event_log.newest(store, run_id, "LogLine").payload["text"]
    assert event_log.newest(store, run_id, "GeometryCaptured") is not None, "what came before the error is kept"


def test_a_damaged_checkpoint_falls_back_to_the_one_before(store):
    config = tiny(epochs=5, device="cpu")
    run_id, _ = runs.create(store, config)
    supervisor = Supervisor(store, warm=False)
    supervisor.start()
    try:
        wait_for(lambda: epochs_done(store, run_id) >= 3, what="three epochs")
        runs.request_cancel(store, run_id)
        wait_for(lambda: runs.get(store, run_id).status == "cancelled", what="the cancellation")
        newest = artifacts.rows(store, run_id, "checkpoint")[0]
        path = store.data_dir / newest.path
        path.write_bytes(path.read_bytes()[:-10])
        runs.retry(store, run_id)
        wait_for(lambda: runs.get(store, run_id).status == "finished", 90, "the end of the run")
    finally:
        supervisor.close()
    lines = [e.payload["text"] for e in event_log.after(store, run_id, 0, 10_000) if e.type == "LogLine"]
    assert any("falling back to the one before" in line for line in lines)
    found = runs.get(store, run_id).summary
    assert found == {split: dict(scalars) for split, scalars in reference(config).items()}


def test_cancel_is_quick_and_keeps_the_numbers(store):
    run_id, _ = runs.create(store, tiny(epochs=1000, device="cpu"))
    supervisor = Supervisor(store, warm=False)
    supervisor.start()
    try:
        wait_for(lambda: epochs_done(store, run_id) >= 1, what="an epoch")
        asked = time.monotonic()
        runs.request_cancel(store, run_id)
        wait_for(lambda: runs.get(store, run_id).status == "cancelled", 10, "the cancellation")
        assert time.monotonic() - asked < 5
    finally:
        supervisor.close()
    row = runs.get(store, run_id)
    assert row.epoch >= 1
    assert row.summary["train"]["nc1"] > 0


def test_a_killed_server_leaves_the_run_going_and_the_next_one_adopts_it(start_server):
    first = start_server("--no-demonstration", "--no-warm")
    with first.client() as http:
        config = tiny(epochs=60, device="cpu").model_dump(mode="json")
        run_id = http.post("/api/v1/runs", json={"config": config}).json()["id"]
        wait_for(lambda: http.get(f"/api/v1/runs/{run_id}").json()["epoch"] >= 1, what="an epoch")
    store = open_store(first.data)
    pid = attempt_pid(store, run_id)
    first.kill()
    before = epochs_done(store, run_id)
    wait_for(lambda: epochs_done(store, run_id) > before, what="progress without a server")
    second = start_server("--no-demonstration", "--no-warm", data=first.data)
    assert second.token == first.token, "pages that are open go on"
    time.sleep(1)
    assert attempt_pid(store, run_id) in (pid, None), "adopted, not started again"
    with second.client() as http:
        wait_for(lambda: http.get(f"/api/v1/runs/{run_id}").json()["status"] == "finished", 120, "the end")
    check(store, run_id, 60)
    assert runs.get(store, run_id).attempt == 1
    store.close()


def test_ctrl_c_stops_the_server_and_not_the_run(start_server):
    server = start_server("--no-demonstration")
    with server.client() as http:
        config = tiny(epochs=400, device="cpu").model_dump(mode="json")
        run_id = http.post("/api/v1/runs", json={"config": config}).json()["id"]
        wait_for(lambda: http.get(f"/api/v1/runs/{run_id}").json()["epoch"] >= 1, what="an epoch")
    assert server.stop() == 0
    store = open_store(server.data)
    before = epochs_done(store, run_id)
    wait_for(lambda: epochs_done(store, run_id) > before, what="progress without a server")
    store.close()


def test_killed_server_and_worker_together(start_server):
    first = start_server("--no-demonstration", "--no-warm")
    with first.client() as http:
        config = tiny(epochs=8, device="cpu")
        run_id = http.post("/api/v1/runs", json={"config": config.model_dump(mode="json")}).json()["id"]
        wait_for(lambda: http.get(f"/api/v1/runs/{run_id}").json()["epoch"] >= 1, what="an epoch")
    store = open_store(first.data)
    pid = attempt_pid(store, run_id)
    first.kill()
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
    second = start_server("--no-demonstration", "--no-warm", data=first.data)
    with second.client() as http:
        wait_for(lambda: http.get(f"/api/v1/runs/{run_id}").json()["status"] == "finished", 120, "the end")
    check(store, run_id, 8)
    found = runs.get(store, run_id).summary
    assert found == {split: dict(scalars) for split, scalars in reference(config).items()}
    store.close()
