"""The dialog of keyboard shortcuts, and the guided tour of a run's page.

The tour starts by itself on the demonstration's page until it is ended once; the dialog of shortcuts starts it again.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from dash import html

from backend.api.page_constants import LAYERS
from dashboard import ids

SHORTCUTS_TITLE = "Keyboard shortcuts"
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


def shortcuts_dialog() -> Any:
    """Return the dialog, closed; assets/js/pages/shell.mjs opens it."""
    rows = [html.Div([html.Dt(html.Kbd(keys)), html.Dd(action)]) for keys, action in SHORTCUTS]
    tour = html.Button("Start guided tour", className="quiet", **{"data-tour": "begin"})
    close = html.Form(html.Button("Close", className="quiet"), method="dialog")
    return html.Dialog(
        [html.H2(SHORTCUTS_TITLE), html.Dl(rows), html.Div([tour, close], className="row")],
        id=ids.SHORTCUTS,
        className="help",
        **{"aria-label": SHORTCUTS_TITLE},
    )


class TourStep(NamedTuple):
    """A step of the guided tour: the `data-part` that is outlined, and what is said about it."""

    part: str
    title: str
    text: str


TOUR_STEPS = (
    TourStep(
        "canvas",
        "Class means, live",
        "A network learns to separate classes. Each filled dot is the mean of one class's penultimate features, each "
        "open ring the vertex of the nearest simplex ETF that it approaches. When dots and rings coincide, the network "
        "has collapsed. Drag to rotate, scroll to zoom, double-click to reset the camera.",
    ),
    TourStep(
        "slider",
        "Replay of every epoch",
        "Move the slider, or press space to play. The run continues meanwhile; “Go to live” returns to its latest "
        "capture. The address contains the view: copy it to share what you see.",
    ),
    TourStep(
        "readings",
        "Degree of collapse",
        "NC1 is the variability within classes, NC2 the deviation from equal angles, NC3 the distance between the "
        "classifier and the class means. All of them tend to zero. Hover over a name for its formula.",
    ),
    TourStep(
        "angles",
        "Angles between classes",
        "The cosine between every two class means. The colour scale is centred on −1/(K − 1), its value at collapse: "
        "the heatmap fades as the run collapses. Red pairs are too close to each other.",
    ),
    TourStep(
        "curves",
        "Metrics over epochs",
        "Hover over an epoch in one chart: the other charts, the scene and the values above show it too. The list has "
        "all metrics; “?” explains those that are shown.",
    ),
    TourStep(
        "legend",
        "Highlighting a class",
        "Click a class here, in the scene or in the table below to highlight it everywhere. Escape clears the "
        "selection.",
    ),
    TourStep(
        "details",
        "Details",
        "Classes, confusion, margins, spectra, the log, attempts, files, notes and the config of the run.",
    ),
    TourStep(
        "actions",
        "Export and next runs",
        "Export figure saves this view as a vector figure. Clone starts a new run from these settings, New run from a "
        "preset. Select several runs in Runs to compare them.",
    ),
)


def tour_dialog() -> Any:
    """Return the tour's panel, hidden; assets/js/pages/shell.mjs shows the steps in it."""
    buttons = [
        html.Span("", className="ink-2", **{"data-tour": "position"}),
        html.Button("Don't show again", type="button", className="quiet", **{"data-tour": "end"}),
        html.Button("Back", type="button", className="quiet", **{"data-tour": "back"}),
        html.Button("Next", type="button", className="primary", **{"data-tour": "next"}),
    ]
    content = [html.B("", **{"data-tour": "title"}), html.P("", **{"data-tour": "text"})]
    steps = json.dumps([step._asdict() for step in TOUR_STEPS])
    return html.Div(
        [*content, html.Div(buttons, className="row")],
        id=ids.TOUR,
        className="tour",
        hidden=True,
        role="dialog",
        **{"aria-label": "Guided tour", "aria-live": "polite", "data-steps": steps},
    )
