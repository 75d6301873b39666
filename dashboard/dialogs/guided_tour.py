"""The guided tour of a run's page: what to look at, in the order in which it makes sense. Two minutes, once.

It begins by itself on the demonstration's page and is dismissed for ever; the sheet of keys begins it again.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from dash import html

from dashboard import ids


class Step(NamedTuple):
    """One stop: the part of the page that is framed, and what is said of it."""

    part: str
    title: str
    words: str


STEPS = (
    Step(
        "canvas",
        "The class means, live",
        "A network learns to tell classes apart. Each filled dot is the mean of one class's penultimate "
        "features, each open ring the vertex of the nearest simplex ETF it moves to. When every ring is filled, the "
        "network has collapsed. Drag to turn it, scroll to zoom, double-click to go home.",
    ),
    Step(
        "slider",
        "Any epoch again",
        "Scrub, or press space to play. The run goes on meanwhile; “back to live” returns to it. The address holds "
        "what you see: copy it, and others see the same.",
    ),
    Step(
        "readings",
        "How far it has come",
        "NC1 is the spread inside classes, NC2 how unequal the angles are, NC3 how far the classifier is from the "
        "means. All of them go to zero. Hover a name for its formula and source.",
    ),
    Step(
        "angles",
        "Every pair of classes",
        "The cosine between every two class means. The scale is centred on −1/(K − 1): the picture fades as the run "
        "collapses. What stays red is confused.",
    ),
    Step(
        "curves",
        "All metrics over epochs",
        "Point at an epoch in one chart: the others, the scene and the readings show it too. More metrics are in the "
        "list; “?” explains those that are shown.",
    ),
    Step(
        "legend",
        "One class at a time",
        "Click a class here, in the scene or in the table below: it stands out everywhere. Escape lets go.",
    ),
    Step(
        "details",
        "Behind the picture",
        "Classes, confusion, margins, spectra, the log, every attempt, files and your own notes.",
    ),
    Step(
        "actions",
        "Into a paper, or the next run",
        "Export figure makes a vector figure of this very view. Clone begins a new run from these settings, New run "
        "one from a preset; in Runs several are chosen to compare.",
    ),
)


def dialog() -> Any:
    """Return the tour's panel, hidden; assets/js/pages/guided-tour.mjs leads through it."""
    return html.Div(
        [
            html.B("", **{"data-tour": "title"}),
            html.P("", **{"data-tour": "words"}),
            html.Div(
                [
                    html.Span("", className="ink-2", **{"data-tour": "place"}),
                    html.Button("Never again", type="button", className="quiet", **{"data-tour": "end"}),
                    html.Button("Back", type="button", className="quiet", **{"data-tour": "back"}),
                    html.Button("Next", type="button", className="primary", **{"data-tour": "next"}),
                ],
                className="row",
            ),
        ],
        id=ids.TOUR,
        className="tour",
        hidden=True,
        role="dialog",
        **{"aria-label": "Guided tour", "aria-live": "polite", "data-steps": json.dumps([s._asdict() for s in STEPS])},
    )
