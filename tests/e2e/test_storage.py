"""The panel "Storage" as people use it: what is deleted is what was previewed, whatever the fields say by then."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from backend.store.database import open_store
from backend.store.gc import trash
from tests.backend import gc_store
from tests.backend.gc_store import delete_long_ago, finished_run
from tests.e2e.test_pages import PICTURES
from tests.harness import wait_for
from tests.repetitions import exhaustive_except

PATIENCE_MS = 20_000


@pytest.fixture
def store(tmp_path):
    """A store with a finished run and one whose week is over, before a server opens it."""
    opened = open_store(tmp_path / "data")
    for _ in range(2):
        finished_run(opened)
    yield opened
    opened.close()


def panel(page: Page):
    found = page.get_by_role("region", name="Storage")
    expect(found.get_by_text("Trash is empty").or_(found.get_by_text("Empty trash"))).to_be_visible(timeout=PATIENCE_MS)
    return found


@pytest.mark.parametrize("scheme", exhaustive_except(["light", "dark"], ["light"]))
def test_the_button_deletes_what_was_previewed_and_nothing_else(store, start_server, open_window, scheme):
    first, second = (row["id"] for row in gc_store.rows(store)["run"])
    delete_long_ago(store, first)
    before = gc_store.files(store)
    sizes = {path: len(content) for path, content in before.items()}
    whole = {path for path in sizes if path.startswith(f"runs/{first}/")}
    more = whole | {path for path in sizes if path.startswith(f"runs/{second}/checkpoint")}
    assert (len(whole), len(more)) == (10, 12)
    ten, twelve = (f"{len(paths)} files ({sum(map(sizes.get, paths)) / 1e3:.3g} kB)" for paths in (whole, more))
    server = start_server("--no-demonstration", "--no-warm")
    window = open_window(f"{server.url}/system?token={server.token}", server.url, color_scheme=scheme)
    page: Page = window.page
    storage = panel(page)
    preview, delete = (
        storage.get_by_role("button", name="Preview clean-up"),
        storage.get_by_role("button", name="Delete"),
    )
    checkpoints = storage.get_by_label("Checkpoints of finished runs")
    # Preview: the run whose week is over, ten files of it.
    preview.click()
    expect(delete).to_have_text(f"Delete {ten}", timeout=PATIENCE_MS)
    # Changed fields hide what was previewed with others; nothing is deleted by that.
    checkpoints.check()
    expect(delete).to_have_count(0)
    assert gc_store.files(store) == before
    preview.click()
    expect(delete).to_have_text(f"Delete {twelve}", timeout=PATIENCE_MS)
    expect(storage.locator("tbody tr")).to_have_count(2)
    _look(page, f"storage-preview-{scheme}")
    # The other run's week ends meanwhile, and the fields change in the moment of the click: what counts is the preview.
    delete_long_ago(store, second)
    page.evaluate(
        """() => {
            const section = document.querySelector('section[aria-label="Storage"]');
            const button = [...section.querySelectorAll('button')].find(each => each.textContent.startsWith('Delete'));
            section.querySelector('input[type="checkbox"]').click();
            button.click();
        }"""
    )
    expect(storage.get_by_text(f"Deleted {ten}.")).to_be_visible(timeout=PATIENCE_MS)
    expect(storage.get_by_text("the run was deleted since the preview, or is no longer finished")).to_be_visible()
    gone = {path for path in before if path not in gc_store.files(store)}
    assert gone == whole, "exactly what was previewed, as far as it is still eligible"
    expect(delete).to_have_count(0)
    _look(page, f"storage-deleted-{scheme}")
    # The trash: an entry comes back; emptying asks.
    storage.get_by_role("button", name="Restore").click()
    expect(storage.get_by_text(f"Restored {ten}.")).to_be_visible(timeout=PATIENCE_MS)
    expect(storage.get_by_text("Trash is empty")).to_be_visible()
    assert gc_store.files(store) == before
    preview.click()
    delete.click()
    expect(storage.get_by_text(f"Deleted {ten}.")).to_be_visible(timeout=PATIENCE_MS)
    remove = storage.get_by_role("button", name=f"Permanently delete {ten}")
    expect(remove).to_be_hidden()
    storage.get_by_text("Empty trash").click()
    _look(page, f"storage-empty-{scheme}")
    assert len(trash.list_entries(store)) == 1
    remove.click()
    expect(storage.get_by_text(f"Permanently deleted {ten}")).to_be_visible(timeout=PATIENCE_MS)
    wait_for(lambda: trash.list_entries(store) == [], 5, "the trash's end")
    left = [path for path in (store.data_dir / "trash").rglob("*") if path.is_file()]
    assert left == [], "the disk has the bytes back"
    expect(storage.get_by_text("Trash is empty")).to_be_visible()
    assert window.complaints == []


def _look(page: Page, name: str) -> None:
    """Keep a picture for people, and let axe look."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png", full_page=True)
    assert [each["id"] for each in Axe().run(page).response["violations"]] == []
