"""A walk through the product in a real browser, reading what a person reads and the coordinates that are drawn."""

from __future__ import annotations

import contextlib
import io
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from pypdf import PdfReader

from backend.client import Client, calls
from ncengine.preset_configs import PRESETS
from tests.harness import ServerProcess, end_workers_of, wait_for


def points(page: Page, name: str) -> np.ndarray:
    """Coordinates (n, 3) of vertices, means, weights or features that the scene draws, before the camera."""
    script = "name => (window.collapseLab?.projection()?.[name] ?? [[], [], []]).map(axis => Array.from(axis))"
    return np.array(page.evaluate(script, name), dtype=float).T


def camera(page: Page) -> list[float]:
    """The scene's camera: eye, up, zoom."""
    return [float(part) for part in page.evaluate("() => window.collapseLab.camera()").split(",")]


def figure(page: Page, graph: str, path: str) -> object:
    return page.evaluate(
        "([g, p]) => p.split('.').reduce((o, k) => o?.[k], document.querySelector(`#${g} .js-plotly-plot`))",
        [graph, path],
    )


def shown_step(page: Page) -> int | None:
    step = page.get_attribute("#run-page", "data-shown-step")
    return None if step is None else int(step)


def part(page: Page, name: str):
    return page.locator(f'[data-part="{name}"]')


def test_an_empty_store_shows_its_demonstration_live_and_a_tour_of_the_page(start_server, open_window):
    server = start_server()
    window = open_window(f"{server.url}/?token={server.token}", server.url)
    page = window.page
    expect(page.locator("h1")).to_have_text("first-light")
    page.wait_for_url(re.compile(r"/runs/[0-9a-z]{10}$"))
    assert "token" not in page.url
    wait_for(lambda: len(points(page, "means")) == 10, 40, "the first class means")
    expect(part(page, "connection")).to_have_text("Live")
    vertices = points(page, "vertices")
    assert np.allclose(np.linalg.norm(vertices, axis=1), 1, atol=0.01), "the vertices lie on a sphere"
    before, first_step = points(page, "means"), shown_step(page)
    wait_for(lambda: (shown_step(page) or 0) > (first_step or 0) + 20, 40, "movement")
    after = points(page, "means")
    assert np.abs(after - before).max() > 0.01, "the class means are seen to move"
    # The tour begins by itself on the demonstration's page, leads through all of it, and never comes again.
    tour = page.locator("#tour")
    expect(tour).to_be_visible()
    for _ in range(7):
        assert page.locator(".tour-target").count() == 1
        tour.get_by_role("button", name="Next").click()
    tour.get_by_role("button", name="Done").click()
    expect(tour).to_be_hidden()
    page.reload()
    wait_for(lambda: len(points(page, "means")) == 10, 40, "the class means after a reload")
    expect(tour).to_be_hidden()
    assert np.array_equal(points(page, "vertices"), vertices), "the vertices never move"
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Metrics and captures so far are kept")).to_be_visible()
    expect(part(page, "status")).to_have_text("cancelled", timeout=15_000)
    assert window.complaints == []


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server for the tests of this module that need none of their own."""
    running = ServerProcess(tmp_path_factory.mktemp("walk") / "data", "--no-demonstration")
    yield running
    running.stop()
    end_workers_of(running.data)


@pytest.fixture(scope="module")
def finished(server):
    """The id of a finished run of 12 epochs on digits."""
    config = PRESETS["digits-nearest"]().model_dump(mode="json") | {"epochs": 12}
    config["backbone"]["features"] = 32
    with server.client() as http:
        run_id = http.post("/api/v1/runs", json={"config": config}).json()["id"]
        wait_for(lambda: http.get(f"/api/v1/runs/{run_id}").json()["status"] == "finished", 120, "the run")
    return run_id


def open_run(open_window, server, run_id):
    """Open a finished run's page, and wait until it shows the newest capture."""
    window = open_window(f"{server.url}/runs/{run_id}?token={server.token}", server.url)
    newest = captures_of(server, run_id)[-1]["step"]
    wait_for(lambda: shown_step(window.page) == newest, 40, "the newest capture")
    return window


