"""Windows of a real Chromium; errors on their console are collected."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.harness import open_chromium


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = open_chromium(playwright)
        yield opened
        opened.close()


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
