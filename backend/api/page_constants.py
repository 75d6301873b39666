"""Constants that Python and the browser share, as one JSON that is embedded into each page.

`dashboard/assets/js/core/constants.mjs` reads it. A constant that both need is defined here, or where it belongs in the
backend, the figures or the engine, and never in JavaScript.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, NamedTuple

from backend.api import run_groups
from backend.store.event_payloads import PAYLOADS
from backend.store.run_status import ENDED, TRANSITIONS
from backend.store.validation import MAX_NAME_LENGTH, MAX_TAG_LENGTH
from ncengine.geometry.projections import VIEWS as PROJECTED_VIEWS
from ncengine.geometry.views import WHOLE_FRAME_UP_TO
from ncfigures import palette
from ncfigures.figure_spec import MIN_LOG_RATIO, Camera

__all__ = [
    "LAYERS",
    "MAX_COMPARED_RUNS",
    "MAX_FRAME_CLASSES",
    "MAX_NAME_LENGTH",
    "MAX_PAGE_GROUPS",
    "MAX_PAGE_RUNS",
    "MAX_ROTATION_CLASSES",
    "MAX_STREAMED_RUNS",
    "MAX_TAG_LENGTH",
    "VIEWS",
    "Layer",
    "View",
    "page_constants",
    "script_element",
]

ELEMENT_ID = "page-constants"
MAX_STREAMED_RUNS = 32
"""Runs that one stream of events may follow."""
MAX_PAGE_RUNS = 500
"""Runs in one page of a list."""
MAX_PAGE_GROUPS = 2000
"""Groups in one list of groups."""
MAX_COMPARED_RUNS = 25 * run_groups.MAX_CONFIGURATIONS
"""Runs that are compared: 25 seeds for each configuration."""
MAX_FRAME_CLASSES = WHOLE_FRAME_UP_TO
"""Classes up to which coordinates are sent in all K−1 dimensions; above, in three."""
MAX_ROTATION_CLASSES = 30
"""Classes up to which the ETF's frames are sent to draw its rotation; above, they are too large."""


class Layer(NamedTuple):
    """A layer of the scene: its id in addresses, label, description, shortcut, and whether it is shown at first."""

    id: str
    label: str
    description: str
    shortcut: str
    visible: bool


LAYERS = (
    Layer("features", "Samples", "Training samples: the same samples of each class at every capture", "f", True),
    Layer("trails", "Trajectories", "Trajectories of the class means over the previous captures", "t", True),
    Layer("classifier", "Classifier weights", "Rows of the classifier's weight matrix, as diamonds", "c", True),
    Layer("names", "Labels", "Names of the classes", "n", True),
    Layer("arrows", "Mean to vertex", "Arrows from each class mean to its vertex of the nearest ETF", "a", False),
    Layer(
        "mistakes",
        "Misclassified",
        "Crosses on misclassified training samples, in the colour of the predicted class",
        "m",
        False,
    ),
    Layer(
        "turn", "ETF rotation", "Rotation of the nearest ETF over the previous captures, as dashed lines", "o", False
    ),
)


class View(NamedTuple):
    """A view of the scene besides the run's own one: its id in addresses, its label and description."""

    id: str
    label: str
    description: str


VIEWS = (
    View("tetrahedron", "Tetrahedron (4 classes)", "Vertices of four classes as a tetrahedron, without distortion"),
    View("pca", "PCA", "The three leading principal directions of the class means"),
    View("tour", "Grand tour", "A slow random rotation through all dimensions of the ETF's frame"),
)


def page_constants() -> dict[str, Any]:
    """Return everything that the browser's scripts need, as JSON holds it."""
    return {
        "layers": [layer._asdict() for layer in LAYERS],
        "projected_views": list(PROJECTED_VIEWS),
        "limits": {
            "named_classes": palette.COLOURED_CLASSES,
            "frame_classes": MAX_FRAME_CLASSES,
            "compared_runs": MAX_COMPARED_RUNS,
            "page_runs": MAX_PAGE_RUNS,
            "page_groups": MAX_PAGE_GROUPS,
            "streamed_runs": MAX_STREAMED_RUNS,
        },
        "colours": {"cosine_low": palette.LOW, "cosine_high": palette.HIGH},
        "min_colour_range": palette.MIN_COLOUR_RANGE,
        "min_log_ratio": MIN_LOG_RATIO,
        "default_camera": asdict(Camera()),
        "ended_statuses": list(ENDED),
        "status_after_event": {event: status for after in TRANSITIONS.values() for event, status in after.items()},
        "event_types": list(PAYLOADS),
    }


def script_element() -> str:
    """Return the HTML element that embeds the constants into a page."""
    text = json.dumps(page_constants(), separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="{ELEMENT_ID}">{text}</script>'
