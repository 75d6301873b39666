"""A run's legal moves, the queue's order, keys, clones and actions on many runs, on both databases."""

from __future__ import annotations

import itertools
import threading

import pytest
import sqlalchemy as sa

from backend.jobs import slots, sweep
from backend.store import event_log, integrity, query, run_actions, run_attempts, run_queue, run_status, runs
from backend.store.errors import Conflict, Invalid, NotFound
from backend.store.event_log import NewEvent
from backend.store.models import run
from backend.store.runs import RunDraft
from tests.conftest import BOTH
from tests.harness import tiny


@BOTH
def test_states_move_only_legally(store):
    run_id, _ = runs.create(store, tiny())
    with pytest.raises(Conflict, match="queued: cancel it before"):
        run_actions.delete(store, run_id)
    with pytest.raises(Conflict, match="only a failed or cancelled"):
        run_actions.retry(store, run_id)
    with pytest.raises(Conflict, match="only a paused run"):
        run_actions.resume(store, run_id)
    run_actions.request_cancel(store, run_id)
    assert runs.get(store, run_id).status == "cancelled"
    with pytest.raises(Conflict, match="only a queued, running or paused"):
        run_actions.request_cancel(store, run_id)
    with pytest.raises(Conflict, match="can be paused"):
        run_actions.request_pause(store, run_id)
    run_actions.retry(store, run_id)
    assert run_attempts.claim_run(store, run_id, "cpu") == 1
    run_actions.request_cancel(store, run_id)
    assert runs.get(store, run_id).status == "running", "its worker is asked"
    assert event_log.append(store, run_id, 1, []).requested == "cancel"
    with pytest.raises(Conflict, match="not being cancelled"):
        run_actions.request_pause(store, run_id)
    assert run_attempts.end_attempt(store, run_id, 1, NewEvent("RunCancelled", {"epoch": 0}))
    run_actions.delete(store, run_id)
    with pytest.raises(NotFound):
        runs.get(store, run_id)
    assert query.list_runs(store).total == 0
    assert query.list_runs(store, deleted=True).total == 1
    run_actions.restore(store, run_id)
    assert runs.get(store, run_id).status == "cancelled"
    assert list(integrity.find_problems(store)) == []


ACTIONS = {
    run_actions.request_cancel: ("RunCancelled", {"queued", "paused"}),
    run_actions.request_pause: ("Paused", {"queued"}),
    run_actions.resume: ("RunQueued", {"paused"}),
    run_actions.retry: ("RunQueued", {"failed", "cancelled"}),
}
"""What users ask for: the event, and the statuses without a worker in which it is allowed."""


@pytest.mark.parametrize("status", run_status.STATUSES)
@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.__name__)
def test_each_action_does_what_the_table_of_transitions_says(store, action, status):
    event, allowed = ACTIONS[action]
    run_id, _ = runs.create(store, tiny())
    with store.writing() as connection:
        connection.execute(sa.update(run).where(run.c.id == run_id).values(status=status))
    if status in allowed:
        action(store, run_id)
        assert runs.get(store, run_id).status == run_status.TRANSITIONS[status][event]
        assert event_log.find_newest_event(store, run_id, event).seq == 2
    elif status == "running" and action is not run_actions.retry and action is not run_actions.resume:
        action(store, run_id)
        assert runs.get(store, run_id).status == "running", "its worker is asked"
    else:
        with pytest.raises(Conflict):
            action(store, run_id)
        assert (runs.get(store, run_id).status, runs.get(store, run_id).last_seq) == (status, 1)


@BOTH
def test_a_paused_run_keeps_its_place_in_the_queue(store):
    first, second = (runs.create(store, tiny(seed=seed))[0] for seed in (0, 1))
    run_actions.request_pause(store, first)
    assert run_attempts.claim_run(store, first, "cpu") is None, "held back"
    assert [row.id for row in run_queue.list_startable(store)] == [second]
    run_actions.resume(store, first)
    assert [row.id for row in run_queue.list_startable(store)] == [first, second]
    assert run_attempts.claim_run(store, first, "cpu") == 1
    run_actions.request_pause(store, first)
    assert event_log.record_heartbeat(store, first, 1, 0.5) == "pause"
    run_actions.resume(store, first)
    assert event_log.record_heartbeat(store, first, 1, 0.5) == "run", "a pause that was not made yet is taken back"
    run_actions.request_pause(store, first)
    run_actions.request_cancel(store, first)
    assert event_log.record_heartbeat(store, first, 1, 0.5) == "cancel"
    assert event_log.record_heartbeat(store, first, 2, 0.5) is None, "another attempt is fenced"
    assert list(integrity.find_problems(store)) == []


