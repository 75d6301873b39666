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
from tests.repetitions import exhaustive_except

PICTURES = Path(__file__).parents[2] / "build" / "screenshots"
SIZES = {"desk": (1440, 900), "phone": (390, 844)}


def addresses(found: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Pages by name: their address, and a selector that is there once the page stands."""
    chart = ".js-plotly-plot .main-svg"
    return {
        "runs": ("/runs", "a.row-link"),
        "folds": ("/runs?by=seeds", "button.group-toggle"),
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


@pytest.mark.parametrize("scheme", exhaustive_except(["light", "dark"], ["light"]))
@pytest.mark.parametrize("size", exhaustive_except(SIZES, ["desk"]))
def test_every_page_is_whole_and_accessible(filled, open_window, scheme, size):
    server, found = filled
    window = open_window(f"{server.url}/runs?token={server.token}", server.url, color_scheme=scheme)
    page: Page = window.page
    page.set_viewport_size(dict(zip(("width", "height"), SIZES[size], strict=True)))
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name, (address, stands) in addresses(found).items():
        page.goto(server.url + address)
        expect(page.locator(stands).first).to_be_attached()
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
    expect(page.locator("#chart-3 .main-svg").first).to_be_attached()
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
        if told[0] in ("Play captures", "Export figure", "Mean to vertex", "Tetrahedron (4 classes)"):
            assert told[1], f"{told[0]} shows that it has the focus"
    wanted = {"Clone", "Archive", "Export figure", "Tetrahedron (4 classes)", "Samples", "Mean to vertex"}
    assert wanted <= reached
    assert {"Play captures", "Loop", "Epoch", "About this chart", "Angle"} <= reached
    assert {"Training", "More metrics", "Confusion", "Notes"} <= reached
    page.keyboard.press("?")
    expect(page.locator("dialog#help")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("s")
    expect(page.locator("h1")).to_have_text("System")
    expect(page).to_have_title("System · Collapse Lab")
    assert window.complaints == []


def test_runs_are_found_folded_tagged_and_compared(filled, open_window):
    server, found = filled
    window = open_window(f"{server.url}/runs?token={server.token}", server.url)
    page: Page = window.page
    row = lambda run: page.locator(f'.ag-row[row-id="{run}"]').first
    expect(row(found["few"])).to_be_visible()
    # The filter completes fields and values; what is typed is in the address, and back undoes it.
    field = page.get_by_role("combobox", name="Filter runs")
    field.press_sequentially("hea")
    expect(page.get_by_role("option").first).to_contain_text("head:")
    field.press("ArrowDown")
    field.press("Enter")
    field.press_sequentially("fix")
    field.press("ArrowDown")
    field.press("Enter")
    expect(field).to_have_value("head:fixed-etf ")
    expect(row(found["few"])).to_have_count(0)
    expect(page.locator("a.row-link")).to_have_count(2)
    wait_for(lambda: "q=head%3Afixed-etf" in page.evaluate("() => location.search"), 5, "the filter in the address")
    page.go_back()
    expect(row(found["few"])).to_be_visible()
    field.fill("nc1<low")
    expect(page.locator('[data-part="filter-problem"]')).to_contain_text("nc1 is compared with a number, got 'low'")
    with window.forgiven(422):
        field.fill("")
        expect(row(found["few"])).to_be_visible()
    field.press("Escape")
    # Seeds fold into one row, which opens.
    page.get_by_role("button", name="Group by seed").click()
    fold = page.locator("button.group-toggle")
    expect(fold).to_have_count(1)
    fold.click()
    expect(page.locator("a.row-link.member")).to_have_count(2)
    page.get_by_role("button", name="Ungrouped").click()
    # A column that was chosen is still there after a reload.
    page.locator(".columns summary").click()
    page.get_by_label("Search columns").fill("optimiser.lr")
    page.locator('.columns input[data-field="optimiser.lr"]').check()
    page.keyboard.press("Escape")
    page.reload()
    expect(row(found["few"])).to_be_visible()
    shown = "dash_ag_grid.getApi('runs-grid').getColumnState().find((c) => c.colId === 'optimiser.lr').hide"
    wait_for(lambda: page.evaluate(f"() => {shown}") is False, 10, "the column")
    # Several at once: a tag, then the comparison.
    for run in (found["few"], found["linear"]):
        row(run).locator(".ag-selection-checkbox input").check()
    page.get_by_role("button", name="Tag", exact=True).click()
    page.get_by_label("Tag name", exact=True).fill("both")
    page.locator("dialog[open]").get_by_role("button", name="Add tag").click()
    expect(page.get_by_text("Tagged 2 runs.")).to_be_visible()
    with server.client() as http:
        assert http.get("/api/v1/runs?q=tag:both").json()["total"] == 2
    page.get_by_role("button", name="Compare 2").click()
    expect(page.locator("h1")).to_have_text("Compare")
    expect(page.locator(".compare-scene")).to_have_count(2)
    assert window.complaints == []


def test_a_sweep_is_launched_from_the_form(filled, open_window):
    server, _ = filled
    window = open_window(f"{server.url}/new?token={server.token}", server.url)
    page: Page = window.page
    page.goto(f"{server.url}/new")
    page.get_by_role("button", name="digits-linear").click()
    expect(page.locator('[data-field="epochs"] input')).to_have_value("20")
    page.locator('[data-field="epochs"] input').fill("1")
    page.get_by_label("Grid").fill("optimiser.lr")
    expect(page.locator("#new-grid-problem")).to_contain_text("a setting and its values")
    page.get_by_label("Grid").fill("optimiser.lr=0.05, 0.1")
    page.get_by_label("Seeds").fill("2")
    expect(page.get_by_role("button", name="Launch 4 runs")).to_be_enabled()
    expect(page.locator("#new-command")).to_contain_text("--grid optimiser.lr=0.05,0.1")
    expect(page.locator("#new-command")).to_contain_text("--seeds 2")
    page.get_by_role("button", name="Launch 4 runs").click()
    expect(page.locator("h1")).to_have_text("Runs")
    expect(page.locator("a.row-link")).to_have_count(4)
    with server.client() as http:
        held = http.get("/api/v1/runs?q=head:linear epochs:1").json()["items"]
    assert sorted((run["config"]["optimiser"]["lr"], run["config"]["seed"]) for run in held) == [
        (0.05, 0), (0.05, 1), (0.1, 0), (0.1, 1)
    ]  # fmt: skip
    assert window.complaints == []


def test_notes_are_kept_and_read_by_those_who_only_read(filled, open_window):
    server, found = filled
    with Client(server.url, server.token) as client:
        reading = client(calls.create_token("co-author", "read"))
    window = open_window(f"{server.url}/runs/{found['few']}?tab=notes&token={server.token}", server.url)
    page: Page = window.page
    page.goto(f"{server.url}/runs/{found['few']}?tab=notes")
    page.get_by_label("Notes (Markdown)").fill("A *first* look.")
    expect(page.locator("#run-notes-read em")).to_have_text("first")
    expect(page.get_by_text("Saved", exact=True)).to_be_visible()
    reader = open_window(f"{server.url}/runs/{found['few']}?token={reading.token}", server.url)
    reader.page.goto(f"{server.url}/runs/{found['few']}?tab=notes")
    expect(reader.page.locator("#run-notes-read em")).to_have_text("first")
    expect(reader.page.get_by_label("Notes (Markdown)")).to_have_count(0)
    expect(reader.page.get_by_role("link", name="Clone")).to_have_count(0)
    reader.page.goto(f"{server.url}/new")
    expect(reader.page.get_by_role("heading", name="Read-only access")).to_be_visible()
    reader.page.goto(f"{server.url}/runs")
    expect(reader.page.locator("a.row-link").first).to_be_visible()
    expect(reader.page.get_by_role("button", name="Delete")).to_have_count(0)
    assert window.complaints == reader.complaints == []


def test_mistakes_are_marked_and_pictured_and_the_frame_s_own_turn_is_drawn(filled, open_window):
    server, found = filled
    window = open_window(f"{server.url}/runs?token={server.token}", server.url)
    page: Page = window.page
    page.goto(f"{server.url}/runs/{found['few']}?epoch=0")
    page.get_by_role("button", name="Misclassified").click()
    wrong = "() => window.collapseLab.marks().filter((mark) => mark.wrong)"
    wait_for(lambda: len(page.evaluate(wrong)) > 50, 20, "before training most samples are wrong")
    wait_for(lambda: "mistakes" in page.evaluate("() => location.search"), 5, "the layer in the address")
    box = page.locator(".scene canvas").first.bounding_box()
    assert box is not None
    tip = page.locator('[data-part="tooltip"]')
    for mark in page.evaluate(wrong)[:20]:
        page.mouse.move(box["x"] + mark["x"], box["y"] + mark["y"])
        if "predicted as" in (tip.text_content() or ""):
            break
    expect(tip).to_contain_text("predicted as")
    expect(tip.locator("canvas")).to_be_visible()
    shades = tip.locator("canvas").evaluate(
        "c => [...new Set(c.getContext('2d').getImageData(0, 0, 8, 8).data)].length"
    )
    assert shades > 4, "the picture of a digit, not of nothing"
    # The frame's turn: its captures are fetched with their frames, and a vertex says by how much it turned.
    page.keyboard.press("ArrowRight")
    page.get_by_role("button", name="ETF rotation", exact=True).click()
    for vertex in 3 * page.evaluate("() => window.collapseLab.marks().filter((mark) => mark.kind === 'vertices')"):
        page.mouse.move(0, 0)
        page.mouse.move(box["x"] + vertex["x"], box["y"] + vertex["y"])
        page.wait_for_timeout(200)
        if "rotated by" in (tip.text_content() or ""):
            break
    expect(tip).to_contain_text("since the previous capture")
    # Both are part of the view: a reload shows them again.
    page.reload()
    expect(page.locator('button[data-layer="turn"]')).to_have_attribute("aria-pressed", "true")
    assert window.complaints == []


def test_a_comparison_follows_runs_that_go_on(filled, open_window):
    server, found = filled
    with Client(server.url, server.token) as client:
        config = client(calls.run(found["few"])).config.model_dump(mode="json")
        run = client(calls.launch({**config, "epochs": 2000, "seed": 9}, name="goes on")).id
        window = open_window(f"{server.url}/compare?runs={found['linear']},{run}&token={server.token}", server.url)
        page: Page = window.page
        page.goto(f"{server.url}/compare?runs={found['linear']},{run}")
        dot = page.locator('[data-part="connection"]')
        expect(dot).to_have_attribute("data-state", "live")
        place = page.locator('[data-shown="1"]')
        told = set()
        wait_for(lambda: told.add(place.text_content()) or len(told) >= 6, 60, "the newest epochs")
        curve = "() => document.querySelector('#compare-chart-0 .js-plotly-plot').data.map((trace) => trace.x.length)"
        before = max(page.evaluate(curve))
        wait_for(lambda: max(page.evaluate(curve)) > before, 30, "longer curves")
        client(calls.cancel(run))
    page.get_by_role("link", name="Runs", exact=True).click()
    expect(dot).not_to_have_attribute("data-state", "live")
    assert window.complaints == []
