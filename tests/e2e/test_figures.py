"""The export dialog as a person uses it: what is chosen is what is drawn; a file dropped on a page opens its view."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from backend.client import Client, calls
from ncfigures.provenance import read_provenance
from tests.harness import wait_for

PICTURES = Path(__file__).parents[2] / "build" / "screenshots"
DROP = """([name, encoded]) => {
  const bytes = Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name));
  document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
}"""


def opened(page: Page) -> None:
    page.get_by_role("button", name="Export figure").click()
    expect(page.locator("#export-preview")).to_have_attribute("src", re.compile(r"\.svg"))


def choose(page: Page, title: str) -> None:
    page.locator("#export-figure").click()
    page.get_by_role("option", name=title).click()


def previewed(page: Page) -> None:
    preview = page.locator("#export-preview")
    wait_for(lambda: preview.evaluate("image => image.complete && image.naturalWidth > 0"), 20, "the preview")


def test_what_is_chosen_is_what_is_saved(filled, open_window):
    server, found = filled
    window = open_window(f"{server.url}/runs/{found['few']}?token={server.token}", server.url)
    page: Page = window.page
    expect(page.locator("#chart-3 .main-svg").first).to_be_attached()
    opened(page)
    expect(page.locator('[id*="export-box"][id*="camera"]')).to_have_count(0)
    choose(page, "Metrics over epochs")
    expect(page.locator("#export-preview")).to_have_attribute("src", re.compile(r"curves\.svg"))
    previewed(page)
    page.get_by_text("Sans-serif", exact=True).click()
    page.get_by_text("Grid", exact=True).click()
    command = page.locator("#export-command")
    expect(command).to_have_text(f"collapse export {found['few']} curves -o curves.pdf --until 6 --sans --axes grid")
    expect(page.locator("#export-caption")).to_contain_text("NC1 variability: tr(Σ_W Σ_B†)/K")
    expect(page.locator("#export-snippet")).to_contain_text(r"\includegraphics{curves.pdf}")
    with page.expect_download() as download:
        page.locator("#export-save").click()
    saved = Path(download.value.path()).read_bytes()
    assert read_provenance(saved).options == {"until": "6", "serif": "false", "axes": "grid"}
    page.screenshot(path=PICTURES / "export-light-desk.png")
    found_wrong = Axe().run(page).response["violations"]
    wrong = [f"{each['id']}: {node['html'][:300]}" for each in found_wrong for node in each["nodes"]]
    assert not wrong, "\n".join(wrong)
    page.get_by_text("Interactive", exact=True).click()
    expect(page.locator("#export-interactive .js-plotly-plot")).to_be_visible()
    drawn = page.evaluate("() => document.querySelector('#export-interactive .js-plotly-plot').data.length")
    assert drawn == 8, "four metrics on two splits"
    page.get_by_text("TEX", exact=True).click()
    expect(page.locator("#export-snippet")).to_contain_text(r"\toprule")
    assert window.complaints == []


def test_what_cannot_be_drawn_says_why(filled, open_window):
    server, found = filled
    window = open_window(f"{server.url}/runs/{found['few']}?token={server.token}", server.url)
    page: Page = window.page
    expect(page.locator("#chart-3 .main-svg").first).to_be_attached()
    opened(page)
    with window.forgiven(404):
        choose(page, "Collapse over the layers")
        expect(page.locator("#export-notices")).to_contain_text("measure.layers")
    choose(page, "Several figures with letters")
    previewed(page)
    expect(page.locator("#export-notices")).to_have_text("")


def test_a_comparison_is_exported_with_all_its_runs(filled, open_window):
    server, found = filled
    window = open_window(f"{server.url}/compare?groups=seeds&runs={found['few']}&token={server.token}", server.url)
    page: Page = window.page
    expect(page.locator("#compare-page")).to_be_visible()
    opened(page)
    previewed(page)
    expect(page.locator("#export-caption")).to_contain_text("Median over 1 to 2 seeds")
    choose(page, "Metrics at the end, median and range")
    page.get_by_text("MD", exact=True).click()
    expect(page.locator("#export-snippet")).to_contain_text("**")
    assert window.complaints == []


def test_a_figure_dropped_on_a_page_opens_its_view(filled, open_window):
    server, found = filled
    with Client(server.url, server.token) as client:
        made = client(calls.figure(found["few"], "geometry", "pdf", epoch=2, view="pca", camera="1,1,1,0,0,1,2"))
    window = open_window(f"{server.url}/runs?token={server.token}", server.url)
    page: Page = window.page
    expect(page.locator("a.row-link").first).to_be_visible()
    page.evaluate(DROP, ["geometry.pdf", base64.b64encode(made).decode()])
    expect(page.locator('[data-part="shown-epoch"]')).to_contain_text("epoch 2")
    expect(page.locator('button[data-mode="pca"]')).to_have_attribute("aria-pressed", "true")
    assert page.evaluate("() => window.collapseLab.camera()") == "1,1,1,0,0,1,2"
    assert window.complaints == []
    with window.forgiven(422):
        page.evaluate(DROP, ["notes.txt", base64.b64encode(b"nothing").decode()])
        expect(page.locator("#toast")).to_contain_text("does not say where it comes from")
