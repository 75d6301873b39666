"""Every page as people open it: light and dark, on a desk and on a phone; nothing sticks out, and axe finds nothing.

Pictures of all of them are kept in `build/screenshots`, for whoever looks at a run of the tests.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from backend.client import Client, calls
from tests.harness import wait_for

PICTURES = Path(__file__).parents[2] / "build" / "screenshots"
SIZES = {"desk": (1440, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A server with runs of every kind that pages tell apart."""
    from tests.harness import ServerProcess

    server = ServerProcess(tmp_path_factory.mktemp("pages") / "data", "--no-demonstration")
    digits = {"data": {"name": "digits"}, "backbone": {"name": "mlp", "features": 32}, "batch_size": 64, "epochs": 6}
    many = {
        "data": {"name": "ufm", "class_count": 200, "per_class": 2},
        "backbone": {"name": "free-features", "features": 256},
        "optimiser": {"name": "sgd", "lr": 20, "weight_decay": 1e-4},
        "batch_size": 400,
        "epochs": 10,
    }
    with Client(server.url, server.token) as client:
        found = {"few": client(calls.launch(digits, name="few classes", tags=["first"], group="heads")).id}
        layered = {**digits, "measure": {"layers": ["1", "3"]}, "head": {"name": "linear"}, "seed": 1}
        found["linear"] = client(calls.launch(layered, name="linear")).id
        found["many"] = client(calls.launch(many, name="200 classes")).id
        client(calls.sweep(digits, "seeds", grid={"head.name": ["fixed-etf"]}, seeds=2))
        wait_for(lambda: client(calls.runs(status="finished")).total == 5, 180, "five runs")
    yield server, found
    server.stop()


def addresses(found: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Pages by name: their address, and a selector that is there once the page stands."""
    chart = ".js-plotly-plot .main-svg"
    return {
        "runs": ("/runs", "a.row-link"),
        "folds": ("/runs?by=seeds", "button.fold"),
        "new": ("/new", "[data-field=epochs] input"),
        "clone": (f"/new?clone={found['few']}", "[data-field=epochs] input"),
        "compare": (f"/compare?runs={found['few']},{found['linear']}", ".difference .main-svg"),
        "compare-empty": ("/compare", ".empty"),
        "system": ("/system", ".facts table"),
        "run": (f"/runs/{found['few']}", f"#chart-3 {chart}"),
        "angles": (f"/runs/{found['few']}?view=angles&tab=confusion", ".detail-graph .main-svg"),
        "layers": (f"/runs/{found['linear']}?view=layers&tab=notes", f"#layers-graph {chart}"),
        "many": (f"/runs/{found['many']}?tab=margins", ".detail-graph .main-svg"),
        "missing": ("/runs/nosuchrun0", ".empty"),
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_every_page_is_whole_and_accessible(filled, open_window, scheme, size):
    server, found = filled
    window = open_window(f"{server.url}/runs?token={server.token}", server.url, color_scheme=scheme)
    page: Page = window.page
    page.set_viewport_size(dict(zip(("width", "height"), SIZES[size], strict=True)))
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name, (address, stands) in addresses(found).items():
        page.goto(server.url + address)
        expect(page.locator(stands).first).to_be_attached(timeout=20_000)
        expect(page.locator("h1").first).to_be_visible()
        wait_for(
            lambda: page.evaluate("() => document.documentElement.scrollWidth") <= SIZES[size][0],
            10,
            f"{name} from which nothing sticks out",
        )
        page.screenshot(path=PICTURES / f"{name}-{scheme}-{size}.png", full_page=True)
        wrong = [
            f"{name}: {each['id']}: {node['html'][:200]}"
            for each in Axe().run(page).response["violations"]
            for node in each["nodes"]
        ]
        assert not wrong, "\n".join(wrong)
    assert window.complaints == []


def test_every_button_and_field_is_reached_by_keyboard(filled, open_window):
    """Tab goes through a run's page and leaves nothing out; what has the focus shows it."""
    server, found = filled
    window = open_window(f"{server.url}/runs/{found['few']}?token={server.token}", server.url)
    page: Page = window.page
    expect(page.locator("#chart-3 .main-svg").first).to_be_attached(timeout=20_000)
    reached = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        told = page.evaluate(
            """() => {
                const held = document.activeElement;
                const look = getComputedStyle(held);
                const shows = look.outlineStyle !== 'none' || look.boxShadow !== 'none';
                return [held.getAttribute('aria-label') || held.textContent.trim(), shows];
            }"""
        )
        reached.add(told[0])
        if told[0] in ("Play the captures", "Export figure", "arrows", "4 classes"):
            assert told[1], f"{told[0]} shows that it has the focus"
    wanted = {"Clone", "Archive", "Export figure", "4 classes", "features", "arrows", "Play the captures", "loop"}
    assert wanted <= reached
    assert {"Epoch shown", "What am I seeing?", "angle", "Loss", "More metrics", "Confusion", "Notes"} <= reached
    page.keyboard.press("?")
    expect(page.locator("dialog#help")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("s")
    expect(page.locator("h1")).to_have_text("System")
    assert window.complaints == []
