"""Descriptions of the audit log's actions, which it has as HTTP method and path."""

from __future__ import annotations

import re

PREFIX = "/api/v1"
ACTIONS = (
    ("POST /runs", "Launched run"),
    ("POST /sweeps", "Launched sweep"),
    ("POST /runs/{}/clone", "Cloned run"),
    ("POST /runs/bulk", "Changed several runs"),
    ("POST /runs/{}/move", "Moved run in queue"),
    ("PATCH /runs/{}", "Edited run"),
    ("DELETE /runs/{}", "Deleted run"),
    ("POST /runs/{}/restore", "Restored run"),
    ("POST /runs/{}/cancel", "Cancelled run"),
    ("POST /runs/{}/pause", "Paused run"),
    ("POST /runs/{}/resume", "Resumed run"),
    ("POST /runs/{}/retry", "Retried run"),
    ("POST /imports", "Imported archive"),
    ("POST /tokens", "Created access token"),
    ("DELETE /tokens/{}", "Revoked access token"),
    ("POST /gc", "Previewed clean-up"),
    ("POST /gc/{}/delete", "Deleted files"),
    ("POST /trash/restore", "Restored files"),
    ("POST /trash/empty", "Emptied trash"),
    ("POST /logout", "Logged out"),
)
"""Methods and paths below the prefix, `{}` for an id, and their descriptions."""
_PATTERNS = tuple((re.escape(route).replace(r"\{\}", "[^/]+"), text) for route, text in ACTIONS)


def describe_action(action: str) -> str:
    """Return the description of an action such as `POST /api/v1/runs/abc/cancel`, or the action itself if unknown."""
    route = action.replace(f" {PREFIX}/", " /", 1)
    return next((text for pattern, text in _PATTERNS if re.fullmatch(pattern, route)), action)
