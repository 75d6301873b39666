"""No request blocks the event loop: every route and every callback of the pages, on a store with much in it."""

from __future__ import annotations

import json
import re
import secrets

import httpx2
import pytest
from playwright.sync_api import expect

from backend.api.routes.docs import is_site_built
from backend.store.archive import writer
from tests.big_store import fill
from tests.harness import end_workers, tiny, wait_for
from tests.loop_timing import bound_s, timed_server

PASSES = 3
"""A callback is too long if it is in each of so many passes, each with an application of its own: then it is no
collection of garbage that happened to come."""
PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """A store with much in it, and an archive of its own real run."""
    from backend.store.database import open_store

    store = open_store(tmp_path_factory.mktemp("big") / "data")
    held = fill(store)
    archived = b"".join(writer.archive_run(store, held.short))
    yield store, held, archived
    end_workers(store)
    store.close()


def too_long(store, drive):
    """Return the callbacks that are too long in every pass: what was asked for, seconds, what ran."""
    bound, found = bound_s(), None
    for _ in range(PASSES):
        with timed_server(store) as server:
            drive(server)
        longest = server.timings.longest
        here = {name: longest[name] for name in longest if longest[name][0] > bound}
        found = here if found is None else {name: min(found[name], here[name]) for name in found if name in here}
        if not found:
            break
    return [
        f"{name}: {1000 * taken:.0f} ms of CPU time (bound {1000 * bound:.0f}) in {what}"
        for name, (taken, what) in found.items()
    ]


# ── routes ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Routes:
    """Asks for everything that the OpenAPI document names, and keeps account of it."""

    def __init__(self, server, http):
        self.http = http
        self.url = server.url
        self.driven = set()

    def __call__(self, method, template, expected=200, stream=False, **given):
        """Send a request; `{name}` in the template is taken from `given`."""
        names = re.findall(r"\{(\w+)\}", template)
        path = template.format(**{name: given.pop(name) for name in names})
        self.driven.add((method.lower(), template))
        if stream:
            with self.http.stream(method, path, **given) as answer:
                assert answer.status_code == expected
                next(answer.iter_lines())
            return answer
        answer = self.http.request(method, path, **given)
        assert answer.status_code == expected, f"{method} {path}: {answer.status_code} {answer.text[:300]}"
        return answer


def drive_routes(server, held, archived):
    """Ask for every route once, for as much as it gives."""
    headers = {"authorization": f"Bearer {server.token}"}
    with httpx2.Client(base_url=server.url, headers=headers, timeout=120) as http:
        ask = Routes(server, http)
        document = ask("GET", "/api/v1/openapi.json").json()
        ask("GET", "/api/nothing", 404)
        ask("PUT", "/api/v1/runs", 405)
        _read(ask, held)
        _change(ask, held, archived)
    operations = {(method, path) for path, known in document["paths"].items() for method in known}
    assert operations <= ask.driven, f"not driven, add them above: {sorted(operations - ask.driven)}"