def captures_of(server, run_id):
    with server.client() as http:
        events = http.get(f"/api/v1/runs/{run_id}/events", params={"limit": 2000}).json()["items"]
    return [event for event in events if event["type"] == "GeometryCaptured"]


def turn_scene(page):
    """Drag the scene, and return the camera."""
    box, home = part(page, "canvas").bounding_box(), camera(page)
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 290, box["y"] + 240, steps=4)
    page.mouse.up()
    turned = camera(page)
    assert np.abs(np.subtract(turned, home)).max() > 0.1, "a drag turns the scene"
    return turned


def test_a_run_is_launched_from_the_form_and_followed(server, open_window):
    """A preset, an impossible value with the error at its field, Launch, and the camera survives updates."""
    with server.client() as http:
        before = [run["id"] for run in http.get("/api/v1/runs").json()["items"]]
    window = open_window(f"{server.url}/?token={server.token}", server.url)
    page = window.page
    page.get_by_role("link", name="New run").first.click()
    expect(page.get_by_role("button", name="Launch")).to_be_enabled()  # the form was checked once, and so is complete
    page.get_by_role("button", name=re.compile("^digits-nearest")).click()
    features = page.locator('[data-field="backbone.features"]')
    epochs = page.locator('[data-field="epochs"] input')
    expect(epochs).to_have_value("20")
    features.locator("input").fill("5")
    expect(features.locator(".field-problem")).to_contain_text("at least 9")
    expect(page.get_by_role("button", name="Launch")).to_be_disabled()
    features.locator("input").fill("32")
    expect(features.locator(".field-problem")).to_have_text("")
    epochs.fill("12")
    expect(page.locator(".command").first).to_contain_text("--set epochs=12")
    expect(page.locator(".command").first).to_contain_text("--set backbone.features=32")
    page.locator('[data-field="head.name"]').get_by_text("linear", exact=True).click()
    expect(page.locator('[data-field="head.bias"]')).to_be_visible()
    expect(page.locator('[data-field="head.delta"]')).to_have_count(0)
    expect(epochs).to_have_value("12")
    page.locator('[data-field="head.name"]').get_by_text("nearest-etf", exact=True).click()
    expect(page.locator('[data-field="head.delta"] input')).to_have_value("0.001")
    expect(page.get_by_role("button", name="Launch")).to_be_enabled()
    page.get_by_role("button", name="Launch").click()
    page.wait_for_url(re.compile(r"/runs/[0-9a-z]{10}$"))
    run_id = page.url.rpartition("/")[2]
    assert run_id not in before
    wait_for(lambda: len(points(page, "means")) == 10, 40, "the first class means")
    turned = turn_scene(page)
    step = shown_step(page)
    wait_for(lambda: (shown_step(page) or 0) > step, 40, "the next capture")
    assert camera(page) == turned, "the camera survives updates"
    expect(part(page, "status")).to_have_text("finished", timeout=60_000)
    expect(part(page, "epoch")).to_have_text("epoch 12 of 12")
    with server.client() as http:
        assert http.get(f"/api/v1/runs/{run_id}").json()["config"]["backbone"]["features"] == 32
    assert window.complaints == []


