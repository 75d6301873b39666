"""The queue's order as the system page changes it."""

from __future__ import annotations

import pytest

from dashboard.pages import system


def test_where_a_queued_run_goes():
    order = ["a", "b", "c"]
    assert system.target(order, "c", "up") == "b"
    assert system.target(order, "c", "first") == "a"
    assert system.target(order, "a", "last") is None
    assert system.target(order, "a", "up") == "a"
    with pytest.raises(ValueError, match="x"):
        system.target(order, "x", "up")
