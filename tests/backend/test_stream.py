"""The stream: replay plus tail, resumed from any point without loss or doubles, while a real writer writes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import subprocess
import sys

import numpy as np
import pytest

from backend.store import artifacts, event_log, runs
from backend.store.database import open_store
from backend.store.event_log import Entry
from backend.store.models import run
from backend.stream import PAGE, Hub
from tests.harness import record_here, tiny

WRITER = """
import sys, time
from pathlib import Path
from backend.store.database import open_store
from backend.store.event_log import Entry, append
store = open_store(Path(sys.argv[1]))
for i in range(400):
    append(store, sys.argv[2], 1, [Entry("LogLine", {"text": str(i)})])
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
    number = runs.claim(store, run_id, "cuda:9")
    record_here(store, run_id, number)
    yield store, run_id
    runs.end(store, run_id, number, "cancelled", Entry("RunCancelled", {"epoch": 0}))
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
        event_log.append(store, run_id, 1, [Entry("GeometryCaptured", {"epoch": float(step), "step": step}, file)])
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
    runs.request_cancel(store, run_id)
    store.close()
    with server.client() as http, http.stream("GET", f"/api/v1/stream?runs={run_id}") as answer:
        heard = messages(answer.iter_lines())
        assert [next(heard)[0], next(heard)[0]] == ["RunQueued", "RunCancelled"]
        assert server.stop() == 0, server.log.read_text()
        # A cut connection would raise here; a closed one ends.
        assert list(heard) == []
    assert "Traceback" not in server.log.read_text()


def test_a_run_that_is_gone_leaves_no_viewer_with_the_others(store):
    here, _ = runs.create(store, tiny(), name="here")
    gone, _ = runs.create(store, tiny(), name="gone")
    with store.writing() as connection:
        connection.execute(run.delete().where(run.c.id == gone))

    async def follow():
        async with Hub(store, lambda _: set()) as hub:
            heard = []
            with contextlib.suppress(Exception):
                async for chunk in hub.follow({here: 0, gone: 0}, several=True, token_id=None):
                    heard.append(chunk)
            return heard, hub.viewers, dict(hub._feeds)

    heard, viewers, feeds = asyncio.run(asyncio.wait_for(follow(), 30))
    assert (viewers, feeds) == (0, {}), "nobody looks any more"
    assert b"RunQueued" not in b"".join(heard), "it ended at once"


def test_a_stream_ends_when_one_of_its_runs_is_deleted(quiet_server):
    store = open_store(quiet_server.data)
    other, _ = runs.create(store, tiny(device="cuda:9"), name="stays")
    run_id, _ = runs.create(store, tiny(device="cuda:9"), name="to be deleted")
    runs.request_cancel(store, run_id)
    with quiet_server.client() as http:
        with http.stream("GET", f"/api/v1/stream?runs={run_id},{other}") as answer:
            for event, _, data in messages(answer.iter_lines()):
                if (event, data["run"]) == ("RunCancelled", run_id):
                    assert http.delete(f"/api/v1/runs/{run_id}").status_code == 204
            # The stream has ended by itself: otherwise the loop above would go on.
        again = http.get("/api/v1/stream", params={"runs": f"{run_id},{other}"})
    runs.request_cancel(store, other)
    store.close()
    assert again.status_code == 404
    assert run_id in again.json()["detail"]


def test_many_events_in_one_commit_are_all_heard(quiet_server, written):
    store, run_id = written
    count = 2 * PAGE + 7
    with quiet_server.client() as http, http.stream("GET", f"/api/v1/stream?runs={run_id}&after=1") as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("retry")
        event_log.append(store, run_id, 1, [Entry("LogLine", {"text": str(i)}) for i in range(count)])
        heard = []
        for _, number, _ in messages(lines):
            heard.append(int(number))
            if number == str(1 + count):
                break
    assert heard == list(range(2, 2 + count))
