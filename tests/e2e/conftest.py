"""Windows of a real Chromium; errors on their console are collected."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Page, expect

from backend.client import Client, calls
from tests.harness import ServerProcess, wait_for

expect.set_options(timeout=20_000)
"""Milliseconds that a page has for what is expected of it; Playwright's own 5,000 are too few on a slow machine."""


@dataclass
class Window:
    """A page and everything that went wrong on it."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def forgiven(self, status: int) -> Iterator[None]:
        """Leave out what the console says of answers of this status, which the page has asked for."""
        yield
        mark = str(status)
        self.complaints[:] = [text for text in self.complaints if mark not in text]

    def listen(self, own: str) -> None:
        say = self.complaints.append
        self.page.on("console", lambda m: say(f"console: {m.text}") if m.type == "error" else None)
        self.page.on("pageerror", lambda error: say(f"page: {error}"))
        self.page.on("response", lambda r: say(f"{r.status}: {r.url}") if r.status >= 400 else None)
        self.page.on("request", lambda r: None if r.url.startswith((own, "data:", "blob:")) else say(f"to: {r.url}"))


@pytest.fixture
def open_window(browser: Browser) -> Iterator[object]:
    contexts = []

    def open_at(url: str, own: str, **options: object) -> Window:
        context = browser.new_context(viewport={"width": 1440, "height": 900}, **options)
        contexts.append(context)
        window = Window(context.new_page())
        window.listen(own)
        window.page.goto(url)
        return window

    yield open_at
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def filled(tmp_path_factory):
    """A server with runs of every kind that pages tell apart."""
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
