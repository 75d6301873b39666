"""What the server logs."""

from __future__ import annotations

import json
import logging
from types import SimpleNamespace

import pytest

from backend.api import logs


@pytest.fixture
def service_log(tmp_path):
    """The file that the service's logger writes to, for the time of the test."""
    ours = logging.getLogger("collapse")
    before = ours.level, ours.propagate, ours.handlers
    logs.log_to(tmp_path / "server.log")
    yield tmp_path / "server.log"
    for handler in ours.handlers:
        handler.close()
    ours.level, ours.propagate, ours.handlers = before


def test_a_warning_that_repeats_is_written_once_a_minute(service_log, monkeypatch):
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(logs, "time", SimpleNamespace(monotonic=lambda: clock.now))
    log = logging.getLogger("collapse.test")
    for second in range(120):
        clock.now = 1000.0 + second
        log.warning("the database cannot be reached (%s)", "locked")
        if second in (3, 4):
            log.warning("another warning, number %d", second)
            log.info("a fact")
    written = [json.loads(line)["message"] for line in service_log.read_text().splitlines()]
    assert written == [
        "the database cannot be reached (locked)",
        *("another warning, number 3", "a fact"),
        *("another warning, number 4", "a fact"),
        "the database cannot be reached (locked)",
    ]


def test_errors_with_different_causes_are_both_written(service_log):
    log = logging.getLogger("collapse.test")
    for cause in ("first", "second", "second"):
        try:
            raise ValueError(cause)
        except ValueError:
            log.exception("it failed")
    assert [json.loads(line)["traceback"].splitlines()[-1] for line in service_log.read_text().splitlines()] == [
        "ValueError: first",
        "ValueError: second",
    ]