def test_the_page_shows_the_numbers_of_the_run(server, finished, open_window):
    """Curves, readings and angles are those of the API; every metric is offered by family; the theme changes."""
    window = open_run(open_window, server, finished)
    page = window.page
    with server.client() as http:
        run = http.get(f"/api/v1/runs/{finished}").json()
        series = http.get(f"/api/v1/runs/{finished}/metrics", params={"keys": "nc1"}).json()
        newest = http.get(f"/api/v1/runs/{finished}/geometry").json()
        drawn = http.get(f"/api/v1/runs/{finished}/metrics", params={"keys": "nc3_cosine"}).json()["values"]["train"]
    wait_for(lambda: figure(page, "chart-0", "data.0.y") == series["values"]["train"]["nc1"], 10, "the whole curve")
    assert figure(page, "chart-0", "data.1.y") == series["values"]["test"]["nc1"]
    assert figure(page, "chart-3", "data.2.y") == [1, 1], "the ideal is a line"
    reading = page.locator('[data-reading="nc1"] [data-value]')
    assert float(reading.inner_text()) == pytest.approx(run["summary"]["train"]["nc1"], rel=5e-3)
    heat = np.array(figure(page, "angles-graph", "data.0.z"), dtype=float)
    assert heat.shape == (10, 10)
    assert np.isnan(heat.diagonal()).all()
    low, high = figure(page, "angles-graph", "data.0.zmin"), figure(page, "angles-graph", "data.0.zmax")
    assert (low + high) / 2 == pytest.approx(-1 / 9), "centred at −1/(K−1)"
    expect(part(page, "angle-statistics")).to_contain_text(f"{newest['facts']['smallest_angle_deg']:.1f}°")
    expect(part(page, "angle-statistics")).to_contain_text("Ideal 96.4°")
    page.get_by_role("button", name="Angle", exact=True).click()
    centre = (figure(page, "angles-graph", "data.0.zmin") + figure(page, "angles-graph", "data.0.zmax")) / 2
    assert centre == pytest.approx(96.379, abs=1e-3)
    page.locator("button[data-group]", has_text="Angles").click()
    expect(page.locator("[data-chart-title='2']")).to_have_text("NC4 nearest-mean disagreement")
    # Every metric of the catalogue, by family; those that this run does not have are not offered.
    more = part(page, "more-metrics").locator("select")
    more.select_option(label="NC3")
    expect(page.locator("[data-chart-title='1']")).to_have_text("NC3 distance of classifier and means")
    assert "W/‖W‖" in (page.locator("[data-chart-title='1']").get_attribute("title") or "")
    wait_for(lambda: figure(page, "chart-2", "data.0.y") == drawn["nc3_cosine"], 10, "the curve of nc3_cosine")
    offered = more.locator("option:not([hidden])").all_text_contents()
    assert "NC2, 1 of 4" in offered
    assert not [name for name in offered if name.startswith(("NC5", "Long tail"))]
    more.select_option(label="Margin")
    expect(page.locator("[data-chart-title='1']")).to_be_hidden()
    page.locator("button[data-group]", has_text="Collapse").click()
    expect(page.locator("[data-chart-title='1']")).to_have_text("NC2 distance to the nearest ETF")
    page.get_by_role("button", name="Toggle theme").click()
    expect(page.locator("html")).to_have_attribute("data-mantine-color-scheme", "dark")
    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(15, 17, 21)"
    assert window.complaints == []


def test_a_finished_run_is_replayed_and_a_figure_exported_at_the_epoch_shown(server, finished, open_window):
    """The slider replays captures, after a reload too, with the camera; the export's preview is the file."""
    window = open_run(open_window, server, finished)
    page, captures = window.page, captures_of(server, finished)
    turned, last = turn_scene(page), points(page, "means")
    slider = part(page, "slider").locator("input")
    assert slider.get_attribute("max") == str(len(captures) - 1)
    slider.focus()
    page.keyboard.press("Home")
    wait_for(lambda: shown_step(page) == 0, 10, "the first capture")
    expect(part(page, "shown-epoch")).to_have_text("epoch 0")
    assert np.abs(points(page, "means") - last).max() > 0.1
    page.keyboard.press("ArrowRight")
    wait_for(lambda: shown_step(page) == captures[1]["step"], 10, "the second capture")
    second = f"epoch={round(captures[1]['epoch'], 6)}"
    wait_for(lambda: second in page.evaluate("() => location.search"), 10, "the epoch in the address")
    page.reload()
    wait_for(lambda: shown_step(page) == captures[1]["step"], 20, "the same capture after a reload")
    page.keyboard.press("End")
    wait_for(lambda: shown_step(page) == captures[-1]["step"], 20, "the newest capture")
    slider = part(page, "slider").locator("input")
    slider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    wait_for(lambda: shown_step(page) == captures[-4]["step"], 10, "three captures back")
    assert np.allclose(camera(page), turned, atol=1e-3), "the camera survives a reload"
    page.get_by_role("button", name="Export figure").click()
    preview = page.locator("#export-preview")
    expect(preview).to_have_attribute("src", re.compile("geometry.svg"))
    wait_for(lambda: preview.evaluate("image => image.complete && image.naturalWidth > 0"), 20, "the preview")
    expect(page.locator("#export-command")).to_contain_text(f"collapse export {finished} geometry")
    expect(page.locator("#export-command")).to_contain_text(f"--epoch {captures[-4]['epoch']:g}")
    expect(page.locator("#export-command")).to_contain_text(
        re.compile(rf"\ncollapse film {finished} -o film\.gif .*--camera ")
    )
    with page.expect_download() as download:
        page.locator("#export-save").click()
    reader = PdfReader(io.BytesIO(Path(download.value.path()).read_bytes()))
    assert "Pullover" not in reader.pages[0].extract_text()
    assert "class mean" in reader.pages[0].extract_text()
    assert window.complaints == []


