"""Real kill -9, SIGSTOP and signals, of workers and of servers: nothing lost, nothing doubled, the same numbers."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest

from backend.jobs import launcher
from backend.jobs.processes import ProcessIdentity, read_boot_id
from backend.store import artifacts, event_log, query, run_actions, run_attempts, runs
from backend.store.database import open_store
from backend.store.identity import read_machine_id
from tests.conftest import BOTH
from tests.faults.harness import LONG, owner, processes, require_whole, status, supervising, wait_epoch, wait_status
from tests.harness import tiny, wait_for
from tests.repetitions import exhaustive_except, repetitions


@BOTH
@pytest.mark.parametrize(
    "moment", exhaustive_except(["before the first checkpoint", "after two epochs"], ["after two epochs"])
)
def test_a_killed_worker_is_resumed_bit_for_bit(store, moment):
    run_id, _ = runs.create(store, tiny(epochs=LONG, device="cpu"))
    with supervising(store):
        wait_for(lambda: owner(store, run_id), what="a worker")
        if moment == "after two epochs":
            wait_epoch(store, run_id, 2)
        else:
            wait_for(lambda: event_log.find_newest_event(store, run_id, "GeometryCaptured"), what="a first capture")
        owner(store, run_id).signal_group(signal.SIGKILL)
        wait_status(store, run_id, "finished")
    require_whole(store, run_id)
    first, second = run_attempts.list_attempts(store, run_id)
    assert "was killed" in first.outcome
    assert second.outcome == "RunFinished"


def test_kills_at_random_moments(store, monkeypatch, started_anew):
    """From a millisecond after its start on, whatever it does then: importing, reading, training, writing files."""
    wanted_kills = repetitions(5, 50)
    monkeypatch.setattr(launcher, "WARM_DELAY_S", 0.0)
    rng = random.Random(3)  # noqa: S311
    run_id, _ = runs.create(store, tiny(epochs=repetitions(100, 500), device="cpu"))
    kills, last = 0, None
    with supervising(store, warm=True):
        while kills < wanted_kills:

            def next_moment(before=last):
                held = owner(store, run_id)
                return (held if held and held != before else None) or status(store, run_id) in ("failed", "finished")

            found = wait_for(next_moment, 60, "the next attempt")
            if found is True:
                assert status(store, run_id) == "failed", "a run of so many epochs is not done yet"
                assert "3 times" in runs.get(store, run_id).error
                run_actions.retry(store, run_id)
                continue
            time.sleep(rng.uniform(0.0, 0.6) if kills % 5 else rng.uniform(0.6, 1.6))
            found.signal_group(signal.SIGKILL)
            kills, last = kills + 1, found
        wait_for(lambda: owner(store, run_id) != last, 20, "its being noticed")
        if status(store, run_id) == "failed":
            run_actions.retry(store, run_id)
        wait_status(store, run_id, "finished", seconds=300)
    assert len(run_attempts.list_attempts(store, run_id)) == wanted_kills + 1
    require_whole(store, run_id)


@pytest.mark.parametrize("killable", [True, False], ids=["ended by the supervisor", "out of its reach"])
def test_a_worker_that_stands_still_is_fenced(store, monkeypatch, killable):
    """SIGSTOP past the time-out: the run goes on elsewhere. The stopped one, woken, changes nothing and leaves."""
    if not killable:
        monkeypatch.setattr(ProcessIdentity, "signal_group", lambda *_: None)
    run_id, _ = runs.create(store, tiny(epochs=25, device="cpu"))
    with supervising(store, hang_s=5.0):
        wait_epoch(store, run_id, 2)
        stopped = owner(store, run_id)
        os.killpg(stopped.pid, signal.SIGSTOP)
        wait_for(lambda: runs.get(store, run_id).attempt == 2, 30, "the second attempt")
        reason = run_attempts.list_attempts(store, run_id)[0].outcome
        assert "sent no heartbeat for 5 s" in reason
        if killable:
            wait_for(lambda: not stopped.is_alive(), 10, "the end of the stopped process")
        else:
            before = event_log.list_events(store, run_id, 0, 100_000)
            os.killpg(stopped.pid, signal.SIGCONT)
            wait_for(lambda: not stopped.is_alive(), 20, "the fenced process leaving by itself")
            assert event_log.list_events(store, run_id, 0, len(before)) == before
            assert "no longer owns run" in artifacts.worker_log_path(store, run_id).read_text()
        wait_status(store, run_id, "finished")
    require_whole(store, run_id)


def test_a_pid_that_somebody_else_has_now_is_never_touched(store):
    """After a restart of the machine, or much later, the recorded pid is another process."""
    run_id, _ = runs.create(store, tiny(epochs=2, device="cpu"))
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"], start_new_session=True)
    try:
        number = run_attempts.claim_run(store, run_id, "cpu")
        recorded = {"pid": bystander.pid, "process_started": "1", "boot_id": read_boot_id(), "host": read_machine_id()}
        run_attempts.record_process(store, run_id, number, **recorded)
        run_actions.request_cancel(store, run_id)
        with supervising(store):
            wait_status(store, run_id, "cancelled", seconds=10)
            run_actions.retry(store, run_id)
            wait_status(store, run_id, "finished")
        assert bystander.poll() is None, "left alone"
    finally:
        bystander.kill()
        bystander.wait()
    require_whole(store, run_id)


def test_a_worker_that_cannot_be_started_is_tried_again(store, monkeypatch):
    run_id, _ = runs.create(store, tiny(epochs=1, device="cpu"))
    monkeypatch.setattr("backend.jobs.supervisor.START_GRACE_S", 1.0)
    with supervising(store) as supervisor:
        submit, refused = supervisor.launcher.submit, []

        def refusing_once(*order):
            if not refused:
                refused.append(order)
                raise OSError("no process to be had")
            return submit(*order)

        monkeypatch.setattr(supervisor.launcher, "submit", refusing_once)
        wait_status(store, run_id, "finished")
    assert run_attempts.list_attempts(store, run_id)[0].outcome == "no worker process could be started"
    require_whole(store, run_id)


def test_a_worker_that_always_dies_is_given_up_with_a_reason(store):
    run_id, _ = runs.create(store, tiny(epochs=500, device="cpu"))
    with supervising(store):
        for attempt in (1, 2, 3):
            wait_for(
                lambda n=attempt: runs.get(store, run_id).attempt == n and owner(store, run_id),
                what=f"attempt {attempt}",
            )
            owner(store, run_id).signal_group(signal.SIGKILL)
        wait_status(store, run_id, "failed")
    row = runs.get(store, run_id)
    assert "3 times" in row.error
    assert row.attempt == 3
    left = [e.payload["tries_left"] for e in event_log.list_events(store, run_id, 0, 1000, ["AttemptFailed"])]
    assert left == [2, 1, 0]
    run_actions.retry(store, run_id)
    assert status(store, run_id) == "queued"
    require_whole(store, run_id, finished=False)


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
    with supervising(store):
        wait_status(store, run_id, "failed")
    row = runs.get(store, run_id)
    assert "lower optimiser.lr" in row.error
    assert row.attempt == 1, "an error that would come again is not tried again"
    assert "Traceback" in event_log.find_newest_event(store, run_id, "LogLine").payload["text"]
    assert event_log.find_newest_event(store, run_id, "GeometryCaptured") is not None, (
        "what came before the error is kept"
    )
    require_whole(store, run_id, finished=False)


# ── servers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

QUIET = ("--no-demonstration", "--no-warm")


def launched(server, **config):
    with server.client() as http:
        body = {"config": tiny(device="cpu", **config).model_dump(mode="json")}
        run_id = http.post("/api/v1/runs", json=body).json()["id"]
        wait_for(lambda: http.get(f"/api/v1/runs/{run_id}").json()["epoch"] >= 1, what="an epoch")
    return run_id


def test_a_server_killed_three_times_leaves_the_run_going_and_the_next_adopts_it(start_server):
    server = start_server(*QUIET)
    run_id = launched(server, epochs=120)
    store, token = open_store(server.data), server.token
    worker = owner(store, run_id)
    assert worker is not None
    for _ in range(3):
        server.kill()
        before = runs.get(store, run_id).epoch
        wait_for(lambda seen=before: runs.get(store, run_id).epoch > seen, what="progress without a server")
        server = start_server(*QUIET, data=server.data)
        assert server.token == token, "pages that are open go on"
        time.sleep(0.5)
        # Whether or not it has ended by now, the only attempt must be that of the first process.
        assert processes(store, run_id) == [worker], "adopted, not started again"
    with server.client() as http:
        wait_for(lambda: http.get(f"/api/v1/runs/{run_id}").json()["status"] == "finished", 120, "the end")
        readings = http.get(f"/api/v1/runs/{run_id}/readings").json()["items"]
    assert readings, "what the worker takes is noted without a server too"
    assert readings[0]["memory_bytes"] > 50e6
    assert readings[0]["cpu_percent"] > 1
    assert runs.get(store, run_id).attempt == 1
    require_whole(store, run_id)
    store.close()


def test_an_adopted_run_can_be_paused_and_cancelled(start_server):
    server = start_server(*QUIET)
    run_id = launched(server, epochs=2000)
    server.kill()
    server = start_server(*QUIET, data=server.data)
    with server.client() as http:
        http.post(f"/api/v1/runs/{run_id}/pause")
        wait_for(lambda: http.get(f"/api/v1/runs/{run_id}").json()["status"] == "paused", 20, "the pause")
        http.post(f"/api/v1/runs/{run_id}/resume")
        wait_for(lambda: http.get(f"/api/v1/runs/{run_id}").json()["status"] == "running", 20, "the resumption")
        http.post(f"/api/v1/runs/{run_id}/cancel")
        wait_for(lambda: http.get(f"/api/v1/runs/{run_id}").json()["status"] == "cancelled", 20, "the cancellation")
    store = open_store(server.data)
    require_whole(store, run_id, finished=False)
    store.close()


def test_ctrl_c_stops_the_server_and_not_the_run(start_server):
    server = start_server("--no-demonstration")
    run_id = launched(server, epochs=2000)
    assert server.stop() == 0
    store = open_store(server.data)
    before = runs.get(store, run_id).epoch
    wait_for(lambda: runs.get(store, run_id).epoch > before, what="progress without a server")
    store.close()


def test_killed_server_and_worker_together(start_server):
    first = start_server(*QUIET)
    run_id = launched(first, epochs=8)
    store = open_store(first.data)
    worker = owner(store, run_id)
    first.kill()
    if worker is not None:
        worker.signal_group(signal.SIGKILL)
    second = start_server(*QUIET, data=first.data)
    with second.client() as http:
        wait_for(lambda: http.get(f"/api/v1/runs/{run_id}").json()["status"] == "finished", 120, "the end")
    require_whole(store, run_id)
    store.close()


def test_twenty_identical_submissions_at_once_are_one_run(start_server):
    server = start_server(*QUIET)
    body = {"config": tiny(epochs=1, device="cpu").model_dump(mode="json")}
    answers, barrier = [], threading.Barrier(20)

    def submit():
        with server.client() as http:
            barrier.wait()
            answers.append(http.post("/api/v1/runs", json=body, headers={"Idempotency-Key": "once"}))

    threads = [threading.Thread(target=submit) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    store = open_store(server.data)
    assert query.list_runs(store).total == 1
    wait_status(store, answers[0].json()["id"], "finished")
    require_whole(store, answers[0].json()["id"])
    store.close()
