"""The scene's figure without its data: traces, their look, the camera. The page's script fills it frame by frame."""

from __future__ import annotations

import math
from typing import Any

from backend.palette import TOKENS, class_colours
from dashboard.figures.charts import FONT, TRANSPARENT

ZOOM = 2.15
REACH = 1.55
CAMERA: dict[str, Any] = {
    "eye": {"x": 1.25, "y": 1.25, "z": 0.8},
    "up": {"x": 0, "y": 0, "z": 1},
    "center": {"x": 0, "y": 0, "z": 0},
}
CAMERA["projection"] = {"type": "orthographic"}
TRACES = ("guides", "spokes", "vertices", "features", "trails", "weights", "means")
HIDDEN_AXIS: dict[str, Any] = {"visible": False, "range": [-REACH, REACH], "autorange": False}


def scene_figure(class_names: list[str], uirevision: str) -> dict[str, Any]:
    """Return the scene for a run's classes: nearest ETF, features, trails, classifier rows and class means, empty.

    Open rings are the ETF's vertices, dots the class means, diamonds the classifier's rows; trace order is `TRACES`.
    """
    colours = class_colours(len(class_names))
    light = TOKENS["light"]
    quiet: dict[str, Any] = {"hoverinfo": "skip", "showlegend": False}
    empty: dict[str, Any] = {"x": [], "y": [], "z": []}
    named: dict[str, Any] = {"customdata": class_names, "showlegend": False}
    rim = {"color": light["panel"], "width": 1}
    traces = {
        "guides": {**_great_circles(), **quiet, "mode": "lines", "line": {"color": light["guide"], "width": 1.5}},
        "spokes": {**empty, **quiet, "mode": "lines", "line": {"color": light["spoke"], "width": 3}},
        "vertices": {
            **empty,
            **named,
            "mode": "markers",
            "marker": {"size": 7.5, "symbol": "circle-open", "color": colours, "line": {"color": colours, "width": 2}},
            "hovertemplate": "vertex of %{customdata}<extra></extra>",
        },
        "features": {**empty, **quiet, "mode": "markers", "marker": {"size": 1.9, "opacity": 0.42}},
        "trails": {**empty, **quiet, "mode": "lines", "line": {"width": 2}, "opacity": 0.7},
        "weights": {
            **empty,
            **named,
            "mode": "markers",
            "marker": {"size": 3.6, "symbol": "diamond", "color": colours, "line": {"width": 0}},
            "hovertemplate": "classifier row of %{customdata}<extra></extra>",
        },
        "means": {
            **empty,
            **named,
            "mode": "markers+text",
            "marker": {"size": 5, "color": colours, "line": rim},
            "textfont": {"size": 11},
            "hovertemplate": "class mean of %{customdata}<extra></extra>",
        },
    }
    return {
        "data": [{"type": "scatter3d", "name": name, **traces[name]} for name in TRACES],
        "layout": {
            "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
            "paper_bgcolor": TRANSPARENT,
            "font": FONT,
            "showlegend": False,
            "uirevision": uirevision,
            "meta": {"zoom": ZOOM, "camera": CAMERA},
            "scene": {
                "xaxis": HIDDEN_AXIS,
                "yaxis": HIDDEN_AXIS,
                "zaxis": HIDDEN_AXIS,
                "aspectmode": "manual",
                "aspectratio": {"x": ZOOM, "y": ZOOM, "z": ZOOM},
                "camera": CAMERA,
                "dragmode": "orbit",
                "bgcolor": TRANSPARENT,
                "uirevision": uirevision,
            },
        },
    }


def _great_circles() -> dict[str, list[float | None]]:
    turn = [2 * math.pi * step / 72 for step in range(73)]
    cosines, sines, zeros = [math.cos(t) for t in turn], [math.sin(t) for t in turn], [0.0] * 73
    rings = ((cosines, sines, zeros), (zeros, cosines, sines), (sines, zeros, cosines))
    return {
        axis: [value for ring in rings for value in [*ring[index], None]] for index, axis in enumerate(("x", "y", "z"))
    }
