"""The stream: replay plus tail, resumed from any point without loss or doubles, while a real writer writes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import subprocess
import sys
from urllib.parse import quote

import numpy as np
import pytest

from backend.api.security.permissions import Caller
from backend.api.stream import PAGE_EVENTS, StreamHub
from backend.store import artifacts, event_log, run_actions, run_attempts, runs
from backend.store.database import open_store
from backend.store.event_log import NewEvent
from backend.store.models import run
from tests.harness import record_here, run_async, tiny

WRITER = """
import sys, time
from pathlib import Path
from backend.store.database import open_store
from backend.store.event_log import append
from backend.store.event_log import NewEvent
store = open_store(Path(sys.argv[1]))
for i in range(400):
    append(store, sys.argv[2], 1, [NewEvent("LogLine", {"text": str(i)})])
    time.sleep(0.005)
"""


def messages(lines):
    """Yield (event, id, data) of a text/event-stream."""
    held = {}
    for line in lines:
        if line.startswith(("event: ", "id: ", "data: ")):
            name, _, value = line.partition(": ")
            held[name] = value
        elif not line and "data" in held:
            yield held["event"], held["id"], json.loads(held["data"])
            held = {}


@pytest.fixture
def written(quiet_server):
    """A running run that only the test writes to, in the server's own store: its device is no slot of this machine."""
    store = open_store(quiet_server.data)
    run_id, _ = runs.create(store, tiny(device="cuda:9"), name="streamed")
    number = run_attempts.claim_run(store, run_id, "cuda:9")
    record_here(store, run_id, number)
    yield store, run_id
    run_attempts.end_attempt(store, run_id, number, NewEvent("RunCancelled", {"epoch": 0}))
    store.close()


def test_reconnecting_loses_and_doubles_nothing(quiet_server, written):
    store, run_id = written
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(store.data_dir), run_id])
    rng = random.Random(0)  # noqa: S311  (where to cut the line, not a secret)
    seen: list[int] = []
    with quiet_server.client() as http:
        while len(seen) < 401:
            headers = {"last-event-id": str(seen[-1])} if seen else {}
            wanted = rng.randint(1, 60)
            with http.stream("GET", f"/api/v1/stream?runs={run_id}", headers=headers) as answer:
                assert answer.headers["content-type"].startswith("text/event-stream")
                for count, (_, number, data) in enumerate(messages(answer.iter_lines()), start=1):
                    assert int(number) == data["seq"]
                    seen.append(data["seq"])
                    if count >= wanted or len(seen) >= 401:
                        break
    assert writer.wait(timeout=30) == 0
    assert seen == list(range(1, 402))


def test_two_runs_in_one_stream_carry_their_names(quiet_server, written):
    store, run_id = written
    other, _ = runs.create(store, tiny(seed=5, epochs=1), name="other")
    with quiet_server.client() as http, http.stream("GET", f"/api/v1/stream?runs={run_id},{other}") as answer:
        ids = set()
        for event, number, data in messages(answer.iter_lines()):
            assert event == data["type"]
            ids.add(number)
            if {f"{run_id}:1", f"{other}:1"} <= ids:
                break


def test_the_newest_capture_brings_its_arrays_along(quiet_server, written):
    store, run_id = written
    cosines = np.eye(3, dtype=np.float32)
    for step in (0, 1, 2):
        file = artifacts.write(
            store, run_id, "geometry", step, 1, {"means": np.full((3, 2), step, "f4"), "cosines_means": cosines}
        )
        event_log.append(store, run_id, 1, [NewEvent("GeometryCaptured", {"epoch": float(step), "step": step}, file)])
    with quiet_server.client() as http, http.stream("GET", f"/api/v1/stream?runs={run_id}&after=1") as answer:
        captures = []
        for _, _, data in messages(answer.iter_lines()):
            captures.append(data)
            if len(captures) == 3:
                break
    assert [bool(capture.get("arrays")) for capture in captures] == [False, False, True]
    assert captures[2]["arrays"]["means"]["shape"] == "3,2"
    assert captures[0]["href"].endswith("/geometry?epoch=0.0")