@BOTH
def test_priority_then_place_decide_what_starts(store):
    a, b, c = (runs.create(store, tiny(seed=seed))[0] for seed in range(3))
    order = lambda: [row.id for row in run_queue.list_startable(store)]
    assert order() == [a, b, c]
    runs.update(store, c, {"priority": 5})
    assert order() == [c, a, b]
    run_queue.move_before(store, b, before=a)
    assert order() == [c, b, a]
    run_queue.move_before(store, a, before=c)
    assert order() == [a, c, b]
    assert runs.get(store, a).priority == 5, "it takes the priority of where it goes"
    run_queue.move_before(store, a, before=None)
    assert order() == [c, b, a]
    with pytest.raises(Invalid, match="must name a queued run"):
        run_queue.move_before(store, a, before="nosuchrun0")
    run_attempts.claim_run(store, c, "cpu")
    with pytest.raises(Conflict, match="is not queued"):
        run_queue.move_before(store, c, before=a)
    # A retried run comes where it was, before those that came later.
    run_attempts.end_attempt(store, c, 1, NewEvent("RunFailed", {"error": "x"}), error="x")
    run_actions.retry(store, c)
    assert order()[0] == c


@BOTH
def test_an_idempotency_key_gives_the_same_run_or_a_conflict(store):
    first = runs.create(store, tiny(), idempotency_key="k")
    assert runs.create(store, tiny(), idempotency_key="k") == (first[0], False)
    with pytest.raises(Conflict, match="another config"):
        runs.create(store, tiny(seed=1), idempotency_key="k")
    drafts = [RunDraft(tiny(seed=seed), group="g") for seed in range(3)]
    made, new = runs.create_many(store, drafts, "sweep")
    assert new
    assert runs.create_many(store, drafts, "sweep") == (made, False)
    with pytest.raises(Conflict, match="another config"):
        runs.create_many(store, [*drafts, RunDraft(tiny(seed=9))], "sweep")


@BOTH
def test_twenty_submissions_at_once_with_one_key_are_one_run(store):
    barrier, made, errors = threading.Barrier(20), [], []

    def submit():
        barrier.wait()
        try:
            made.append(runs.create(store, tiny(), idempotency_key="once"))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=submit) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len({run_id for run_id, _ in made}) == 1
    assert sum(new for _, new in made) == 1
    assert query.list_runs(store).total == 1


@BOTH
def test_many_runs_at_once_each_answer_for_themselves(store):
    made = [runs.create(store, tiny(seed=seed), group="g")[0] for seed in range(3)]
    run_actions.request_cancel(store, made[0])
    outcomes = run_actions.apply_action(store, "cancel", [*made, "nosuchrun0"])
    assert [each.done for each in outcomes] == [False, True, True, False]
    assert "only a queued" in outcomes[0].detail
    assert "there is no run" in outcomes[3].detail
    run_actions.apply_action(store, "tag", made, "keep")
    run_actions.apply_action(store, "tag", made, "keep")
    assert runs.get(store, made[1]).tags == ["keep"]
    run_actions.apply_action(store, "untag", made[:1], "keep")
    assert query.list_matching_ids(store, "tag:keep", 10) == query.list_matching_ids(store, "group:g -seed:0", 10)
    with pytest.raises(Invalid, match="takes a whole number"):
        run_actions.apply_action(store, "priority", made, "high")
    with pytest.raises(Invalid, match="takes none"):
        run_actions.apply_action(store, "cancel", made, "now")
    assert {row.group: (row.status, row.runs) for row in query.list_groups(store)} == {"g": ("cancelled", 3)}


def test_a_sweep_is_every_combination_with_every_seed():
    grid = {"optimiser.lr": [0.1, 0.2], "head.name": ["nearest-etf", "linear"]}
    configs = sweep.expand_grid(tiny(seed=3), grid, 2)
    found = [(c.optimiser.lr, c.head.name, c.seed) for c in configs]
    assert found == list(itertools.product([0.1, 0.2], ["nearest-etf", "linear"], [3, 4]))
    with pytest.raises(Invalid, match=r"combination optimiser\.lr=-1 is impossible: optimiser\.lr"):
        sweep.expand_grid(tiny(), {"optimiser.lr": [0.1, -1]}, 1)
    with pytest.raises(Invalid, match="there is no setting"):
        sweep.expand_grid(tiny(), {"optimizer.lr": [0.1]}, 1)
    with pytest.raises(Invalid, match="this one has 2000"):
        sweep.expand_grid(tiny(), {"batch_size": [16] * 20}, 100)
    with pytest.raises(Invalid, match="not both"):
        sweep.expand_grid(tiny(), {"seed": [1, 2]}, 2)


def test_slots_are_given_to_the_emptiest_device_that_fits():
    capacity = {"cuda:0": 2, "cuda:1": 2, "cpu": 1}
    assert slots.list_free_slots(capacity, []) == ["cuda:0", "cuda:1", "cuda:0", "cuda:1", "cpu"]
    assert slots.list_free_slots(capacity, ["cuda:0"])[0] == "cuda:1"
    assert slots.list_free_slots(capacity, ["cuda:0", "cuda:0", "cuda:1", "cuda:1", "cpu"]) == []
    assert slots.pick_slot("auto", ["cpu", "cuda:1"]) == "cuda:1"
    assert slots.pick_slot("cuda", ["cpu"]) is None
    assert slots.pick_slot("cuda:1", ["cuda:0", "cuda:1"]) == "cuda:1"
    assert slots.count_slots(["cpu=3"])["cpu"] == 3
    for wrong, words in (("cpu", "DEVICE=NUMBER"), ("cpu=-1", "DEVICE=NUMBER"), ("tpu=1", "this machine has")):
        with pytest.raises(Exception, match=words):
            slots.count_slots([wrong])
