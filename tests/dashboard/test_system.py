"""The queue's order as the system page changes it."""

from __future__ import annotations

import pytest

from backend import wire
from dashboard.pages import system


def test_where_a_queued_run_goes():
    order = ["a", "b", "c"]
    assert system.target(order, "c", "up") == "b"
    assert system.target(order, "c", "first") == "a"
    assert system.target(order, "a", "last") is None
    assert system.target(order, "a", "up") == "a"
    with pytest.raises(ValueError, match="x"):
        system.target(order, "x", "up")


def rows(table) -> list[list[str]]:
    def words(part) -> str:
        if isinstance(part, list):
            return "".join(map(words, part))
        return words(part.children) if hasattr(part, "children") else str(part or "")

    return [[words(cell) for cell in row.children] for row in table.children[-1].children]


def test_what_is_wrong_stands_first():
    found = [
        wire.Finding(what="PyTorch", ok=True, found="2.14", remedy="", required=True),
        wire.Finding(what="GPU", ok=False, found="none", remedy="install its driver", required=False),
        wire.Finding(what="data directory", ok=False, found="not writable", remedy="chmod", required=True),
    ]
    assert [(row[0], row[1]) for row in rows(system.findings(found))] == [
        ("missing", "data directory"),
        ("not here, not needed", "GPU"),
        ("works", "PyTorch"),
    ]


def test_what_can_be_freed_is_told_by_size():
    item = wire.Freed(what="stray files", run_id=None, count=3, size_bytes=2_000_000)
    said, table = system.freed(wire.Cleaned(freed=False, size_bytes=2_000_000, items=[item]))
    assert said.children.children == "Can be freed: 2 MB"
    assert rows(table) == [["stray files", "", "3", "2 MB"]]
    said, nothing = system.freed(wire.Cleaned(freed=True, size_bytes=0, items=[]))
    assert said.children.children == "Freed: 0 bytes"
    assert nothing.children == "Nothing can be freed."
