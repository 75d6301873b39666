"""The store and the stream under load: many runs, long runs, many writers, many viewers, and a day of use at speed.

*Lists*: 10,000 finished runs with all metrics; the slowest of some filters and orders, over HTTP. *A long run*: a
million events in 90,909 epochs, what its page begins with. *Writers*: twenty processes that append ten events at a
time, as workers do. *Viewers*: a hundred streams of one run of which ten captures a second are committed (K = 10, 250
features); from the commit's moment to the client, one clock. *A day*: ten minutes in which a server is used as fast as
it answers: launches, cancellations, pages, figures, streams.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import psutil

from backend.store import artifacts, curves, run_attempts, runs
from backend.store.database import Store, open_store
from backend.store.event_log import NewEvent, encode_numbers
from backend.store.models import artifact, bucket, event, run
from benchmarks.live import WRITER as CAPTURES
from benchmarks.report import Figure
from ncengine.metrics import METRICS
from ncengine.preset_configs import PRESETS
from tests.harness import ServerProcess, end_workers, record_here, tiny, wait_for

RUNS, EVENTS, WRITERS, VIEWERS, DAY_S = 10_000, 1_000_000, 20, 100, 600
STREAM_S, WRITE_S = 20, 8
QUIET = ("--no-demonstration", "--no-warm")
APPENDER = """
import sys, time
from pathlib import Path
from backend.store.database import open_store
from backend.store.event_log import append
from backend.store.event_log import NewEvent
store, run_id, until = open_store(Path(sys.argv[1])), sys.argv[2], float(sys.argv[3])
step = 0
while time.time() < until:
    entries = []
    for _ in range(10):
        step += 1
        entries.append(NewEvent("StepMeasured", {"epoch": 1, "step": step, "loss": 0.5, "lr": 0.1, "seconds": {},
            "memory_bytes": {}, "samples_per_s": 1000.0, "remaining_s": 10.0}))
    append(store, run_id, 1, entries)
