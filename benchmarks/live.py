"""From a click to a picture, and from the store to the screen, in a real browser with software rendering.

*Launch*: on the New run page with the digits preset, from the press of the button to the paint after the first capture
was drawn, with the warm worker waiting. *Stream*: another process commits ten captures a second (K = 10, 200 features);
each carries the moment of its commit, and the page notes the paint after it was drawn. One machine, one clock.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from backend.store import run_attempts, runs
from backend.store.database import open_store
from backend.store.event_log import NewEvent
from benchmarks.report import Figure
from tests.harness import ServerProcess, open_chromium, record_here, tiny, wait_for

CAPTURES, PER_SECOND, FEATURES = 200, 10, 200
WATCH = """() => {
  window.seen = {};
  const page = document.getElementById("run-page");
  const note = () => {
    const step = page.dataset.shownStep;
    requestAnimationFrame(() => requestAnimationFrame(() => { window.seen[step] ??= Date.now(); }));
  };
  new MutationObserver(note).observe(page, { attributeFilter: ["data-shown-step"] });
}"""
FIRST_PAINT = """() => new Promise((resolve) => {
  const look = () => document.querySelector("#run-page[data-shown-step]")
    ? requestAnimationFrame(() => requestAnimationFrame(() => resolve(Date.now()))) : setTimeout(look, 5);
  look();
})"""
WRITER = """
import sys, time
from pathlib import Path
import numpy as np
from backend.store import artifacts
from backend.store.database import open_store
from backend.store.event_log import append
from backend.store.event_log import NewEvent
from ncengine.events import RunStarted
from ncengine.geometry.simplex import simplex_etf
from ncengine.geometry.views import view_matrix, view_name
data, run, count, per_second, features = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
store, rng, k = open_store(Path(data)), np.random.default_rng(0), 10
vertices = simplex_etf(k).numpy()
started = RunStarted(classes=k, class_names=tuple("0123456789"), features=64, parameters=0, steps_per_epoch=10,
    epochs=count, device="", view=view_name(k), view_matrix=view_matrix(k).tolist(), vertices=vertices.tolist(),
    metrics={}, versions={})
append(store, run, 1, [NewEvent("RunStarted", started.payload())])
labels = np.arange(features, dtype=np.int32) % k
facts = {"smallest_angle_deg": 90.0, "smallest_pair": [0, 1], "mean_angle_error_deg": 1.0}
means, begin = rng.normal(size=vertices.shape), time.monotonic()
for step in range(1, count + 1):
    # Class means that drift onto the vertices and are shaken, as in training.
    means = (0.97 * means + 0.03 * vertices + 0.03 * rng.normal(size=vertices.shape)).astype("f4")
    arrays = {"means": means, "weights": means, "features": means[labels] + 0.1, "labels": labels,
              "cosines_means": np.corrcoef(means).astype("f4"), "cosines_weights": np.eye(k, dtype="f4")}
    file = artifacts.write(store, run, "geometry", step, 1, arrays)
    append(store, run, 1, [NewEvent("GeometryCaptured", {"epoch": step / 10, "step": step, **facts}, file)])
    time.sleep(max(0.0, begin + step / per_second - time.monotonic()))
"""


def measure() -> list[Figure]:
    """Return seconds and milliseconds."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = ServerProcess(Path(folder) / "data", "--no-demonstration")
        browser = open_chromium(playwright)
        try:
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(f"{server.url}/new?token={server.token}")
            launches = [_launch(server, page) for _ in range(3)]
            delays = _stream(server, page)
        finally:
            browser.close()
            server.stop()
    delays.sort()
    return [
        Figure("Launch to the first geometry on the screen", statistics.median(launches), "s", at_most=3),
        Figure(
            "stored event to the screen, 95th percentile",
            delays[int(0.95 * len(delays))],
            "ms",
            at_most=150,
            note=f"{PER_SECOND} captures a second, K = 10, {FEATURES} features",
        ),
        Figure("stored event to the screen, median", statistics.median(delays), "ms"),
        Figure("captures drawn of those stored", 100 * len(delays) / CAPTURES, "%"),
    ]


def _launch(server: ServerProcess, page: Page) -> float:
    page.goto(f"{server.url}/new")
    page.get_by_role("button", name="digits-nearest").click()
    epochs = page.locator('[data-field="epochs"] input')
    wait_for(lambda: epochs.input_value() == "20", 20, "the preset's form")
    epochs.fill("2")
    button = page.get_by_role("button", name="Launch")
    wait_for(lambda: "epochs=2" in page.locator(".command").first.inner_text(), 20, "the form")
    time.sleep(12)  # the warm worker is started some seconds after the run before
    start = time.time()
    button.click()
    page.wait_for_url("**/runs/*")
    painted = float(page.evaluate(FIRST_PAINT)) / 1000
    with server.client() as http:
        wait_for(lambda: http.get("/api/v1/runs?status=finished").json()["total"] > 0, 60, "the run")
    return painted - start


def _stream(server: ServerProcess, page: Page) -> list[float]:
    store = open_store(server.data)
    run, _ = runs.create(store, tiny(device="cuda:9"), name="streamed")
    number = run_attempts.claim_run(store, run, "cuda:9")
    record_here(store, run, number)
    try:
        time.sleep(20)  # the next warm worker is up by then, and its imports out of the way
        page.goto(f"{server.url}/runs/{run}")
        page.wait_for_selector("#chart-3 .js-plotly-plot .main-svg")
        page.evaluate(WATCH)
        arguments = [str(server.data), run, str(CAPTURES), str(PER_SECOND), str(FEATURES)]
        subprocess.run([sys.executable, "-W", "ignore", "-c", WRITER, *arguments], check=True)
        time.sleep(1)
        seen = {int(step): moment for step, moment in page.evaluate("() => window.seen").items() if step != "undefined"}
        with server.client() as http:
            events = http.get(f"/api/v1/runs/{run}/events", params={"limit": 2000}).json()["items"]
    finally:
        run_attempts.end_attempt(store, run, number, NewEvent("RunCancelled", {"epoch": 0}))
        store.close()
    stored = {e["step"]: _milliseconds(e["at"]) for e in events if e["type"] == "GeometryCaptured"}
    return [seen[step] - at for step, at in stored.items() if step in seen]


def _milliseconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp() * 1000
