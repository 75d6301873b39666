"""The figures of the tabs and of the layers, without data; details.mjs and charts.mjs fill them."""

from __future__ import annotations

from typing import Any

from dashboard.plots.charts import TRANSPARENT, make_layout
from ncfigures.palette import CLASSES_10, COLOURED_CLASSES

QUIET_AXIS: dict[str, Any] = {"zeroline": False, "automargin": True}


def _tab_layout(**settings: Any) -> dict[str, Any]:
    """Return the layout of a tab's figure."""
    margin = {"l": 56, "r": 20, "t": 10, "b": 42}
    return make_layout(margin, height=340, legend={"orientation": "h", "y": 1.08}, **settings)


def _line(name: str, hover: str, **line: Any) -> dict[str, Any]:
    """Return a line without data; `hover` describes a point under the pointer."""
    template = {"hovertemplate": f"{hover}<extra></extra>"}
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [],
        "y": [],
        "name": name,
        "line": {"width": 1.5, **line},
    } | template


def _marked_line(name: str, hover: str, marker_px: int, **line: Any) -> dict[str, Any]:
    return _line(name, hover, **line) | {"mode": "lines+markers", "marker": {"size": marker_px}}


def confusion_figure(class_names: list[str]) -> dict[str, Any]:
    """Return the K×K counts of training samples: rows are the labels, columns the predictions."""
    is_named = len(class_names) <= COLOURED_CLASSES
    heatmap = {
        "type": "heatmap",
        "z": [[None]],
        "zmin": 0,
        "zmax": 1,
        "colorscale": [[0, TRANSPARENT], [1, CLASSES_10[2]]],
        "showscale": False,
        "hovertemplate": "%{y} predicted as %{x}: %{z:.0f}<extra></extra>",
        **({"x": class_names, "y": class_names, "xgap": 1, "ygap": 1} if is_named else {}),
    }
    axis = {**QUIET_AXIS, "type": "category", "showgrid": False, "showticklabels": is_named, "constrain": "domain"}
    return {
        "data": [heatmap],
        "layout": _tab_layout(
            xaxis={**axis, "title": {"text": "Predicted class"}, "tickangle": -90},
            yaxis={**axis, "title": {"text": "Label"}, "autorange": "reversed", "scaleanchor": "x"},
        ),
    }


def margins_figure(classes: int) -> dict[str, Any]:
    """Return P_CM: cosine margins of all samples in rising order, with the ideal K/(K−1)."""
    hover = "%{x:.1%} of samples: at most %{y:.3f}"
    ideal = _line("ideal", "", dash="dash", width=1, color=CLASSES_10[3])
    ideal |= {"x": [0, 1], "y": [classes / (classes - 1)] * 2, "hoverinfo": "skip", "hovertemplate": None}
    return {
        "data": [
            _line("train", hover, color=CLASSES_10[0]),
            _line("test", hover, color=CLASSES_10[0], dash="dot"),
            ideal,
        ],
        "layout": _tab_layout(
            xaxis={**QUIET_AXIS, "title": {"text": "Share of samples"}, "tickformat": ".0%", "range": [0, 1]},
            yaxis={**QUIET_AXIS, "title": {"text": "Cosine margin"}},
        ),
    }


def spectra_figure(classes: int) -> dict[str, Any]:
    """Return the eigenvalues of the between-class and within-class covariance; collapse leaves K−1 of the first."""
    hover = "eigenvalue %{x}: %{y:.3~g}"
    return {
        "data": [
            _marked_line("between classes", hover, 4, color=CLASSES_10[0]),
            _marked_line("within classes", hover, 4, color=CLASSES_10[6]),
        ],
        "layout": _tab_layout(
            xaxis={**QUIET_AXIS, "title": {"text": f"Index (at collapse, {classes - 1} between classes)"}},
            yaxis={**QUIET_AXIS, "title": {"text": "Eigenvalue"}, "type": "log", "exponentformat": "power"},
        ),
    }


def layers_figure(uirevision: str) -> dict[str, Any]:
    """Return NC1 (left) and nearest-class-mean accuracy (right) over the measured layers."""
    left, right = "%{x}: NC1 %{y:.3~g}", "%{x}: %{y:.1%}"
    right_axis = {"overlaying": "y", "side": "right", "tickformat": ".0%", "showgrid": False, "zeroline": False}
    return {
        "data": [
            _marked_line("NC1, train", left, 5, width=2),
            _marked_line("NC1, test", left, 5, dash="dot"),
            _marked_line("nearest mean, train", right, 5, width=2) | {"yaxis": "y2"},
            _marked_line("nearest mean, test", right, 5, dash="dot") | {"yaxis": "y2"},
        ],
        "layout": make_layout(
            {"l": 56, "r": 56, "t": 58, "b": 60},
            uirevision=uirevision,
            legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
            xaxis={"type": "category", "automargin": True},
            yaxis={"zeroline": False, "title": {"text": "NC1 within-class variability"}},
            yaxis2={**right_axis, "title": {"text": "Nearest-class-mean accuracy"}},
        ),
    }