def test_a_run_is_deleted_from_the_table_and_brought_back(server, finished, open_window):
    """The table shows status and final metrics; Delete is confirmed and can be undone."""
    window = open_window(f"{server.url}/?token={server.token}", server.url)
    page = window.page
    page.get_by_role("link", name="Runs").first.click()
    row = page.locator(f'.ag-row[row-id="{finished}"]').first
    expect(row).to_contain_text("finished")
    expect(row).to_contain_text("100.0 %")
    row.locator(".ag-selection-checkbox input").check()
    page.get_by_role("button", name="Delete 1").click()
    expect(page.get_by_text("Deleted 1 run.")).to_be_visible()
    expect(page.locator(f'.ag-row[row-id="{finished}"]')).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(f'.ag-row[row-id="{finished}"]').first).to_be_visible()
    page.locator(f'.ag-row[row-id="{finished}"] .row-link').click()
    expect(part(page, "status")).to_have_text("finished")
    assert window.complaints == []


def test_features_that_are_kept_are_announced_and_downloaded(start_server, open_window):
    server = start_server("--no-demonstration", "--no-warm")
    window = open_window(f"{server.url}/?token={server.token}", server.url)
    page = window.page
    page.get_by_role("link", name="New run").first.click()
    page.get_by_role("button", name=re.compile("^digits-nearest")).click()
    epochs = page.locator('[data-field="epochs"] input')
    expect(epochs).to_have_value("20")
    epochs.fill("2")
    expect(page.locator(".command").first).to_contain_text("--set epochs=2")
    # An answer to what stood there before is not the last word: what stands there now is checked again.
    with page.expect_request(lambda request: '"changedPropIds":["new-recheck.data"]' in (request.post_data or "")):
        page.evaluate("() => dash_clientside.set_props('new-checked', {data: {}})")
    page.locator(".form-section", has_text="Measurement").locator("summary").click()
    page.locator('[data-field="measure.keep_features"]').get_by_text("all", exact=True).click()
    page.locator('[data-field="measure.outside"] input').first.click()
    page.get_by_role("option", name="fashion-mnist-mini").click()
    expect(page.locator(".command").first).to_contain_text("--set measure.outside=fashion-mnist-mini")
    announced = part(page, "kept-features")
    expect(announced).to_contain_text("Features kept: 2 captures of up to")
    each = re.search(r"up to ([\d.]+) kB", announced.inner_text())
    expect(page.get_by_role("button", name="Launch")).to_be_enabled()
    page.get_by_role("button", name="Launch").click()
    page.wait_for_url(re.compile(r"/runs/[0-9a-z]{10}$"))
    expect(part(page, "status")).to_have_text("finished", timeout=60_000)
    with page.expect_download() as download:
        part(page, "features").click()
    with np.load(Path(download.value.path()), allow_pickle=False) as arrays:
        held = {name: arrays[name] for name in arrays.files}
    assert set(held) == {f"{kind}_{split}" for kind in ("features", "labels") for split in ("train", "test")}
    size = sum(array.nbytes for array in held.values())
    assert float(each.group(1)) == pytest.approx(size / 1e3, rel=0.01)
    part(page, "more-metrics").locator("select").select_option(label="NC5")
    wait_for(lambda: len(figure(page, "chart-1", "data.0.y") or []) == 2, 10, "the AUROC of both epochs")
    assert window.complaints == []


