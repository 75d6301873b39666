"""A run's offline page, with the network off: opened by a double click, turned, played, read."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from backend.client import Client, calls
from tests.harness import wait_for
from tests.repetitions import exhaustive_except


@pytest.mark.parametrize(("scheme", "width"), exhaustive_except([("light", 1300), ("dark", 390)], [("dark", 390)]))
def test_it_works_with_the_network_off(filled, browser, tmp_path, scheme, width):
    server, found = filled
    with Client(server.url, server.token) as client:
        content = client(calls.replay(found["few"]))
        last = client(calls.run(found["few"])).summary
    path = tmp_path / "run.html"
    path.write_bytes(content)
    said = {key: f"train {last['train'][key]:.3g}, test {last['test'][key]:.3g}" for key in ("nc1", "cosine_margin")}
    context = browser.new_context(offline=True, color_scheme=scheme, viewport={"width": width, "height": 800})
    page = context.new_page()
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    epoch = page.locator('[data-part="epoch"]')
    expect(epoch).to_have_text("epoch 6")
    expect(page.locator(".charts figure").first).to_have_attribute("data-values", said["nc1"])
    drawn = lambda part: page.evaluate(f"() => Array.from(replay.views[0].scene.projection.{part}[0])")
    wait_for(lambda: page.evaluate("() => replay.views[0].scene.projection != null"), 5, "the picture")
    means = drawn("means")
    assert len(means) == 10
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    violations = Axe().run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"][:200]) for each in violations] == []
    page.keyboard.press("Home")
    expect(epoch).to_have_text("epoch 0")
    wait_for(lambda: drawn("means") != means, 5, "another picture")
    page.get_by_role("button", name="Play").click()
    expect(epoch).to_have_text("epoch 6", timeout=20_000)
    before = drawn("vertices")
    page.get_by_role("button", name="4 classes").click()
    wait_for(lambda: drawn("vertices") != before, 5, "the tetrahedron")
    wait_for(lambda: page.evaluate("() => !replay.views[0].scene.transition"), 5, "the turn's end")
    before = drawn("vertices")
    page.get_by_role("button", name="PCA").click()
    wait_for(lambda: drawn("vertices") != before, 5, "principal directions")
    page.get_by_label("Metric of chart 1").select_option("cosine_margin")
    words = f"Cosine margin over epochs: {said['cosine_margin']} at epoch 6"
    expect(page.locator(".charts figure svg").first).to_have_attribute("aria-label", words)
    assert complaints == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    context.close()


def test_a_comparison_turns_and_plays_together(filled, browser, tmp_path):
    server, found = filled
    with Client(server.url, server.token) as client:
        seeds = [run.id for run in client(calls.runs(q="group:seeds")).items]
        content = client(calls.replay(",".join([found["few"], found["linear"], *seeds])))
    path = tmp_path / "runs.html"
    path.write_bytes(content)
    context = browser.new_context(offline=True, viewport={"width": 1300, "height": 900})
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(path.as_uri())
    expect(page.locator("article h2")).to_have_text(["few classes", "linear", "digits-fixed, 2 seeds"])
    expect(page.locator('[data-part="legend"] span')).to_have_text(["few classes", "linear", "digits-fixed, 2 seeds"])
    wait_for(lambda: page.evaluate("() => replay.views.every((view) => view.scene.projection)"), 5, "three pictures")
    assert page.locator(".charts figure").first.locator(".band").count() == 1, "a range over two seeds"
    cameras = lambda: page.evaluate("() => replay.views.map((view) => view.scene.cameraText)")
    before = cameras()
    page.locator("article canvas").first.focus()
    page.keyboard.press("ArrowLeft")
    assert len(set(cameras())) == 1, "one camera for all"
    assert cameras() != before
    page.locator('[data-part="slider"]').focus()
    page.keyboard.press("Home")
    expect(page.locator('[data-part="epoch"]')).to_have_text("epoch 0")
    labels = page.locator("article canvas").evaluate_all("all => all.map(each => each.getAttribute('aria-label'))")
    assert all("at epoch 0." in label for label in labels)
    assert Axe().run(page).response["violations"] == []
    assert complaints == []
    context.close()
