"""The pages in a real browser with software rendering: how soon they stand, how smoothly they play, whether they grow.

*Opening*: a finished run of 200 epochs (K = 10, 250 features), from the navigation's start until the class means, four
whole charts, the heatmap and the table of classes are drawn and painted. *Playing*: frames of the scene a second while
captures are played, and how long the browser's main thread was blocked at a time (long tasks, which delay input).
*Scrolling*: a store of 10,000 runs, jumped through; until the rows at the new place are there.

*Soak*: ten minutes with a live run, a server that is killed and comes back, and a hundred clicks; then 20,000 frames
are painted. The heap is what V8 says after a collection of garbage.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import CDPSession, Page, sync_playwright

from backend.client import Client, calls
from benchmarks import store
from benchmarks.report import Figure
from tests.harness import ServerProcess, open_chromium, wait_for

WARMING_S, PLAYED_S, SOAK_S, FRAMES, CLICKS = 15.0, 6.0, 600.0, 20_000, 100
CONFIG = {"data": {"name": "digits"}, "backbone": {"name": "mlp", "features": 32}, "batch_size": 64, "epochs": 200}
WHOLE = """() => new Promise((resolve) => {
  const look = () => {
    const drawn = (id) => document.querySelector(`#${id} .js-plotly-plot`)?.data;
    const charts = [0, 1, 2, 3].every((i) => drawn(`chart-${i}`)?.[0].y.length === 200);
    const heat = drawn("angles-graph")?.[0].z?.[0]?.[1] != null;
    const means = window.collapseLab?.projection()?.means?.[0].length === 10;
    const rows = document.querySelectorAll('[data-part="details-body"] tbody tr').length === 10;
    const painted = () => requestAnimationFrame(() => resolve(performance.now()));
    if (charts && heat && means && rows) requestAnimationFrame(painted);
    else setTimeout(look, 10);
  };
  look();
})"""
LONG_TASKS = """() => { window.long = []; new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.long.push(entry.duration);
}).observe({ type: "longtask" }); }"""


def measure() -> list[Figure]:
    """Return seconds, frames and milliseconds."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = ServerProcess(Path(folder) / "data", "--no-demonstration", "--no-warm")
        browser = open_chromium(playwright)
        try:
            with Client(server.url, server.token) as client:
                run = client(calls.launch(CONFIG)).id
                wait_for(lambda: client(calls.run(run)).status == "finished", 300, "the run")
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(f"{server.url}/runs?token={server.token}")
            opened = [_opened(page, f"{server.url}/runs/{run}") for _ in range(7)]
            time.sleep(WARMING_S)
            frames, blocked = _played(page)
            store.fill(server.data)
            jumps = _jumps(page, server.url)
        finally:
            browser.close()
            server.stop()
    return [
        Figure("a finished run of 200 epochs is drawn whole", statistics.median(opened[1:]), "s", at_most=2.5),
        Figure("the same at the first visit, nothing cached", opened[0], "s"),
        Figure("frames a second while playing", frames, "/s", at_least=10, note="K = 10, 250 features, speed 4"),
        Figure("longest task while playing", max(blocked, default=0.0), "ms"),
        Figure(
            f"a jump in the list of {store.RUNS:,} runs until its rows stand, slowest", max(jumps), "ms", at_most=500
        ),
        Figure("the same, median", statistics.median(jumps), "ms"),
    ]


def _opened(page: Page, address: str) -> float:
    page.goto("about:blank")
    page.goto(address, wait_until="commit")
    return float(page.evaluate(WHOLE)) / 1000


def _played(page: Page) -> tuple[float, list[float]]:
    """Return painted frames a second, and the milliseconds of every task that blocked the main thread."""
    page.get_by_role("button", name="1×").click()
    page.get_by_role("button", name="2×").click()
    page.get_by_role("button", name="Loop").click()
    page.evaluate(LONG_TASKS)
    page.get_by_role("button", name="Play captures").click()
    time.sleep(1)
    before, start = _painted(page), time.monotonic()
    time.sleep(PLAYED_S)
    frames = (_painted(page) - before) / (time.monotonic() - start)
    page.get_by_role("button", name="Pause playback").click()
    return frames, [float(each) for each in page.evaluate("() => window.long")]


def _painted(page: Page) -> int:
    return int(page.evaluate("() => window.collapseLab.paintCount()"))