def test_small_classes_are_exact_and_the_phone_works(start_server, open_window):
    server = start_server("--no-demonstration", "--no-warm")
    configs = {
        "tetrahedron": {"data": {"name": "digits", "classes": [0, 1, 2, 3]}},
        "triangle": {"data": {"name": "digits", "classes": [0, 1, 2]}},
        "line": {"data": {"name": "digits", "classes": [3, 8]}},
    }
    with server.client() as http:
        for name, config in configs.items():
            size = len(config["data"]["classes"])
            whole = config | {
                "epochs": 2,
                "batch_size": 32,
                "backbone": {"name": "mlp", "features": size - 1, "width": 32},
            }
            answer = http.post("/api/v1/runs", json={"config": whole, "name": name})
            assert answer.status_code == 201, answer.text
        runs = http.get("/api/v1/runs").json()["items"]
        wait_for(lambda: http.get("/api/v1/runs?status=finished").json()["total"] == 3, 120, "three runs")
    for run in runs:
        size = len(run["class_names"])
        window = open_window(f"{server.url}/runs/{run['id']}?token={server.token}", server.url, device_scale_factor=1)
        page = window.page
        page.set_viewport_size({"width": 390, "height": 844})
        wait_for(lambda p=page, k=size: len(points(p, "means")) == k, 30, run["name"])
        vertices = points(page, "vertices")
        cosines = vertices @ vertices.T
        assert np.allclose(cosines, (np.eye(size) * size - 1) / (size - 1), atol=1e-5), "nothing is projected away"
        # Plotly follows a new window size some frames later.
        wait_for(
            lambda p=page: p.evaluate("() => document.documentElement.scrollWidth") <= 390,
            10,
            "a page from which nothing sticks out on a phone",
        )
        assert window.complaints == []


def test_a_lost_server_shows_and_heals(start_server, open_window):
    server = start_server("--no-demonstration", "--no-warm")
    with server.client() as http:
        config = {"data": {"name": "digits"}, "backbone": {"name": "mlp"}, "batch_size": 64, "epochs": 2000}
        run_id = http.post("/api/v1/runs", json={"config": config}).json()["id"]
    window = open_window(f"{server.url}/runs/{run_id}?token={server.token}", server.url)
    page = window.page
    wait_for(lambda: (shown_step(page) or 0) > 0, 40, "movement")
    # Scripts of the charts that the page is loading while the server is away are not asked for again.
    wait_for(lambda: figure(page, "chart-0", "data.0.x"), 40, "the charts")
    port = server.url.rpartition(":")[2]
    server.kill()
    expect(part(page, "connection")).to_have_text("Reconnecting…")
    lost_at = shown_step(page)
    start_server("--no-demonstration", "--no-warm", "--port", port, data=server.data)
    expect(part(page, "connection")).to_have_text("Live", timeout=20_000)
    wait_for(lambda: shown_step(page) > lost_at, 40, "movement after the server came back")
    epochs = figure(page, "chart-0", "data.0.x")
    assert epochs == list(range(1, len(epochs) + 1)), "no epoch is lost or doubled"


def test_a_run_that_is_not_there_says_so(quiet_server, open_window):
    window = open_window(f"{quiet_server.url}/runs/nosuchrun0?token={quiet_server.token}", quiet_server.url)
    expect(window.page.get_by_role("heading", name="Run not found")).to_be_visible()
    assert window.complaints == []


def choose(page: Page, path: str, option: str) -> None:
    """Choose a value in a field of the form, however it is drawn."""
    field = page.locator(f'[data-field="{path}"]')
    if field.locator(".mantine-SegmentedControl-root").count():
        field.get_by_text(option, exact=True).click()
    else:
        field.locator("input").first.click()
        page.get_by_role("option", name=option, exact=True).click()


