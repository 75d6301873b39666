"""Starting and standing: the command line's help, the server's first answer, its memory with a viewer."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import psutil
from playwright.sync_api import sync_playwright

from benchmarks.report import Figure
from tests.harness import COLLAPSE, ServerProcess, open_chromium, wait_for


def measure() -> list[Figure]:
    """Return seconds and megabytes."""
    helps = [_help() for _ in range(5)]
    starts = []
    for _ in range(5):
        with tempfile.TemporaryDirectory() as folder:
            server = ServerProcess(Path(folder) / "data", "--no-demonstration", "--no-warm")
            starts.append(server.up_after_s)
            server.stop()
    with tempfile.TemporaryDirectory() as folder:
        idle, watched = _memory(Path(folder) / "data")
    return [
        Figure("collapse --help", statistics.median(helps), "s", at_most=0.5, note="median of 5"),
        Figure("collapse serve until /healthz answers, pages included", statistics.median(starts), "s", at_most=2.5),
        Figure("memory of the server, just started", idle, "MB", at_most=150),
        Figure("memory of the server after a run watched live in a browser", watched, "MB", at_most=150),
    ]


def _help() -> float:
    start = time.perf_counter()
    subprocess.run([COLLAPSE, "--help"], check=True, capture_output=True)
    return time.perf_counter() - start


def _memory(data: Path) -> tuple[float, float]:
    server = ServerProcess(data, "--no-demonstration")
    try:
        size = lambda: psutil.Process(server.process.pid).memory_info().rss / 1e6
        idle = size()
        with server.client() as http, sync_playwright() as playwright:
            config = {"data": {"name": "digits"}, "batch_size": 64, "epochs": 60}
            run = http.post("/api/v1/runs", json={"config": config}).json()["id"]
            browser = open_chromium(playwright)
            browser.new_page().goto(f"{server.url}/runs/{run}?token={server.token}")
            wait_for(lambda: http.get(f"/api/v1/runs/{run}").json()["status"] == "finished", 240, "the run")
            browser.close()
        return idle, size()
    finally:
        server.stop()
