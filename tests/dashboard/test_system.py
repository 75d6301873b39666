"""The queue's order as the system page changes it."""

from __future__ import annotations

import pytest

from backend.api import wire
from backend.api.routes import access, archives, catalogue, figures, gc, runs
from backend.api.security.audit import READ_ONLY_POSTS, SAFE_METHODS
from dashboard.pages import storage, system
from dashboard.pages.system import describe_action


def test_where_a_queued_run_goes():
    order = ["a", "b", "c"]
    assert system.find_successor(order, "c", "up") == "b"
    assert system.find_successor(order, "c", "first") == "a"
    assert system.find_successor(order, "a", "last") is None
    assert system.find_successor(order, "a", "up") == "a"
    with pytest.raises(ValueError, match="x"):
        system.find_successor(order, "x", "up")


def test_the_audit_log_describes_every_request_that_changes_something():
    routes = [route for module in (access, archives, catalogue, figures, gc, runs) for route in module.router.routes]
    actions = [f"{method} {route.path}" for route in routes for method in route.methods - SAFE_METHODS]
    changing = [action for action in actions if action.partition(" ")[2] not in READ_ONLY_POSTS]
    assert len(changing) >= 20
    assert [action for action in changing if describe_action(action) == action] == []
    assert describe_action("POST /api/v1/runs/abc/cancel") == "Cancelled run"
    assert describe_action("POST /api/v1/else") == "POST /api/v1/else"


def rows(table) -> list[list[str]]:
    def words(part) -> str:
        if isinstance(part, list):
            return "".join(map(words, part))
        return words(part.children) if hasattr(part, "children") else str(part or "")

    return [[words(cell) for cell in row.children] for row in table.children[-1].children]


def test_what_is_wrong_stands_first():
    found = [
        wire.CheckResult(what="PyTorch", ok=True, found="2.14", remedy="", required=True),
        wire.CheckResult(what="GPU", ok=False, found="none", remedy="install its driver", required=False),
        wire.CheckResult(what="data directory", ok=False, found="not writable", remedy="chmod", required=True),
    ]
    assert [(row[0], row[1]) for row in rows(system.diagnostics_view(found))] == [
        ("Missing", "data directory"),
        ("Optional, missing", "GPU"),
        ("OK", "PyTorch"),
    ]


def words(part) -> str:
    if isinstance(part, list):
        return "".join(map(words, part))
    return words(part.children) if hasattr(part, "children") else str(part or "")


def test_a_preview_s_button_says_what_it_deletes_and_carries_the_plan():
    item = wire.GcItem(kind="captures", what="captures of a finished run", run_id="abc", count=12, size_bytes=2_800_000)
    plan = wire.GcPlan(
        id="0123456789abcdef", created_at="", expires_at="", count=12, size_bytes=2_800_000, items=[item], skipped=[]
    )
    listed, button = storage.plan_view(plan)
    assert rows(listed) == [["captures of a finished run", "abc", "12", "2.8 MB"]]
    assert button.children == "Delete 12 files (2.8 MB)"
    assert button.id == {"storage": "delete", "target": "0123456789abcdef"}
    many = storage.plan_view(plan.model_copy(update={"items": [item] * 60}))
    assert words(many[1]) == "and 10 more", "what is deleted and not listed is told"
    nothing = storage.plan_view(plan.model_copy(update={"items": []}))
    assert [words(part) for part in nothing] == ["Nothing to delete"]


def test_what_was_left_is_told_with_its_reason():
    left = wire.GcSkipped(kind="captures", what="captures", run_id="abc", path="runs/abc/x", reason="it changed")
    result = wire.GcResult(count=1, size_bytes=1000, items=[], skipped=[left], entry="20260131T120000Z-0")
    told = storage.result_view("Deleted", result)
    assert words(told[0]).startswith("Deleted 1 file (1 kB). They are in the trash")
    assert rows(told[2]) == [["runs/abc/x", "it changed"]]
