"""The dialog that lists every keyboard shortcut."""

from __future__ import annotations

from typing import Any

from dash import html

from dashboard import ids

KEYS = (
    ("space", "play and pause"),
    ("← →", "one capture back or on; with shift ten"),
    ("home end", "the first capture; back to the newest"),
    ("1 2 3 …", "the picture: spherical, four classes, PCA, tour, angles"),
    ("f t c n a m o", "features, trails, classifier, names, arrows, mistakes, own turn on or off"),
    ("esc", "let no class stand out"),
    ("e", "export a figure; a figure's file dropped on a page opens its view"),
    ("g then r n c s", "go to runs, a new run, the comparison, the system"),
    ("/", "filter the list of runs"),
    ("arrows, + −, 0 in the picture", "turn it, zoom, and back"),
    ("?", "this sheet"),
)
"""Every key and what it does."""


def dialog() -> Any:
    """Return the sheet of keys, closed; assets/js/core/keyboard.mjs opens it."""
    rows = [html.Div([html.Dt(html.Kbd(key)), html.Dd(words)]) for key, words in KEYS]
    return html.Dialog(
        [
            html.H2("Keys"),
            html.Dl(rows),
            html.Div(
                [
                    html.Button("Take the tour of a run's page", className="quiet", **{"data-tour": "begin"}),
                    html.Form(html.Button("Close", className="quiet"), method="dialog"),
                ],
                className="row",
            ),
        ],
        id=ids.HELP,
        className="help",
        **{"aria-label": "Keys"},
    )
