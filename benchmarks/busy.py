"""Latency of other requests while the server draws 24 different figures that were requested at once, on a large store.

A page of runs, a page of a long run's events and a stream are requested throughout. Another process commits ten
captures a second, each with the time of its commit; both processes use the same clock.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from datetime import datetime
from itertools import product
from pathlib import Path

import httpx2
import orjson

from backend.store import run_attempts, runs
from backend.store.database import open_store
from backend.store.event_log import NewEvent
from benchmarks.live import WRITER
from benchmarks.report import Figure
from tests.big_store import BigStore, fill
from tests.harness import ServerProcess, end_workers, record_here, tiny

KINDS, FORMATS = ("geometry", "curves", "angles", "composed"), ("svg", "pdf", "png")
ROUNDS, EVERY_S, PER_SECOND, FEATURES = 3, 0.25, 10, 250
BOUND_MS = 100
PATIENCE_S = 300


def measure() -> list[Figure]:
    """Return milliseconds and seconds."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        store = open_store(data)
        held = fill(store)
        server = ServerProcess(data, "--no-demonstration", "--no-warm")
        live, _ = runs.create(store, tiny(device="cuda:9"), name="live")
        number = run_attempts.claim_run(store, live, "cuda:9")
        assert number is not None
        record_here(store, live, number)
        arguments = [str(data), live, "10000", str(PER_SECOND), str(FEATURES)]
        writer = subprocess.Popen([sys.executable, "-W", "ignore", "-c", WRITER, *arguments])
        try:
            return asyncio.run(_measured(server, held, live))
        finally:
            writer.kill()
            writer.wait()
            run_attempts.end_attempt(store, live, number, NewEvent("RunCancelled", {"epoch": 0}))
            end_workers(store)
            store.close()
            server.stop()


async def _measured(server: ServerProcess, held: BigStore, live: str) -> list[Figure]:
    headers = {"authorization": f"Bearer {server.token}"}
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(base_url=server.url, headers=headers, timeout=PATIENCE_S, limits=limits) as http:
        await _drawn(http, held.short, "curves", "svg", 2.0)  # the first one starts the process that draws
        asked = {"GET /runs": "/api/v1/runs", "GET /runs/{id}/events": f"/api/v1/runs/{held.long}/events"}
        taken: dict[str, list[float]] = {name: [] for name in asked}
        delays: list[float] = []
        watching = [asyncio.create_task(_polled(http, path, taken[name])) for name, path in asked.items()]
        watching.append(asyncio.create_task(_streamed(http, live, delays)))
        await asyncio.sleep(3)
        for known in (*taken.values(), delays):
            known.clear()
        begin = time.perf_counter()
        for number in range(ROUNDS):
            wanted = list(product((held.long, held.short), KINDS, FORMATS))
            await asyncio.gather(*(_drawn(http, *each, width=3 + number / 10) for each in wanted))
        drawing_s = (time.perf_counter() - begin) / ROUNDS
        await asyncio.sleep(1)
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
    count = 2 * len(KINDS) * len(FORMATS)
    what = f"while {count} figures are asked for at once, 95th percentile"
    found = [Figure(f"{name} {what}", _p95(known), "ms", at_most=BOUND_MS) for name, known in taken.items()]
    found.append(Figure(f"stored event to the stream's reader {what}", _p95(delays), "ms", at_most=BOUND_MS))
    found.append(Figure(f"slowest GET /runs while {count} figures are drawn", max(taken["GET /runs"]), "ms"))
    found.append(Figure(f"{count} different figures asked for at once, until all are there", drawing_s, "s"))
    return found


async def _drawn(http: httpx2.AsyncClient, run: str, kind: str, format_: str, width: float) -> None:
    """Ask for a figure until it is there, waiting as the server says."""
    while True:
        answer = await http.get(f"/api/v1/runs/{run}/figures/{kind}.{format_}", params={"width": width})
        if answer.status_code != 429:
            answer.raise_for_status()
            return
        await asyncio.sleep(float(answer.headers["retry-after"]))


async def _polled(http: httpx2.AsyncClient, path: str, taken: list[float]) -> None:
    """Ask at a fixed rate, whether or not earlier answers are there: otherwise a server that hangs is asked less."""

    async def ask() -> None:
        begin = time.perf_counter()
        (await http.get(path)).raise_for_status()
        taken.append(1000 * (time.perf_counter() - begin))

    async with asyncio.TaskGroup() as asking:
        while True:
            asking.create_task(ask())
            await asyncio.sleep(EVERY_S)


async def _streamed(http: httpx2.AsyncClient, run: str, delays: list[float]) -> None:
    async with http.stream("GET", f"/api/v1/stream?runs={run}") as answer:
        async for moment in _moments(answer):
            delays.append(1000 * (time.time() - moment))


async def _moments(answer: httpx2.Response) -> AsyncIterator[float]:
    """Yield when each event was committed."""
    async for line in answer.aiter_lines():
        if line.startswith("data: "):
            yield datetime.fromisoformat(orjson.loads(line[6:])["at"]).timestamp()


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]