def _jumps(page: Page, url: str) -> list[float]:
    page.goto(f"{url}/runs")
    page.wait_for_selector("a.row-link")
    found = []
    for place in (5000, 200, 9900, 3333, 7777, 10, 6000, 1234):
        script = """(place) => new Promise((resolve) => {
          const start = performance.now();
          window.dash_ag_grid.getApi("runs-grid").ensureIndexVisible(place, "top");
          const look = () => document.querySelector(`.ag-row[row-index="${place}"] a.row-link`)
            ? requestAnimationFrame(() => resolve(performance.now() - start)) : setTimeout(look, 5);
          look();
        })"""
        found.append(float(page.evaluate(script, place)))
    return found


# ── soak ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def measure_soak() -> list[Figure]:
    """Return what a page that stays open grows by, and whether anything went wrong on it."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        data = Path(folder) / "data"
        server = ServerProcess(data, "--no-demonstration", "--no-warm")
        port = server.url.rpartition(":")[2]
        browser = open_chromium(playwright)
        try:
            with Client(server.url, server.token) as client:
                run = client(calls.launch({**CONFIG, "epochs": 20_000, "measure": {"every": 5}})).id
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            wrong: list[str] = []
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.goto(f"{server.url}/runs/{run}?token={server.token}")
            page.wait_for_selector("#chart-3 .main-svg")
            session = page.context.new_cdp_session(page)
            time.sleep(20)
            heaps = [_heap(session)]
            started, clicks, cuts = time.monotonic(), 0, 0
            while time.monotonic() - started < SOAK_S:
                _click(page, clicks)
                clicks += 1
                print(f"\rsoak: {clicks} of {CLICKS} clicks", end="", flush=True)
                if clicks % (CLICKS // 3) == 0:
                    server.kill()
                    time.sleep(2)
                    server = ServerProcess(data, "--no-demonstration", "--no-warm", "--port", port)
                    cuts += 1
                    page.locator('[data-part="connection"][data-state="live"]').wait_for(timeout=30_000)
                time.sleep(max(0.0, started + clicks * SOAK_S / CLICKS - time.monotonic()))
            live = page.get_attribute('[data-part="connection"]', "data-state") == "live"
            heaps.append(_heap(session))
            _cancel(server, run)  # what is measured now is painting alone, on a page small enough to be quick
            page.get_by_role("button", name="Grand tour", exact=True).click()
            page.set_viewport_size({"width": 500, "height": 400})
            page.locator(".scene canvas").first.scroll_into_view_if_needed()
            before, halfway = _painted(page), 0.0
            while (done := _painted(page) - before) < FRAMES:
                print(f"\rsoak: {done:,} of {FRAMES:,} frames", end="", flush=True)
                if not halfway and done > FRAMES // 2:
                    halfway = _heap(session)
                time.sleep(1)
            heaps += [halfway, _heap(session)]
        finally:
            browser.close()
            _cancel(server, run)  # a worker goes on without its server
            server.stop()
    note = f"{clicks} clicks, {cuts} times the server was killed"
    return [
        Figure("errors on the page in ten minutes", len(wrong), "", at_most=0, note=note),
        Figure("the page is live at the end", float(live), "", at_least=1),
        Figure("heap at the start", heaps[0], "MB"),
        Figure("heap after ten minutes", heaps[1], "MB", note="the run's own curves and captures grow with it"),
        Figure(f"growth from frame {FRAMES // 2:,} to {FRAMES:,}", heaps[3] - heaps[2], "MB", at_most=2),
    ]


def _cancel(server: ServerProcess, run: str) -> None:
    with server.client() as http:
        http.post(f"/api/v1/runs/{run}/cancel")


def _heap(session: CDPSession) -> float:
    session.send("HeapProfiler.collectGarbage")
    return float(session.send("Runtime.getHeapUsage")["usedSize"]) / 1e6


CLICKED = (
    *("[data-mode=pca]", "[data-mode='']", "[data-mode=tetrahedron]", "[data-mode=angles]", "[data-mode='']"),
    *("[data-layer=features]", "[data-layer=trails]", "[data-group='2']", "[data-group='0']"),
    *("[data-tab=margins]", "[data-tab=log]"),
)


def _click(page: Page, number: int) -> None:
    page.locator(f"button{CLICKED[number % len(CLICKED)]}").click()
