"""The guided tour of a run's page: what each part shows, in the order in which it is understood.

It starts by itself on the demonstration's page until it is ended once; the dialog of shortcuts starts it again.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from dash import html

from dashboard import ids


class Step(NamedTuple):
    """A step of the tour: the `data-part` that is outlined, and what is said about it."""

    part: str
    title: str
    text: str


STEPS = (
    Step(
        "canvas",
        "Class means, live",
        "A network learns to separate classes. Each filled dot is the mean of one class's penultimate features, each "
        "open ring the vertex of the nearest simplex ETF that it approaches. When dots and rings coincide, the network "
        "has collapsed. Drag to rotate, scroll to zoom, double-click to reset the camera.",
    ),
    Step(
        "slider",
        "Replay of every epoch",
        "Move the slider, or press space to play. The run continues meanwhile; “Go to live” returns to its latest "
        "capture. The address contains the view: copy it to share what you see.",
    ),
    Step(
        "readings",
        "Degree of collapse",
        "NC1 is the variability within classes, NC2 the deviation from equal angles, NC3 the distance between the "
        "classifier and the class means. All of them tend to zero. Hover over a name for its formula.",
    ),
    Step(
        "angles",
        "Angles between classes",
        "The cosine between every two class means. The colour scale is centred on −1/(K − 1), its value at collapse: "
        "the heatmap fades as the run collapses. Red pairs are too close to each other.",
    ),
    Step(
        "curves",
        "Metrics over epochs",
        "Hover over an epoch in one chart: the other charts, the scene and the values above show it too. The list has "
        "all metrics; “?” explains those that are shown.",
    ),
    Step(
        "legend",
        "Highlighting a class",
        "Click a class here, in the scene or in the table below to highlight it everywhere. Escape clears the "
        "selection.",
    ),
    Step(
        "details",
        "Details",
        "Classes, confusion, margins, spectra, the log, attempts, files, notes and the config of the run.",
    ),
    Step(
        "actions",
        "Export and next runs",
        "Export figure saves this view as a vector figure. Clone starts a new run from these settings, New run from a "
        "preset. Select several runs in Runs to compare them.",
    ),
)


def dialog() -> Any:
    """Return the tour's panel, hidden; assets/js/pages/guided-tour.mjs shows the steps in it."""
    buttons = [
        html.Span("", className="ink-2", **{"data-tour": "position"}),
        html.Button("Don't show again", type="button", className="quiet", **{"data-tour": "end"}),
        html.Button("Back", type="button", className="quiet", **{"data-tour": "back"}),
        html.Button("Next", type="button", className="primary", **{"data-tour": "next"}),
    ]
    content = [html.B("", **{"data-tour": "title"}), html.P("", **{"data-tour": "text"})]
    steps = json.dumps([step._asdict() for step in STEPS])
    return html.Div(
        [*content, html.Div(buttons, className="row")],
        id=ids.TOUR,
        className="tour",
        hidden=True,
        role="dialog",
        **{"aria-label": "Guided tour", "aria-live": "polite", "data-steps": steps},
    )
