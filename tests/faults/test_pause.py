"""Pause, resume, cancel, retry and time limits of real runs: in every order, at any moment, bit for bit."""

from __future__ import annotations

import contextlib
import itertools
import random
import time

import pytest

from backend.store import artifacts, event_log, query, run_actions, run_attempts, runs
from backend.store.errors import Conflict
from tests.conftest import SQLITE_FIRST
from tests.faults.harness import owner, require_whole, status, supervising, wait_epoch, wait_status
from tests.harness import tiny, wait_for
from tests.repetitions import exhaustive_except, repetitions


@SQLITE_FIRST
def test_a_paused_run_releases_its_device_and_continues_bit_for_bit(store):
    first, _ = runs.create(store, tiny(epochs=8, device="cpu", head={"name": "nearest-etf"}))
    with supervising(store):
        wait_epoch(store, first, 2)
        process = owner(store, first)
        run_actions.request_pause(store, first)
        wait_status(store, first, "paused", seconds=20)
        wait_for(lambda: not process.is_alive(), 10, "the end of its process")
        second, _ = runs.create(store, tiny(epochs=1, device="cpu"))
        wait_status(store, second, "finished")
        paused_at = artifacts.list_rows(store, first, "checkpoint")[0].step
        run_actions.resume(store, first)
        wait_status(store, first, "finished")
    require_whole(store, first)
    resumed = event_log.find_newest_event(store, first, "Resumed")
    assert resumed.payload["step"] == paused_at, "it continued where it stopped, not at an epoch's end"
    assert [row.outcome for row in run_attempts.list_attempts(store, first)] == ["Paused", "RunFinished"]


def test_pause_at_many_moments_of_one_run(store):
    rng = random.Random(1)  # noqa: S311
    run_id, _ = runs.create(store, tiny(epochs=repetitions(60, 400), device="cpu"))
    pauses = 0
    with supervising(store, warm=True):
        while status(store, run_id) != "finished" and pauses < repetitions(3, 8):
            wait_status(store, run_id, "running", "finished")
            time.sleep(rng.uniform(0, repetitions(0.5, 1.5)))
            try:
                run_actions.request_pause(store, run_id)
            except Conflict:
                continue  # finished meanwhile
            if wait_status(store, run_id, "paused", "finished") == "paused":
                pauses += 1
                run_actions.resume(store, run_id)
        wait_status(store, run_id, "finished")
    assert pauses >= 2
    require_whole(store, run_id)


ORDERS = ["-".join(order) for order in itertools.permutations(["pause", "resume", "cancel"])]


@pytest.mark.parametrize("order", exhaustive_except(ORDERS, ["pause-resume-cancel"]))
def test_pause_resume_and_cancel_in_every_order(store, order):
    """Each is asked at once after the one before, of a run that trains; what is refused changes nothing."""
    run_id, _ = runs.create(store, tiny(epochs=200, device="cpu"))
    calls = {"pause": run_actions.request_pause, "resume": run_actions.resume, "cancel": run_actions.request_cancel}
    with supervising(store, warm=True):
        wait_epoch(store, run_id, 1)
        for action in order.split("-"):
            with contextlib.suppress(Conflict):
                calls[action](store, run_id)
        ended = wait_status(store, run_id, "cancelled", seconds=120)
        assert ended == "cancelled", "cancel wins over what is asked before and after"
        # And from there: retry, pause, resume, cancel, each when the one before has been done.
        run_actions.retry(store, run_id)
        wait_status(store, run_id, "running")
        run_actions.request_pause(store, run_id)
        wait_status(store, run_id, "paused", seconds=20)
        run_actions.request_cancel(store, run_id)
        assert status(store, run_id) == "cancelled", "a paused run has nobody to wait for"
    require_whole(store, run_id, finished=False)


def test_a_time_limit_stops_with_a_checkpoint_and_can_be_raised(store):
    (run_id,), _ = runs.create_many(store, [runs.RunDraft(tiny(epochs=60, device="cpu"), time_limit_s=1.0)])
    with supervising(store):
        wait_status(store, run_id, "failed")
        row = runs.get(store, run_id)
        assert "the time limit of 1 s is used up" in row.error
        assert 1.0 <= row.running_s < 6
        assert artifacts.list_rows(store, run_id, "checkpoint")
        with pytest.raises(Conflict, match="raise time_limit_s first"):
            run_actions.retry(store, run_id)
        runs.update(store, run_id, {"time_limit_s": 600.0})
        run_actions.retry(store, run_id)
        wait_status(store, run_id, "finished")
    require_whole(store, run_id)
    assert runs.get(store, run_id).running_s > row.running_s


def test_cancel_races_with_start_and_finish(store):
    """Runs of a second, cancelled at random moments from before their start to after their end."""
    wanted = repetitions(6, 30)
    rng = random.Random(2)  # noqa: S311
    moments, seen = [], set()
    with supervising(store, warm=True, slots={"cpu": 2}) as supervisor:
        for seed in range(wanted):
            run_id, _ = runs.create(store, tiny(epochs=1, device="cpu", seed=seed))
            supervisor.wake()
            moments.append((time.monotonic() + rng.uniform(0, 2.5), run_id))
            if len(moments) < 3:
                continue
            at, chosen = moments.pop(0)
            time.sleep(max(0.0, at - time.monotonic()))
            try:
                run_actions.request_cancel(store, chosen)
            except Conflict:
                assert status(store, chosen) == "finished"
        for _, chosen in moments:
            run_actions.request_cancel(store, chosen)
        rows = [row.id for row in query.list_runs(store, limit=100).rows]
        for run_id in rows:
            seen.add(wait_status(store, run_id, "cancelled", "finished"))
    require_whole(store)
    assert len(rows) == wanted
    assert "cancelled" in seen


def test_cancel_is_quick_and_keeps_the_numbers(store):
    run_id, _ = runs.create(store, tiny(epochs=1000, device="cpu"))
    with supervising(store):
        wait_epoch(store, run_id, 1)
        process, asked = owner(store, run_id), time.monotonic()
        run_actions.request_cancel(store, run_id)
        wait_status(store, run_id, "cancelled", seconds=10)
        assert time.monotonic() - asked < 5, "a bound for slow machines; it takes a fraction of a second"
        wait_for(lambda: not process.is_alive(), 10, "the end of its process")
    row = runs.get(store, run_id)
    assert row.epoch >= 1
    assert row.summary["train"]["nc1"] > 0
    require_whole(store, run_id, finished=False)


def test_two_small_runs_share_a_device_where_the_operator_says_so(store):
    both = [runs.create(store, tiny(epochs=2000, device="cpu", seed=seed))[0] for seed in range(3)]
    with supervising(store, slots={"cpu": 2}):
        wait_for(lambda: len(run_attempts.list_running_attempts(store)) == 2, 60, "two at once")
        assert status(store, both[2]) == "queued"
        run_actions.request_cancel(store, both[0])
        wait_status(store, both[2], "running")
        for run_id in both[1:]:
            run_actions.request_cancel(store, run_id)
            wait_status(store, run_id, "cancelled")
    require_whole(store)