def test_own_images_from_the_form(start_server, open_window, tmp_path):
    """A kind brings its fields, a value those that belong to it; a folder is looked at while one types its path."""
    root = tmp_path / "pictures"
    for name, level in (("dark", 40), ("light", 200)):
        (root / name).mkdir(parents=True)
        for number in range(60):
            noise = np.random.default_rng(number).normal(level, 30, (12, 14, 3)).clip(0, 255)
            Image.fromarray(noise.astype(np.uint8)).save(root / name / f"{number}.png")
    (root / "light" / "broken.JPG").write_bytes(b"no image")
    server = start_server("--no-demonstration", "--data-root", str(root))
    window = open_window(f"{server.url}/?token={server.token}", server.url)
    page = window.page
    page.goto(f"{server.url}/new")
    choose(page, "data.name", "image-folder")
    problem = page.locator('[data-field="data.path"] .field-problem')
    expect(problem).to_have_text("data.path must say where the data lies, got nothing")
    expect(page.locator("#new-launch")).to_be_disabled()
    path = page.locator('[data-field="data.path"] input')
    path.fill("/etc")
    expect(problem).to_contain_text("under a folder that the operator allows")
    path.fill(str(root))
    expect(problem).to_have_text("")
    expect(page.locator('[data-field="batch_size"] .field-problem')).to_contain_text("at most the 97 training samples")
    page.locator('[data-field="batch_size"] input').fill("16")
    expect(page.locator("#new-summary")).to_contain_text("2 classes, 97 training samples")
    expect(page.locator('[data-field="data.noise_rate"]')).to_have_count(0)
    page.locator(".form-section").first.locator("summary").click()
    choose(page, "data.label_noise", "pairwise")
    expect(page.locator('[data-field="data.noise_rate"]')).to_be_visible()
    expect(path).to_have_value(str(root))
    choose(page, "schedule.name", "multi-step")
    page.locator('[data-field="schedule.milestones"] input').fill("2, 3")
    choose(page, "optimiser.name", "agd")
    page.locator('[data-field="epochs"] input').fill("4")
    expect(page.locator("#new-launch")).to_be_enabled()
    expect(page.locator("#new-summary")).to_contain_text("24 steps")
    page.click("#new-launch")
    page.wait_for_url(re.compile(r"/runs/[0-9a-z]{10}$"), timeout=20_000)
    expect(part(page, "status")).to_have_text("finished", timeout=60_000)
    assert points(page, "means").shape == (2, 3)
    expect(part(page, "note")).to_contain_text("1 of 121 image files cannot be read and are left out")
    expect(part(page, "note")).to_contain_text("broken.JPG")
    with server.client() as http:
        run = http.get(f"/api/v1/runs/{page.url.rpartition('/')[2]}").json()
    assert run["class_names"] == ["dark", "light"]
    assert run["config"]["schedule"]["milestones"] == [2, 3]
    assert set(run["summary"]) == {"train", "train_true", "test"}
    assert window.complaints == []


def test_two_hundred_classes_without_a_test_part(start_server, open_window):
    """Unconstrained features: no test split, and coordinates that travel in three dimensions."""
    server = start_server("--no-demonstration")
    config = {
        "data": {"name": "ufm", "class_count": 200, "per_class": 2},
        "backbone": {"name": "free-features", "features": 256},
        "optimiser": {"name": "sgd", "lr": 20, "weight_decay": 1e-4},
        "batch_size": 400,
        "epochs": 30,
        "measure": {"every": 10},
    }
    with server.client() as http:
        run_id = http.post("/api/v1/runs", json={"config": config}).json()["id"]
    window = open_window(f"{server.url}/?token={server.token}", server.url)
    page = window.page
    page.goto(f"{server.url}/runs/{run_id}")
    expect(part(page, "status")).to_have_text("finished", timeout=90_000)
    wait_for(lambda: points(page, "means").shape == (200, 3), 20, "the class means")
    assert np.allclose(np.linalg.norm(points(page, "vertices"), axis=1), 1, atol=0.01)
    wait_for(lambda: len(figure(page, "angles-graph", "data.0.z") or []) == 50, 20, "the cosines by blocks of four")
    assert figure(page, "angles-graph", "data.0.x.0") == "1–4"
    note = page.locator('[data-reading="nc1"] [data-note]')
    expect(note).to_have_text("ideal 0")
    with server.client() as http:
        for name in ("geometry", "angles", "curves"):
            for kind in ("pdf", "csv"):
                answer = http.get(f"/api/v1/runs/{run_id}/figures/{name}.{kind}")
                assert answer.status_code == 200, answer.text
    assert window.complaints == []