def _read(ask, held):
    run, several = "/api/v1/runs/{run_id}", ",".join(held.listed[:150])
    ask("GET", "/docs/", 200 if is_site_built() else 404)
    for path in ("/healthz", "/readyz", "/prometheus", *(f"/api/v1/{name}" for name in NAMES)):
        ask("GET", path)
    ask("GET", "/api/v1/runs", params={"limit": 500, "sort": "-nc1"})
    ask("GET", "/api/v1/folds", params={"limit": 2000, "keys": "train.nc1,test.top1"})
    ask("GET", "/api/v1/sparklines", params={"runs": several, "points": 200})
    for run_id in (held.long, held.short):
        ask("GET", run, run_id=run_id)
        for name, params in OF_A_RUN.items():
            ask("GET", f"{run}/{name}", run_id=run_id, params=params)
        step = ask("GET", f"{run}/artifacts", run_id=run_id).json()["items"][0]["step"]
        file = {"run_id": run_id, "kind": "geometry", "step": step}
        ask("GET", f"{run}/artifacts/{{kind}}/{{step}}", **file)
        figure = {"run_id": run_id, "figure": "geometry", "format": "json"}
        ask("GET", f"{run}/figures/{{figure}}.{{format}}", **figure)
        ask("GET", f"{run}/replay.html", run_id=run_id)
        ask("GET", f"{run}/archive.zip", run_id=run_id)
        ask("GET", "/api/v1/stream", stream=True, params={"runs": run_id})
    ask("GET", "/api/v1/stream", stream=True, params={"runs": ",".join(held.listed[:32])})
    ask("GET", f"{run}/samples", run_id=held.short)
    ask("GET", f"{run}/features.npz", 404, run_id=held.short)
    both = {"runs": f"{held.long},{held.short}"}
    svg = ask("GET", "/api/v1/figures/{figure}.{format}", figure="curves", format="svg", params=both).content
    ask("GET", "/api/v1/replay.html", params=both)
    ask("POST", "/api/v1/figures/origin", content=svg)


NAMES = (
    *("groups", "queue", "presets", "schema/config", "data", "metrics", "system", "readiness", "me", "tokens"),
    *("doctor", "audit", "trash"),
)
OF_A_RUN = {
    "overview": {"points": 10_000},
    "events": {"limit": 2000},
    "metrics": {},
    "geometry": {},
    "milestones": {"threshold": 0.1},
    "attempts": {},
    "log": {"tail": 2**20},
    "readings": {"points": 10_000},
}


def _change(ask, held, archived):
    run, config = "/api/v1/runs/{run_id}", tiny(epochs=500).model_dump(mode="json")
    # Two that wait behind the one that runs.
    sweep = {"config": config, "group": "swept", "seeds": 100}
    swept = ask("POST", "/api/v1/sweeps", 201, json=sweep).json()["items"]
    waiting, other = swept[-1]["id"], swept[-2]["id"]
    launched = ask("POST", "/api/v1/runs", 201, json={"config": config}).json()["id"]
    cloned = ask("POST", f"{run}/clone", 201, run_id=held.short, json={"set": {"seed": 5}}).json()["id"]
    ask("POST", "/api/v1/config/check", json=config)
    ask("POST", "/api/v1/config/estimate", json={"config": config, "grid": {}, "seeds": 100})
    ask("POST", f"{run}/move", run_id=waiting, json={"before": other})
    ask("PATCH", run, run_id=waiting, json={"notes": "word " * 10_000})
    ask("POST", f"{run}/pause", 202, run_id=waiting)
    ask("POST", f"{run}/resume", 202, run_id=waiting)
    ask("POST", f"{run}/cancel", 202, run_id=waiting)
    ask("POST", f"{run}/retry", 202, run_id=waiting)
    queued = [each["id"] for each in swept] + [launched, cloned]
    ask("POST", "/api/v1/runs/bulk", json={"action": "cancel", "runs": queued})
    wait_for(lambda: ask("GET", run, run_id=waiting).json()["status"] == "cancelled", 60, "the end of a run")
    ask("DELETE", run, 204, run_id=waiting)
    ask("POST", f"{run}/restore", run_id=waiting)
    ask("POST", "/api/v1/imports", content=archived, headers={"content-type": "application/zip"})
    plan = ask("POST", "/api/v1/gc", json={"thin_geometry": 2}).json()["id"]
    ask("GET", "/api/v1/gc/{plan}", plan=plan)
    entry = ask("POST", "/api/v1/gc/{plan}/delete", plan=plan).json()["entry"]
    ask("POST", "/api/v1/trash/restore", json={"entries": [entry]})
    ask("POST", "/api/v1/trash/empty", json={"digest": ask("GET", "/api/v1/trash").json()["digest"]})
    ask("POST", "/api/v1/logout", 409)
    token = ask("POST", "/api/v1/tokens", 201, json={"name": "a reader", "scope": "read"}).json()["id"]
    ask("DELETE", "/api/v1/tokens/{token_id}", 204, token_id=token)


