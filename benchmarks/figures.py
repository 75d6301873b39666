"""Figures: from a click to the preview and to each file, and whether a hundred in a row leave something behind."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import httpx2
import psutil

from backend.client import Client, calls
from benchmarks.report import Figure
from ncfigures.catalogue import FIGURES, MEDIA_TYPES
from tests.harness import ServerProcess, wait_for

CONFIG = {"data": {"name": "digits"}, "backbone": {"name": "mlp", "features": 32}, "batch_size": 64, "epochs": 100}
LEFT_OUT = ("implicit", "layers")
"""They need runs of other kinds."""
BATCH = 100


def measure() -> list[Figure]:
    """Return seconds and megabytes."""
    with tempfile.TemporaryDirectory() as folder:
        server = ServerProcess(Path(folder) / "data", "--no-demonstration", "--no-warm")
        try:
            with Client(server.url, server.token) as client:
                run = client(calls.launch(CONFIG)).id
                wait_for(lambda: client(calls.run(run)).status == "finished", 300, "the run")
            with server.client() as http:
                first = _took(http, run, "geometry", "svg")
                names = [name for name in FIGURES if name not in LEFT_OUT]
                previews = {name: _took(http, run, name, "svg") for name in names}
                files = {f: max(_took(http, run, n, f) for n in ("geometry", "composed")) for f in MEDIA_TYPES}
            grown = _grown(server, run)
        finally:
            server.stop()
    slowest, file = max(previews, key=previews.__getitem__), max(files, key=files.__getitem__)  # type: ignore[arg-type]
    return [
        Figure("the first preview, the process that draws starts", first, "s"),
        Figure("a preview, median of all figures", statistics.median(previews.values()), "s", at_most=1.5),
        Figure("a preview, slowest", previews[slowest], "s", at_most=1.5, note=slowest),
        Figure("a file, slowest format", files[file], "s", at_most=3, note=file),
        Figure(f"memory of the process that draws, {BATCH} figures later", grown, "MB", at_most=10),
    ]


def _took(http: httpx2.Client, run: str, figure: str, format_: str) -> float:
    start = time.perf_counter()
    http.get(f"/api/v1/figures/{figure}.{format_}", params={"runs": run, "venue": "neurips"}).raise_for_status()
    return time.perf_counter() - start


def _grown(server: ServerProcess, run: str) -> float:
    """Return the megabytes by which the process that draws grew from the 50th to the 150th figure of a batch."""
    (drawing,) = [
        child
        for child in psutil.Process(server.process.pid).children(recursive=True)
        if "backend.figures.worker" in child.cmdline()
    ]
    with server.client() as http:
        sizes = []
        for number in range(BATCH // 2 + BATCH):
            _took(http, run, ("geometry", "curves", "margins", "angles")[number % 4], ("pdf", "svg")[number % 2])
            sizes.append(drawing.memory_info().rss / 1e6)
    return sizes[-1] - sizes[BATCH // 2 - 1]
