"""A run's offline page, with the network off: opened by a double click, turned, played, read."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from backend.client import Client, calls
from tests.harness import wait_for


@pytest.mark.parametrize(("scheme", "width"), [("light", 1300), ("dark", 390)])
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
    expect(page.locator("figure").first).to_have_attribute("data-said", said["nc1"])
    drawn = lambda part: page.evaluate(f"() => Array.from(replay.scene.drawn.{part}[0])")
    wait_for(lambda: page.evaluate("() => replay.scene.drawn != null"), 5, "the picture")
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
    page.get_by_label("Metric of chart 1").select_option("cosine_margin")
    words = f"Cosine margin over epochs: {said['cosine_margin']} at epoch 6"
    expect(page.locator("figure svg").first).to_have_attribute("aria-label", words)
    assert complaints == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    context.close()
