"""The event log's own rules, one at a time: what is stored of an event, who may write, and what readers get."""

from __future__ import annotations

import math
import select

import numpy as np
import psycopg
import pytest
import sqlalchemy as sa

from backend.store import artifacts, event_log, run_attempts, runs
from backend.store.database import CHANNEL
from backend.store.errors import Fenced
from backend.store.event_log import Bucket, NewEvent, encode_numbers
from backend.store.models import bucket
from tests.conftest import BOTH
from tests.harness import tiny


def running(store, **changes):
    run_id, _ = runs.create(store, tiny(**changes))
    assert run_attempts.claim_run(store, run_id, "cpu") == 1
    return run_id


def line(text):
    return NewEvent("LogLine", {"text": text})


def test_numbers_that_json_lacks_are_strings_at_every_depth():
    value = {"a": [math.nan, (math.inf, {"b": -math.inf})], "c": 1.5, "d": "x", "e": None, "f": True, "g": 3}
    expected = {"a": ["NaN", ["Infinity", {"b": "-Infinity"}]], "c": 1.5, "d": "x", "e": None, "f": True, "g": 3}
    assert encode_numbers(value) == expected
    assert [float(text) for text in ("NaN", "Infinity", "-Infinity")][1:] == [math.inf, -math.inf]


@BOTH
def test_an_append_that_is_repeated_by_a_writer_that_lost_the_run_is_fenced(store):
    run_id = running(store)
    assert event_log.append(store, run_id, 1, [line("a")], follows=1).last_seq == 2
    run_attempts.end_attempt(store, run_id, 1, NewEvent("RunCancelled", {}))
    for follows in (None, 1, 2, 3):
        with pytest.raises(Fenced, match=f"attempt 1 no longer owns run {run_id}"):
            event_log.append(store, run_id, 1, [line("a")], follows=follows)


def test_only_the_run_and_attempt_that_are_named_change(store):
    first, second = running(store), running(store, seed=1)
    before = runs.get(store, second)
    event_log.append(store, first, 1, [line("a")], {"epoch": 3})
    assert event_log.record_heartbeat(store, first, 1, 2.5) == "run"
    assert event_log.record_heartbeat(store, first, 2, 9.0) is None, "another attempt"
    assert event_log.record_heartbeat(store, "nosuchrun0", 1, 9.0) is None
    row = runs.get(store, first)
    assert (row.epoch, row.last_seq, row.running_s) == (3, 2, 2.5)
    assert runs.get(store, second) == before
    run_attempts.end_attempt(store, first, 1, NewEvent("RunCancelled", {}))
    assert event_log.record_heartbeat(store, first, 1, 9.0) is None


def test_the_users_request_is_returned_with_each_append(store):
    run_id = running(store)
    with store.writing() as connection:
        connection.execute(sa.text("UPDATE run SET want = 'pause'"))
    assert event_log.append(store, run_id, 1, [line("a")], follows=1) == (2, "pause")
    assert event_log.append(store, run_id, 1, [line("a")], follows=1) == (2, "pause"), "also where it is repeated"
    assert event_log.record_heartbeat(store, run_id, 1, 1.0) == "pause"


def test_a_files_row_holds_what_was_written(store):
    run_id = running(store)
    written = artifacts.write(store, run_id, "geometry", 7, 1, {"means": np.zeros((2, 1), np.float32)})
    event_log.append(store, run_id, 1, [line("before"), NewEvent("GeometryCaptured", {"step": 7}, written)])
    (row,) = artifacts.list_rows(store, run_id, "geometry")
    assert (row.run_id, row.kind, row.step, row.seq) == (run_id, "geometry", 7, 3)
    assert (row.path, row.sha256, row.size_bytes) == (written.path, written.sha256, written.size_bytes)
    assert row.directory_id == written.directory_id == store.directory_id


def test_buckets_are_stored_with_their_run(store):
    run_id = running(store)
    event_log.append(store, run_id, 1, [], buckets=[Bucket("epoch", 2, 5, {"sum": math.nan}), Bucket("step", 1, 0, {})])
    with store.reading() as connection:
        rows = [tuple(row) for row in connection.execute(sa.select(bucket).order_by(bucket.c.kind))]
    assert rows == [(run_id, "epoch", 2, 5, {"sum": "NaN"}), (run_id, "step", 1, 0, {})]
    assert runs.get(store, run_id).last_seq == 1, "an append without events takes no number"


def test_events_have_the_time_of_the_append_unless_they_say_another(store):
    run_id = running(store)
    events = [line("a"), NewEvent("LogLine", {}, at="2020-01-01T00:00:00.000Z"), line("b")]
    event_log.append(store, run_id, 1, events)
    first, earlier, last = event_log.list_events(store, run_id, 1, 10)
    assert (first.run_id, first.type, first.payload) == (run_id, "LogLine", {"text": "a"})
    assert earlier.at == "2020-01-01T00:00:00.000Z"
    assert first.at == last.at
    assert first.at >= event_log.list_events(store, run_id, 0, 1)[0].at


def test_readers_get_events_of_their_run_and_type_in_order(store):
    first, second = running(store), running(store, seed=1)
    for run_id in (first, second):
        for text in "abc":
            event_log.append(store, run_id, 1, [line(run_id + text), NewEvent("Resumed", {"text": text})])
    texts = lambda rows: [row.payload["text"] for row in rows]
    assert texts(event_log.list_events(store, first, 1, 10, ["LogLine"])) == [first + text for text in "abc"]
    assert event_log.list_events(store, first, 1, 10, []) == []
    assert texts(event_log.list_newest_events(store, first, "LogLine", 2)) == [first + "c", first + "b"]
    assert event_log.find_newest_event(store, second, "LogLine").payload["text"] == second + "c"
    assert event_log.find_newest_event(store, "nosuchrun0", "LogLine") is None
    assert event_log.list_events_of_runs(store, {}, 10) == {}
    found = event_log.list_events_of_runs(store, {first: 0, second: 4, "nosuchrun0": 0}, 3)
    assert {run_id: [row.seq for row in rows] for run_id, rows in found.items()} == {
        first: [1, 2, 3],
        second: [5, 6, 7],
    }


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
def test_postgresql_tells_listeners_which_run_has_events(store):
    """Once for each append, when it is committed; not for one that fails, nor for one without events."""
    run_id = running(store)
    url = sa.make_url(store.url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as listener:
        listener.execute(f"LISTEN {CHANNEL}")
        event_log.append(store, run_id, 1, [line("a"), line("b")])
        event_log.append(store, run_id, 1, [])
        with pytest.raises(Fenced):
            event_log.append(store, run_id, 2, [line("c")])
        event_log.append(store, run_id, 1, [line("d")])
        heard = [(each.channel, each.payload) for each in listener.notifies(timeout=10, stop_after=2)]
        assert heard == [(CHANNEL, run_id)] * 2
        assert select.select([listener.fileno()], [], [], 0)[0] == [], "nothing else was told"
