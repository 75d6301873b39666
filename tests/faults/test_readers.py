"""Readers of the stream that misbehave: one that never reads, one that comes and goes, many at once."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import threading
import time

import httpx2
import psutil
import pytest

from backend.api import stream
from backend.store import run_actions, run_attempts, runs
from backend.store.database import open_store
from backend.store.event_log import NewEvent
from tests.backend.test_stream import messages
from tests.harness import record_here, tiny, wait_for
from tests.repetitions import repetitions

WRITER = """
import sys, time
from pathlib import Path
from backend.store.database import open_store
from backend.store.event_log import append
from backend.store.event_log import NewEvent
store = open_store(Path(sys.argv[1]))
count, pause = int(sys.argv[3]), float(sys.argv[4])
for i in range(count):
    append(store, sys.argv[2], 1, [NewEvent("LogLine", {"text": f"{i} " + "x" * int(sys.argv[5])})])
    time.sleep(pause)
"""


@pytest.fixture
def written(start_server):
    server = start_server("--no-demonstration", "--no-warm")
    store = open_store(server.data)
    run_id, _ = runs.create(store, tiny(device="cuda:9"))
    record_here(store, run_id, run_attempts.claim_run(store, run_id, "cuda:9"))
    yield server, store, run_id
    run_attempts.end_attempt(store, run_id, 1, NewEvent("RunCancelled", {"epoch": 0}))
    store.close()


def writing(store, run_id, count, pause, size=10):
    command = [sys.executable, "-c", WRITER, str(store.data_dir), run_id, str(count), str(pause), str(size)]
    return subprocess.Popen(command)


def test_a_reader_that_never_reads_costs_bounded_memory_and_is_let_go(written):
    """It asks for a stream and then takes nothing, while a hundred megabytes come; others hear everything."""
    server, store, run_id = written
    process = psutil.Process(server.process.pid)
    host, port = server.url.removeprefix("http://").split(":")
    before = process.memory_info().rss
    lazy = []
    for _ in range(5):
        line = socket.create_connection((host, int(port)))
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        head = [f"GET /api/v1/stream?runs={run_id} HTTP/1.1", f"Host: {host}:{port}"]
        line.sendall("\r\n".join([*head, f"Authorization: Bearer {server.token}", "", ""]).encode())
        lazy.append(line)
    heard, most = [], [0]

    def listen():
        with server.client() as http, http.stream("GET", f"/api/v1/stream?runs={run_id}") as answer:
            for event, _, data in messages(answer.iter_lines()):
                heard.append(data["seq"])
                most[0] = max(most[0], process.memory_info().rss)
                if event == "RunCancelled" or len(heard) == 1001:
                    return

    listener = threading.Thread(target=listen)
    listener.start()
    started = time.monotonic()
    assert writing(store, run_id, 1000, 0.01, 100_000).wait(120) == 0
    listener.join(60)
    assert heard == list(range(1, 1002)), "the others hear all of it"
    assert most[0] - before < 60e6, f"grew by {(most[0] - before) / 1e6:.0f} MB"
    with server.client() as http:
        wait_for(
            lambda: "collapse_viewers 0.0" in http.get("/prometheus").text,
            stream.STALL_TIMEOUT_S + 30 - min(20, time.monotonic() - started),
            "the end of those who take nothing",
        )
    for line in lazy:
        line.close()


def test_a_reader_that_reconnects_often_loses_and_doubles_nothing(written):
    server, store, run_id = written
    written_events, reconnects = repetitions(300, 1500), repetitions(15, 100)
    end = written_events + 1
    writer = writing(store, run_id, written_events, 0.003)
    rng = random.Random(6)  # noqa: S311
    heard, last = [], 0
    with server.client() as http:
        for _ in range(reconnects):
            headers = {"last-event-id": str(last)} if last else {}
            take = rng.randint(1, 30)
            with http.stream("GET", f"/api/v1/stream?runs={run_id}", headers=headers) as answer:
                for _, number, data in messages(answer.iter_lines()):
                    heard.append(data["seq"])
                    last = int(number)
                    take -= 1
                    if take == 0 or last == end:
                        break
            if last == end:
                last = end - 101  # once more from an earlier point, which is the reader's own wish
                heard = heard[:last]
        with http.stream("GET", f"/api/v1/stream?runs={run_id}&after={last}") as answer:
            for _, number, data in messages(answer.iter_lines()):
                heard.append(data["seq"])
                if int(number) == end:
                    break
        assert writer.wait(60) == 0
        assert heard == list(range(1, end + 1))
        wait_for(lambda: "collapse_viewers 0.0" in http.get("/prometheus").text, 20, "no stream being left open")


def test_thirty_readers_of_several_runs_hear_each_event_once(written):
    server, store, run_id = written
    other, _ = runs.create(store, tiny())
    run_actions.request_cancel(store, other)
    heard = [[] for _ in range(30)]

    def listen(into):
        with httpx2.Client(base_url=server.url, timeout=60) as http:
            headers = {"authorization": f"Bearer {server.token}"}
            with http.stream("GET", f"/api/v1/stream?runs={run_id},{other}", headers=headers) as answer:
                for _, number, data in messages(answer.iter_lines()):
                    assert number == f"{data['run']}:{data['seq']}"
                    into.append((data["run"], data["seq"]))
                    if len(into) == 303:
                        return

    threads = [threading.Thread(target=listen, args=(into,)) for into in heard]
    for thread in threads:
        thread.start()
    assert writing(store, run_id, 300, 0.005).wait(60) == 0
    for thread in threads:
        thread.join(60)
    for into in heard:
        assert sorted(into) == sorted([(run_id, seq) for seq in range(1, 302)] + [(other, 1), (other, 2)])
        assert [seq for run, seq in into if run == run_id] == list(range(1, 302))