def test_no_route_blocks_the_event_loop(big):
    store, held, archived = big
    assert too_long(store, lambda server: drive_routes(server, held, archived)) == []


# ── pages ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def drive_pages(server, held, window):
    """Use every page so that each of its callbacks on the server is called."""
    window.goto(f"{server.url}/?token={server.token}")
    expect(window.locator(".ag-row").first).to_be_visible(timeout=PATIENCE_MS)
    _use_run_page(window, server.url, held)
    window.goto(f"{server.url}/compare?runs={held.long},{held.short}")
    expect(window.get_by_role("button", name="Export figure")).to_be_visible(timeout=PATIENCE_MS)
    _use_system_page(window, server.url)
    _use_new_page(window, server.url)
    with httpx2.Client(base_url=server.url, headers={"authorization": f"Bearer {server.token}"}) as http:
        known = http.get("/_dash-dependencies").json()
    wanted = {each["output"].partition("@")[0] for each in known if not each.get("clientside_function")}
    names = [name.removeprefix("callback ") for name in server.timings.longest if name.startswith("callback ")]
    called = {json.loads(f'"{name}"').partition("@")[0] for name in names}
    assert wanted <= called, f"not driven, use them above: {sorted(wanted - called)}"


def _use_run_page(window, url, held):
    window.goto(f"{url}/runs/{held.long}?tab=notes")
    expect(window.locator("#run-page[data-shown-step]")).to_be_visible(timeout=PATIENCE_MS)
    text = secrets.token_hex(4)  # another one in each pass: what is there already is not saved again
    window.get_by_label("Notes (Markdown)").fill(f"A *{text}* run.")
    expect(window.locator("#run-notes-read em")).to_have_text(text, timeout=PATIENCE_MS)
    window.get_by_role("button", name="Export figure").click()
    expect(window.locator("#export-preview")).to_have_attribute("src", re.compile(r"\.svg"), timeout=PATIENCE_MS)


def _use_system_page(window, url):
    window.goto(f"{url}/system")
    for button in (window.locator("#diagnostics-run"), window.locator("#token-create")):
        expect(button).to_be_visible(timeout=PATIENCE_MS)
        with window.expect_response(re.compile("_dash-update-component"), timeout=PATIENCE_MS):
            button.click()
    window.locator("#storage-thin").fill("2")
    window.get_by_role("button", name="Preview clean-up").click()
    window.get_by_role("button", name=re.compile("^Delete .* files? ")).click(timeout=PATIENCE_MS)
    window.get_by_role("button", name="Restore").click(timeout=PATIENCE_MS)
    expect(window.locator("#storage-trash")).to_contain_text("Trash is empty", timeout=PATIENCE_MS)
    expect(window.locator("#diagnostics-results")).not_to_be_empty(timeout=PATIENCE_MS)
    window.locator("#tokens button", has_text="Revoke").first.click(timeout=PATIENCE_MS)


def _use_new_page(window, url):
    window.goto(f"{url}/new")
    window.get_by_role("button", name=re.compile("^digits-nearest")).click(timeout=PATIENCE_MS)
    expect(window.locator('[data-field="epochs"] input')).to_have_value("20", timeout=PATIENCE_MS)
    expect(window.get_by_text(re.compile("^Starts"))).to_be_visible(timeout=PATIENCE_MS)  # what was typed is checked
    window.get_by_role("button", name="Launch").click(timeout=PATIENCE_MS)
    window.wait_for_url(re.compile(r"/runs/[0-9a-z]{10}$"), timeout=PATIENCE_MS)


def test_no_callback_of_the_pages_blocks_the_event_loop(big, browser):
    store, held, _ = big

    def drive(server):
        window = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        try:
            drive_pages(server, held, window)
        finally:
            window.context.close()

    assert too_long(store, drive) == []
