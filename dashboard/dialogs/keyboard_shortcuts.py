"""The dialog that lists every keyboard shortcut."""

from __future__ import annotations

from typing import Any

from dash import html

from backend.api.page_constants import LAYERS
from dashboard import ids

TITLE = "Keyboard shortcuts"
SHORTCUTS = (
    ("space", "Play or pause"),
    ("← →", "Previous or next capture; with shift, ten captures"),
    ("home end", "First or latest capture"),
    ("1 2 3 …", "Select the view"),
    *((layer.shortcut, f"Toggle layer: {layer.label}") for layer in LAYERS),
    ("esc", "Clear selection"),
    ("e", "Export figure"),
    ("g then r n c s", "Go to Runs, New run, Compare, System"),
    ("/", "Filter runs"),
    ("arrows + − 0", "In the scene: rotate, zoom, reset the camera"),
    ("?", "Show shortcuts"),
)
"""Every shortcut and what it does."""


def dialog() -> Any:
    """Return the dialog, closed; assets/js/core/keyboard.mjs opens it."""
    rows = [html.Div([html.Dt(html.Kbd(keys)), html.Dd(action)]) for keys, action in SHORTCUTS]
    tour = html.Button("Start guided tour", className="quiet", **{"data-tour": "begin"})
    close = html.Form(html.Button("Close", className="quiet"), method="dialog")
    return html.Dialog(
        [html.H2(TITLE), html.Dl(rows), html.Div([tour, close], className="row")],
        id=ids.SHORTCUTS,
        className="help",
        **{"aria-label": TITLE},
    )
