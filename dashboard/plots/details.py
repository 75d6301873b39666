"""The figures of the tabs and of the layers, without data; details.mjs and charts.mjs fill them."""

from __future__ import annotations

from typing import Any

from dashboard.plots.charts import FONT, TRANSPARENT
from ncfigures.palette import CLASSES_10, COLOURED_CLASSES

MARGIN = {"l": 56, "r": 20, "t": 10, "b": 42}
QUIET_AXIS: dict[str, Any] = {"zeroline": False, "automargin": True}


def _layout(**more: Any) -> dict[str, Any]:
    base = {"margin": MARGIN, "font": FONT, "paper_bgcolor": TRANSPARENT, "plot_bgcolor": TRANSPARENT, "height": 340}
    return {**base, "legend": {"orientation": "h", "y": 1.08}, **more}


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
        "layout": _layout(
            xaxis={**axis, "title": {"text": "Predicted class"}, "tickangle": -90},
            yaxis={**axis, "title": {"text": "Label"}, "autorange": "reversed", "scaleanchor": "x"},
        ),
    }


def margins_figure(classes: int) -> dict[str, Any]:
    """Return P_CM: cosine margins of all samples in rising order, with the ideal K/(K−1)."""
    line: dict[str, Any] = {"type": "scatter", "mode": "lines", "x": [], "y": []}
    ideal = {**line, "x": [0, 1], "y": [classes / (classes - 1)] * 2, "line": {"dash": "dash", "width": 1}}
    hover = "%{x:.1%} of samples: at most %{y:.3f}<extra></extra>"
    return {
        "data": [
            {**line, "name": "train", "line": {"width": 1.5, "color": CLASSES_10[0]}, "hovertemplate": hover},
            {
                **line,
                "name": "test",
                "line": {"width": 1.5, "dash": "dot", "color": CLASSES_10[0]},
                "hovertemplate": hover,
            },
            {
                **ideal,
                "name": "ideal",
                "line": {"dash": "dash", "width": 1, "color": CLASSES_10[3]},
                "hoverinfo": "skip",
            },
        ],
        "layout": _layout(
            xaxis={**QUIET_AXIS, "title": {"text": "Share of samples"}, "tickformat": ".0%", "range": [0, 1]},
            yaxis={**QUIET_AXIS, "title": {"text": "Cosine margin"}},
        ),
    }


def spectra_figure(classes: int) -> dict[str, Any]:
    """Return the eigenvalues of the between-class and within-class covariance; collapse leaves K−1 of the first."""
    line: dict[str, Any] = {"type": "scatter", "mode": "lines+markers", "x": [], "y": [], "marker": {"size": 4}}
    hover = "eigenvalue %{x}: %{y:.3~g}<extra></extra>"
    return {
        "data": [
            {**line, "name": "between classes", "line": {"width": 1.5, "color": CLASSES_10[0]}, "hovertemplate": hover},
            {**line, "name": "within classes", "line": {"width": 1.5, "color": CLASSES_10[6]}, "hovertemplate": hover},
        ],
        "layout": _layout(
            xaxis={**QUIET_AXIS, "title": {"text": f"Index (at collapse, {classes - 1} between classes)"}},
            yaxis={**QUIET_AXIS, "title": {"text": "Eigenvalue"}, "type": "log", "exponentformat": "power"},
        ),
    }


def layers_figure(uirevision: str) -> dict[str, Any]:
    """Return NC1 (left) and nearest-class-mean accuracy (right) over the measured layers."""
    line: dict[str, Any] = {"type": "scatter", "mode": "lines+markers", "x": [], "y": [], "marker": {"size": 5}}
    dot = {"line": {"dash": "dot", "width": 1.5}}
    left, right = "%{x}: NC1 %{y:.3~g}<extra></extra>", "%{x}: %{y:.1%}<extra></extra>"
    return {
        "data": [
            {**line, "name": "NC1, train", "hovertemplate": left},
            {**line, "name": "NC1, test", "hovertemplate": left, **dot},
            {**line, "name": "nearest mean, train", "yaxis": "y2", "hovertemplate": right},
            {**line, "name": "nearest mean, test", "yaxis": "y2", "hovertemplate": right, **dot},
        ],
        "layout": {
            "margin": {"l": 56, "r": 56, "t": 58, "b": 60},
            "font": FONT,
            "paper_bgcolor": TRANSPARENT,
            "plot_bgcolor": TRANSPARENT,
            "uirevision": uirevision,
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom"},
            "xaxis": {"type": "category", "automargin": True},
            "yaxis": {"zeroline": False, "title": {"text": "NC1 within-class variability"}},
            "yaxis2": {
                "overlaying": "y",
                "side": "right",
                "tickformat": ".0%",
                "showgrid": False,
                "zeroline": False,
                "title": {"text": "Nearest-class-mean accuracy"},
            },
        },
    }
