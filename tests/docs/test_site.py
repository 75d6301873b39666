"""The documentation: it builds without a warning, its links lead somewhere, and a server has it at /docs, offline."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx2
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import expect

import ncengine as nc
from backend.api.routes import docs
from backend.api.security.permissions import REQUIREMENTS
from ncfigures.catalogue import FIGURES
from tests.harness import end_workers
from tests.loop_timing import timed_server

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_MS = 30_000


class Links(HTMLParser):
    """Collects the ids, links and files that a page refers to, and the text of its scripts."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.targets: list[str] = []
        self.inline_scripts = 0
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = dict(attrs)
        self.ids |= {held["id"]} if held.get("id") else set()
        self.targets += [held[name] for name in ("href", "src") if held.get(name)]
        self.inline_scripts += tag == "script" and "src" not in held
        self.inline_scripts += any(name.startswith("on") for name in held)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The documentation as `make docs` builds it, in a folder of its own; mkdocs.yml makes warnings errors."""
    folder = tmp_path_factory.mktemp("documentation") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr, done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, Links]:
    return {page: Links(page) for page in sorted(site.rglob("*.html"))}


def test_every_link_leads_to_a_file_and_a_section_of_the_site(site, pages):
    assert len(pages) > 25
    dead = []
    for page, links in pages.items():
        for target in links.targets:
            parts = urlsplit(target)
            if parts.scheme or target == "/":  # elsewhere; and the dashboard, which a server shows
                continue
            file = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            file = file / "index.html" if file.is_dir() else file
            known = file.is_relative_to(site) and file.is_file()
            if not known or (parts.fragment and unquote(parts.fragment) not in pages[file].ids):
                dead.append(f"{page.relative_to(site)}: {target}")
    assert dead == []


def test_nothing_is_loaded_from_elsewhere_and_no_script_is_inline(site, pages):
    for page, links in pages.items():
        assert links.inline_scripts == 0, page
        loaded = re.findall(r"<(?:script|img|link)[^>]+(?:src|href)=\"(https?:[^\"]+)", page.read_text())
        assert loaded == [], page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()[\s'\"]*https?:", sheet.read_text()), sheet


def test_reference_pages_have_everything_that_the_code_has(site, pages):
    reference = {name: (site / f"reference/{name}.html").read_text() for name in ("metrics", "figures", "http")}
    for spec in nc.catalogue():
        assert f"<code>{spec.key}</code>" in reference["metrics"], spec.key
    for figure in FIGURES:
        assert f"<code>{figure}</code>" in reference["figures"], figure
    for operation in REQUIREMENTS:
        if "/api/v1/" in operation and "openapi.json" not in operation:
            assert operation in reference["http"], operation
    python = pages[site / "reference/python.html"].ids
    places = {name: ".".join(nc._WHERE[name]) for name in nc.__all__}
    assert {name for name, path in places.items() if path not in python} == set()


def test_the_metrics_page_has_the_numbers_of_the_runs(site):
    values = json.loads((ROOT / "docs/pictures/metrics/values.json").read_text())["runs"]["balanced"]
    shown = ", ".join(
        f"{name} {values[at]['scalars']['nc1']:.3g}" for at, name in enumerate(("start", "terminal phase", "collapse"))
    )
    assert f"Here: {shown}." in (site / "reference/metrics.html").read_text()


@pytest.fixture(scope="module")
def drawings():
    sys.path.insert(0, str(ROOT / "scripts"))
    yield importlib.import_module("metric_drawings").DRAWINGS
    sys.path.remove(str(ROOT / "scripts"))


def test_every_drawing_of_a_metric_has_a_picture(drawings):
    keys = [spec.key for spec in nc.catalogue() if spec.key in drawings]
    assert set(drawings) == set(keys)
    pictures = ROOT / "docs/pictures/metrics"
    for key in keys:
        with Image.open(pictures / f"{key}.png") as picture:
            assert picture.size[0] > 2 * picture.size[1], key
    assert {path.stem for path in pictures.glob("*.png")} == set(keys)


def test_the_runs_got_from_the_start_through_the_terminal_phase_to_collapse():
    for name, three in json.loads((ROOT / "docs/pictures/metrics/values.json").read_text())["runs"].items():
        start, phase, collapse = three
        assert start["epoch"] == 1
        assert start["scalars"]["top1"] < 0.999 <= phase["scalars"]["top1"]
        assert start["epoch"] < phase["epoch"] < collapse["epoch"] == 150
        # A long tail keeps class means off the simplex ETF.
        for key in ("nc1", "cdnv", "nc3_distance", *(("nc2_etf_means",) if name == "balanced" else ())):
            assert collapse["scalars"][key] < phase["scalars"][key] < start["scalars"][key], key


def test_a_server_has_the_documentation_and_its_search_works_offline(site, store, browser, monkeypatch):
    monkeypatch.setattr(docs, "SITE", site)
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    try:
        with timed_server(store) as server:
            page = context.new_page()
            complaints: list[str] = []
            page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("request", lambda sent: complaints.append(sent.url) if not _is_own(sent.url, server.url) else None)
            page.goto(f"{server.url}/docs?token={server.token}")
            page.get_by_label("Search the documentation").fill("nc3_distance")
            page.locator("#results a").first.click(timeout=PATIENCE_MS)
            expect(page).to_have_url(re.compile(r"/docs/reference/metrics\.html#"), timeout=PATIENCE_MS)
            page.goto(f"{server.url}/docs/design/backend.html")
            found = Axe().run(page).response["violations"]
            assert [violation["id"] for violation in found] == []
            page.get_by_role("link", name="Dashboard", exact=True).click()
            link = page.get_by_role("link", name="Docs")
            expect(link).to_be_visible(timeout=PATIENCE_MS)
            assert link.get_attribute("href") == "/docs/"
            assert complaints == []
    finally:
        context.close()
        end_workers(store)


def _is_own(url: str, server: str) -> bool:
    return url.startswith((server, "data:", "blob:", server.replace("http", "ws", 1)))


def test_without_a_site_the_pages_have_no_link_and_the_address_says_what_to_do(store, browser, monkeypatch, tmp_path):
    monkeypatch.setattr(docs, "SITE", tmp_path / "nothing")
    (tmp_path / "secret").write_text("not to be read")
    context = browser.new_context()
    try:
        with timed_server(store) as server:
            page = context.new_page()
            page.goto(f"{server.url}/docs/?token={server.token}")
            expect(page.locator("body")).to_contain_text("make docs", timeout=PATIENCE_MS)
            page.goto(f"{server.url}/system")
            expect(page.locator("#device")).not_to_be_empty(timeout=PATIENCE_MS)
            expect(page.locator("#documentation")).to_be_hidden()
            headers = {"authorization": f"Bearer {server.token}"}
            with httpx2.Client(base_url=server.url, headers=headers) as http:
                assert http.get("/docs/%2e%2e/secret").status_code == 404
                assert http.get("/docs/..%2fsecret").status_code == 404
                assert http.get("/api/v1/system").json()["documentation"] is False
            assert httpx2.get(f"{server.url}/docs/").status_code == 401
    finally:
        context.close()
        end_workers(store)


def test_make_docs_writes_where_the_server_looks():
    text = (ROOT / "mkdocs.yml").read_text()
    assert ROOT / re.search(r"^site_dir: (\S+)", text, re.M).group(1) == docs.SITE
    done = subprocess.run(["make", "-n", "docs"], cwd=ROOT, capture_output=True, text=True, env=dict(os.environ))
    assert "mkdocs build" in done.stdout