@pytest.mark.parametrize("after", ["x", "other:3", "1:2:3"])
def test_a_wrong_position_is_refused(quiet_server, written, after):
    _, run_id = written
    with quiet_server.client() as http:
        answer = http.get("/api/v1/stream", params={"runs": run_id, "after": after})
    assert answer.status_code == 422
    assert "must be a number" in answer.json()["detail"]


def test_the_stream_ends_when_the_server_stops(start_server):
    server = start_server("--no-demonstration", "--no-warm")
    store = open_store(server.data)
    run_id, _ = runs.create(store, tiny(), name="quiet")
    run_actions.request_cancel(store, run_id)
    store.close()
    with server.client() as http, http.stream("GET", f"/api/v1/stream?runs={run_id}") as answer:
        heard = messages(answer.iter_lines())
        assert [next(heard)[0], next(heard)[0]] == ["RunQueued", "RunCancelled"]
        assert server.stop() == 0, server.log.read_text()
        # A cut connection would raise here; a closed one ends.
        assert list(heard) == []
    assert "Traceback" not in server.log.read_text()


def test_a_run_that_is_gone_leaves_no_viewer_behind(store):
    here, _ = runs.create(store, tiny(), name="here")
    gone, _ = runs.create(store, tiny(), name="gone")
    with store.writing() as connection:
        connection.execute(run.delete().where(run.c.id == gone))

    async def nobody(_callers):
        return set()

    async def follow(cursors):
        async with StreamHub(store, nobody) as hub:
            heard = b""
            async with contextlib.aclosing(
                hub.follow(cursors, multiplexed=True, caller=Caller("test", "read"))
            ) as chunks:
                async for chunk in chunks:
                    heard += chunk
                    if b"RunQueued" in heard:
                        break
            return heard, hub.viewers, dict(hub._feeds)

    heard, viewers, feeds = run_async(asyncio.wait_for(follow({here: 0, gone: 0}), 30))
    assert (viewers, feeds) == (0, {}), "nobody looks any more"
    assert b"event: deleted" in heard
    assert b"RunQueued" in heard, "the other run is followed"
    heard, viewers, feeds = run_async(asyncio.wait_for(follow({gone: 0}), 30))
    assert (viewers, feeds) == (0, {})
    assert b"event: deleted" in heard, "the stream ended with its only run"


def test_a_damaged_capture_is_streamed_without_its_arrays_and_holds_nobody_up(quiet_server):
    store = open_store(quiet_server.data)
    damaged, whole = (runs.create(store, tiny(seed=seed, device="cuda:9"))[0] for seed in (3, 4))
    for run_id in (damaged, whole):
        assert run_attempts.claim_run(store, run_id, "cpu") == 1
        record_here(store, run_id, 1)
    with quiet_server.client() as http, http.stream("GET", f"/api/v1/stream?runs={damaged},{whole}") as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("retry")
        written = artifacts.write(store, damaged, "geometry", 1, 1, {"means": np.zeros((3, 2), np.float32)})
        (store.data_dir / written.path).write_bytes(b"damaged")
        event_log.append(store, damaged, 1, [NewEvent("GeometryCaptured", {"step": 1, "epoch": 1.0}, written)])
        event_log.append(store, whole, 1, [NewEvent("LogLine", {"text": "goes on"})])
        seen = {}
        for type_, _, data in messages(lines):
            seen[type_] = data
            if {"GeometryCaptured", "LogLine"} <= seen.keys():
                break
    assert "arrays" not in seen["GeometryCaptured"]
    assert seen["LogLine"]["text"] == "goes on"
    for run_id in (damaged, whole):
        run_attempts.end_attempt(store, run_id, 1, NewEvent("RunCancelled", {"epoch": 0}))
    store.close()