print(step)
"""


def measure() -> list[Figure]:
    """Return milliseconds, events a second, cores and megabytes."""
    found = []
    for part in (_lists, _long_run, _writers, _viewers, _starts):
        with tempfile.TemporaryDirectory() as folder:
            found += part(Path(folder) / "data")
    return found


def measure_day() -> list[Figure]:
    """Return megabytes; takes ten minutes."""
    with tempfile.TemporaryDirectory() as folder:
        return _day(Path(folder) / "data")


def _scalars(rng: np.random.Generator) -> dict[str, dict[str, float]]:
    return {split: {key: rng.random() for key in METRICS} for split in ("train", "test")}


def _timed(call: Callable[[], Any], rounds: int = 9) -> float:
    taken = []
    for _ in range(rounds):
        begin = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begin)
    return 1000 * statistics.median(taken)


def fill(data: Path) -> None:
    """Store 10,000 finished runs of four kinds, with all their final metrics."""
    store, rng = open_store(data), np.random.default_rng(0)
    configs = [PRESETS[name]() for name in ("digits-nearest", "digits-fixed", "digits-linear", "fashion-nearest")]
    rows = []
    for i in range(RUNS):
        config, summary = configs[i % 4], _scalars(rng)
        row = runs.RunDraft(config, name=f"run {i}", tags=["a"], group=f"g{i // 10}").row(f"r{i:09d}", i, None)
        rows.append({**row, "status": "finished", "summary": summary, "headline": runs.extract_headline(summary)})
    with store.writing() as connection:
        connection.execute(run.insert(), rows)
    store.close()


def _lists(data: Path) -> list[Figure]:
    fill(data)
    server = ServerProcess(data, *QUIET)
    queries = {
        "newest": {},
        "filter head:nearest-etf dataset:digits nc1<0.05": {"q": "head:nearest-etf dataset:digits nc1<0.05"},
        "sort by NC1": {"sort": "nc1"},
        "filter and sort": {"q": "head:nearest-etf test.top1>0.5", "sort": "-test.nc3"},
        "words": {"q": "fashion run"},
        "sort by name": {"sort": "name"},
    }
    try:
        with server.client() as http:
            taken = {
                name: _timed(lambda q=query: http.get("/api/v1/runs", params={"limit": 50, **q}).raise_for_status())
                for name, query in queries.items()
            }
            rare = _timed(lambda: http.get("/api/v1/runs", params={"limit": 50, "q": "vci<0.05"}).raise_for_status())
            seeds = {"by": "seeds", "keys": "train.nc1,train.nc3,test.top1"}
            folded = _timed(lambda: http.get("/api/v1/folds", params=seeds).raise_for_status())
    finally:
        server.stop()
    slowest = max(taken, key=lambda name: taken[name])
    note = f"{RUNS:,} runs, a page of 50 over HTTP; slowest of {len(taken)}: {slowest}"
    return [
        Figure("list, filter, sort", taken[slowest], "ms", at_most=100, note=note),
        Figure("the newest runs", taken["newest"], "ms"),
        Figure("filter by a metric that is not kept in short", rare, "ms"),
        Figure("all runs folded by their seeds", folded, "ms"),
    ]


def _long_run(data: Path) -> list[Figure]:
    store, rng = open_store(data), np.random.default_rng(0)
    run_id = _started(store)
    seq, epoch, step = 2, 0, 0
    folders = {"epoch": curves.CurveAggregator("epoch"), "step": curves.CurveAggregator("step")}
    with store.writing() as connection:
        while seq < EVENTS:
            events: list[dict[str, Any]] = []
            buckets: list[dict[str, Any]] = []
            files: list[dict[str, Any]] = []
            for _ in range(500):
                epoch += 1
                for _ in range(8):
                    step += 1
                    payload = {"epoch": epoch, "step": step, "loss": rng.random(), "lr": 0.1, "samples_per_s": 1e4}
                    events.append({"type": "StepMeasured", "payload": payload})
                    buckets += [b._asdict() for b in folders["step"].add(payload)]
                measured = {"epoch": epoch, "step": step, "scalars": _scalars(rng), "terminal_phase": None}
                events.append({"type": "EpochMeasured", "payload": measured})
                buckets += [b._asdict() for b in folders["epoch"].add(measured)]
                events.append({"type": "GeometryCaptured", "payload": {"epoch": float(epoch), "step": step}})
                # Only the newest is ever opened here.
                file = {"kind": "geometry", "step": step, "seq": seq + len(events), "path": f"runs/{run_id}/{step}"}
                files.append({"run_id": run_id, **file, "sha256": "0" * 64, "size_bytes": 1})
                events.append({"type": "CheckpointSaved", "payload": {"epoch": epoch, "step": step}})
            for i, each in enumerate(events, 1):
                each |= {"run_id": run_id, "seq": seq + i, "at": "2026-01-01T00:00:00.000Z"}
            seq += len(events)
            connection.execute(event.insert(), encode_numbers(events))
            connection.execute(bucket.insert(), [{"run_id": run_id, **each} for each in buckets])
            connection.execute(artifact.insert(), files[:-1])
            newest = files[-1]
        means = rng.random() * np.eye(10, 9, dtype="f4")
        file = artifacts.write(store, run_id, "geometry", newest["step"], 1, {"means": means, "features": means})
        real = {"path": file.path, "sha256": file.sha256, "size_bytes": file.size_bytes}
        connection.execute(artifact.insert(), [newest | real])
        connection.execute(run.update().values(last_seq=seq, epoch=epoch, status="paused"))
    store.close()
    server = ServerProcess(data, *QUIET)
    try:
        with server.client() as http:
            overview = _timed(lambda: http.get(f"/api/v1/runs/{run_id}/overview").raise_for_status(), 7)
            page = _timed(lambda: http.get(f"/api/v1/runs/{run_id}/events?after=500000").raise_for_status(), 7)
            memory = psutil.Process(server.process.pid).memory_info().rss / 1e6
    finally:
        server.stop()
    note = f"{seq:,} events, {epoch:,} epochs; all curves at 1,000 places"
    return [
        Figure("a long run: what its page begins with", overview, "ms", at_most=300, note=note),
        Figure("a long run: 500 events from its middle", page, "ms"),
        Figure("memory of the server afterwards", memory, "MB", at_most=200),
    ]


def _started(store: Store) -> str:
    """Return a run that has started, and whose worker is us."""
    run_id, _ = runs.create(store, tiny(device="cuda:9"))
    record_here(store, run_id, run_attempts.claim_run(store, run_id, "cuda:9") or 0)
    started = {"steps_per_epoch": 8, "view": "spherical", "view_matrix": [], "vertices": [], "class_names": []}
    with store.writing() as connection:
        connection.execute(run.update().where(run.c.id == run_id).values(last_seq=2))
        row = {"run_id": run_id, "seq": 2, "type": "RunStarted", "at": "2026-01-01T00:00:00.000Z", "payload": started}
        connection.execute(event.insert(), [row])
    return run_id


def _writers(data: Path) -> list[Figure]:
    store = open_store(data)
    ids = [_started(store) for _ in range(WRITERS)]
    store.close()
    until = time.time() + WRITE_S + 4
    command = [sys.executable, "-W", "ignore", "-c", APPENDER, str(data)]
    writers = [subprocess.Popen([*command, run_id, str(until)], stdout=subprocess.PIPE, text=True) for run_id in ids]
    time.sleep(4)  # until all are up
    store = open_store(data)
    before, begin = sum(runs.get(store, run_id).last_seq for run_id in ids), time.time()
    counts = [int(writer.communicate()[0]) for writer in writers]
    after, end = sum(runs.get(store, run_id).last_seq for run_id in ids), until
    store.close()
    even = f"the slowest stored {min(counts) / max(counts):.0%} of the fastest"
    note = f"{WRITERS} processes, ten events a transaction; {even}"
    return [Figure("events stored on SQLite", (after - before) / (end - begin), "1/s", at_least=2000, note=note)]


def _viewers(data: Path) -> list[Figure]:
    server = ServerProcess(data, *QUIET)
    store = open_store(data)
    run_id, _ = runs.create(store, tiny(device="cuda:9"))
    record_here(store, run_id, run_attempts.claim_run(store, run_id, "cuda:9") or 0)
    try:
        delays, heard, cores = asyncio.run(_watch(server, data, run_id))
    finally:
        run_attempts.end_attempt(store, run_id, 1, NewEvent("RunCancelled", {"epoch": 0}))
        store.close()
        server.stop()
    delays.sort()
    note = f"{VIEWERS} viewers, 10 captures a second, K = 10, 250 features"
    captures = 10 * STREAM_S
    return [
        Figure("event to client, 95th percentile", delays[int(0.95 * len(delays))], "ms", at_most=250, note=note),
        Figure("event to client, median", statistics.median(delays), "ms"),
        Figure("captures heard by the viewer that heard fewest", 100 * min(heard) / captures, "%", at_least=100),
        Figure("processor time of the server meanwhile", cores, "cores", at_most=1),
    ]


async def _watch(server: ServerProcess, data: Path, run_id: str) -> tuple[list[float], list[int], float]:
    host, port = server.url.removeprefix("http://").split(":")
    delays: list[float] = []
    heard = [0] * VIEWERS

    async def view(number: int) -> None:
        reader, writer = await asyncio.open_connection(host, int(port), limit=2**22)
        head = [f"GET /api/v1/stream?runs={run_id} HTTP/1.1", f"Host: {host}:{port}"]
        writer.write("\r\n".join([*head, f"Authorization: Bearer {server.token}", "", ""]).encode())
        kind = b""
        while heard[number] < 10 * STREAM_S:
            line = await reader.readline()
            if line.startswith(b"event:"):
                kind = line[7:].strip()
            elif line.startswith(b"data:") and kind == b"GeometryCaptured":
                heard[number] += 1
                at = re.search(rb'"at":"([^"]+)"', line[:200])
                if at is not None:
                    delays.append(1000 * (time.time() - datetime.fromisoformat(at[1].decode()).timestamp()))
        writer.close()

    viewing = [asyncio.create_task(view(number)) for number in range(VIEWERS)]
    await asyncio.sleep(2)
    process = psutil.Process(server.process.pid)
    before, begin = sum(process.cpu_times()[:2]), time.monotonic()
    arguments = [str(data), run_id, str(10 * STREAM_S), "10", "250"]
    command = [sys.executable, "-W", "ignore", "-c", CAPTURES, *arguments]
    writing = await asyncio.create_subprocess_exec(*command)
    await writing.wait()
    cores = (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - begin)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(10):
            await asyncio.gather(*viewing)
    for task in viewing:
        task.cancel()
    return delays, heard, cores


def _starts(data: Path) -> list[Figure]:
    server = ServerProcess(data, "--no-demonstration")
    taken, first = [], []
    body = {"config": tiny(epochs=1, device="cpu").model_dump(mode="json")}
    try:
        with server.client() as http:
            for _ in range(5):
                time.sleep(14)  # the warm worker is started some seconds after the run before
                begin = time.time()
                run_id = http.post("/api/v1/runs", json=body).json()["id"]
                wait_for(lambda r=run_id: http.get(f"/api/v1/runs/{r}").json()["status"] == "finished", 30, "the run")
                claimed = http.get(f"/api/v1/runs/{run_id}/attempts").json()["items"][0]["claimed_at"]
                events = http.get(f"/api/v1/runs/{run_id}/events").json()["items"]
                started = next(each["at"] for each in events if each["type"] == "RunStarted")
                taken.append(1000 * (datetime.fromisoformat(claimed).timestamp() - begin))
                first.append(1000 * (datetime.fromisoformat(started).timestamp() - begin))
    finally:
        server.stop()
    return [
        Figure(
            "submission to the worker having it", statistics.median(taken), "ms", at_most=200, note="warm, median of 5"
        ),
        Figure("submission to training having begun and being stored", statistics.median(first), "ms"),
    ]


def _day(data: Path) -> list[Figure]:
    server = ServerProcess(data, "--no-demonstration", "--slots", "cpu=1")
    process, rng = psutil.Process(server.process.pid), np.random.default_rng(0)
    sizes: list[float] = []
    body = {"config": tiny(epochs=3, device="cpu").model_dump(mode="json")}
    requests = 0
    try:
        with server.client() as http:
            made = [http.post("/api/v1/runs", json=body).json()["id"] for _ in range(3)]
            begin = time.monotonic()
            while time.monotonic() - begin < DAY_S:
                sizes.append(process.memory_info().rss / 1e6)
                requests += _use(http, made, body, rng)
    finally:
        server.stop()
        store = open_store(data)
        end_workers(store)
        store.close()
    third = len(sizes) // 3
    growth = statistics.median(sizes[-third:]) - statistics.median(sizes[third : 2 * third])
    note = f"{DAY_S / 60:.0f} minutes at speed: {requests:,} requests, {len(made)} runs"
    return [
        Figure("memory of the server, most", max(sizes), "MB", at_most=200, note=note),
        Figure("its growth from the second third to the last, medians", growth, "MB", at_most=3),
    ]


def _use(http: httpx2.Client, made: list[str], body: dict[str, Any], rng: np.random.Generator) -> int:
    """Do what a page, a script and a reader do; return how many requests that took."""
    run_id = made[rng.integers(len(made))]
    paths = (
        "/api/v1/runs?q=head:nearest-etf&sort=-nc1",
        f"/api/v1/runs/{run_id}/overview",
        f"/api/v1/runs/{run_id}/events?limit=200",
        "/api/v1/system",
        "/runs",
        "/prometheus",
    )
    for path in paths:
        http.get(path)
    with contextlib.suppress(httpx2.ReadTimeout), http.stream("GET", f"/api/v1/stream?runs={run_id}", timeout=0.2) as s:
        for _, _line in zip(range(40), s.iter_lines(), strict=False):
            pass
    if rng.random() < 0.02:
        http.get(f"/api/v1/runs/{run_id}/figures/curves.svg")
    if rng.random() < 0.05 and len(made) < 400:
        made.append(http.post("/api/v1/runs", json=body).json()["id"])
    if rng.random() < 0.02:
        http.post(f"/api/v1/runs/{run_id}/cancel")
    return len(paths) + 1