def test_a_download_shows_how_far_it_is_and_can_be_cancelled(start_server, open_window):
    """A mirror that sends slowly: the page says what comes, and Cancel ends it."""

    class Slow(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(170_000_000))
            self.end_headers()
            with contextlib.suppress(OSError):
                for _ in range(200):
                    self.wfile.write(bytes(2**18))
                    time.sleep(0.1)

        def log_message(self, *_arguments: object) -> None:
            pass

    mirror = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=mirror.serve_forever, daemon=True).start()
    server = start_server("--no-demonstration", "--mirror", f"http://127.0.0.1:{mirror.server_address[1]}")
    config = {"data": {"name": "cifar10", "download": True}, "epochs": 1}
    with server.client() as http:
        run_id = http.post("/api/v1/runs", json={"config": config}).json()["id"]
    window = open_window(f"{server.url}/?token={server.token}", server.url)
    page = window.page
    page.goto(f"{server.url}/runs/{run_id}")
    said = re.compile(r"downloading cifar-10-binary\.tar\.gz: \d+ of 170 MB · about .* left")
    expect(part(page, "epoch")).to_have_text(said, timeout=30_000)
    page.get_by_role("button", name="Cancel").click()
    expect(part(page, "status")).to_have_text("cancelled", timeout=20_000)
    mirror.shutdown()
    mirror.server_close()
    held = server.data / "datasets" / "cifar10" / "cifar-10-binary.tar.gz.partial"
    assert held.stat().st_size > 0, "what came is kept for the next attempt"


def test_a_run_is_paused_and_resumed_and_a_reader_only_looks(start_server, open_window):
    server = start_server("--no-demonstration", "--no-warm")
    with Client(server.url, server.token) as client:
        config = {"data": {"name": "digits"}, "backbone": {"name": "mlp"}, "batch_size": 64, "epochs": 2000}
        run = client(calls.launch(config))
        reading = client(calls.create_token("co-author", "read"))
    window = open_window(f"{server.url}/runs/{run.id}?token={server.token}", server.url)
    page = window.page
    wait_for(lambda: (shown_step(page) or 0) > 0, 40, "movement")
    page.get_by_role("button", name="Pause").click()
    expect(part(page, "status")).to_have_text("paused", timeout=15_000)
    expect(page.get_by_role("button", name="Pause")).to_be_hidden()
    expect(page.get_by_role("link", name="Archive")).to_be_visible()
    step = shown_step(page)
    page.reload()
    wait_for(lambda: shown_step(page) == step, 20, "the same capture after a reload")
    expect(part(page, "status")).to_have_text("paused")
    page.get_by_role("button", name="Resume").click()
    wait_for(lambda: (shown_step(page) or 0) > step, 40, "further movement")
    reader = open_window(f"{server.url}/runs/{run.id}?token={reading.token}", server.url)
    wait_for(lambda: (shown_step(reader.page) or 0) > step, 40, "the reader's picture")
    for name in ("Pause", "Cancel", "Retry", "Resume"):
        expect(reader.page.get_by_role("button", name=name)).to_have_count(0)
    page.get_by_role("button", name="Cancel").click()
    expect(part(reader.page, "status")).to_have_text("cancelled", timeout=15_000)
    assert window.complaints == reader.complaints == []