def test_many_events_in_one_commit_are_all_heard(quiet_server, written):
    store, run_id = written
    count = 2 * PAGE_EVENTS + 7
    with quiet_server.client() as http, http.stream("GET", f"/api/v1/stream?runs={run_id}&after=1") as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("retry")
        event_log.append(store, run_id, 1, [NewEvent("LogLine", {"text": str(i)}) for i in range(count)])
        heard = []
        for _, number, _ in messages(lines):
            heard.append(int(number))
            if number == str(1 + count):
                break
    assert heard == list(range(2, 2 + count))


WRONG = ("a:1,b:2", ":", ":5", "nosuchrun0:5", "{run}:1,nosuchrun0:5", "²", "{run}:²", "-1", "1e3", "{run}:99999999999")


@pytest.mark.parametrize("position", [*WRONG, "9" * 1900])
def test_a_position_that_cannot_be_meant_is_refused(quiet_server, written, position):
    """Digits of other scripts gave a 500, as did positions of several runs or none in Last-Event-ID."""
    store, run_id = written
    other, _ = runs.create(store, tiny(seed=5, device="cuda:9"), name="other")
    text = position.replace("{run}", run_id)
    with quiet_server.client() as http:
        for followed in (run_id, f"{run_id},{other}"):
            address = f"/api/v1/stream?runs={followed}"
            for answer in (
                http.get(f"{address}&after={quote(text)}"),
                http.get(address, headers={"last-event-id": text.encode("latin-1")}),
            ):
                assert answer.status_code == 422, answer.text
                assert "the stream position must be a number" in answer.json()["detail"]


def test_last_event_ids_of_several_runs_are_each_taken(quiet_server, written):
    store, run_id = written
    other, _ = runs.create(store, tiny(seed=5, device="cuda:9"), name="other")
    headers = {"last-event-id": f"{run_id}:2,{other}:0,"}
    with (
        quiet_server.client() as http,
        http.stream("GET", f"/api/v1/stream?runs={run_id},{other}", headers=headers) as answer,
    ):
        assert answer.status_code == 200
        first = next(messages(answer.iter_lines()))
        assert first[1] == f"{other}:1"


def test_a_run_that_is_deleted_is_not_streamed_any_further(quiet_server):
    """Its events are not for anybody, and another run may come to bear its id: both streams say so, and the other
    run's goes on."""
    store = open_store(quiet_server.data)
    (deleted, kept) = (runs.create(store, tiny(seed=seed, device="cuda:9"))[0] for seed in (1, 2))
    run_actions.request_cancel(store, deleted)
    with quiet_server.client() as alone, quiet_server.client() as both:
        single = alone.stream("GET", f"/api/v1/stream?runs={deleted}")
        double = both.stream("GET", f"/api/v1/stream?runs={deleted},{kept}")
        with single as first, double as second:
            lines, others = first.iter_lines(), second.iter_lines()
            assert next(messages_with_deletion(lines)) == ("RunQueued", "1")
            for _ in range(3):
                next(messages_with_deletion(others))
            run_actions.delete(store, deleted)
            rest = list(messages_with_deletion(lines))
            assert rest[-1] == ("deleted", deleted), "it ends with it"
            assert next(each for each in messages_with_deletion(others) if each[0] == "deleted") == ("deleted", deleted)
            run_actions.request_cancel(store, kept)
            assert next(messages_with_deletion(others)) == ("RunCancelled", f"{kept}:2")
        assert alone.get(f"/api/v1/stream?runs={deleted}").status_code == 404
    store.close()


def messages_with_deletion(lines):
    """Yield (event, id), or of a deletion, which has no number, the run's id."""
    event, number = "", ""
    for line in lines:
        name, _, value = line.partition(": ")
        event = value if name == "event" else event
        number = value if name == "id" else number
        if name == "data":
            yield (event, json.loads(value)["run"]) if event == "deleted" else (event, number)
