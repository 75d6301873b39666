"""The heatmap and the curves without their data, and which metrics stand together.

Figures are dictionaries as Plotly.js reads them: `plotly.graph_objects` would cost the server 13 MB of validators.
"""

from __future__ import annotations

from typing import Any, TypedDict

from backend.api import wire

TRANSPARENT = "rgba(0,0,0,0)"
FONT = {"family": "Inter Variable, sans-serif", "size": 11}


CHARTS = 4
"""Charts that are looked at together."""


class Chart(TypedDict, total=False):
    """One chart: a metric over epochs by `key`, or a quantity of the training steps by `steps`; `help` explains it."""

    title: str
    help: str
    key: str
    steps: str
    percent: bool


class Group(TypedDict):
    """Up to four charts that are looked at together."""

    name: str
    charts: list[Chart]


OVERVIEWS: dict[str, tuple[str, ...]] = {
    "Collapse": ("nc1", "etf_distance_means", "nc3", "top1"),
    "Angles": ("nc2_equiangular_means", "nc2_equinorm_means", "nc4_ncc_mismatch", "cosine_margin"),
}
"""Metrics of several families side by side, by key; what they are called stands in the catalogue."""
TRAINING: Group = {
    "name": "Loss",
    "charts": [
        {"title": "Cross-entropy", "key": "loss"},
        {"title": "Loss of the training steps", "steps": "loss"},
        {"title": "Top-1 accuracy", "key": "top1", "percent": True},
        {"title": "Learning rate", "steps": "lr"},
    ],
}
COST: Group = {
    "name": "Time",
    "charts": [
        {"title": "Training speed, samples/s", "steps": "speed", "help": "Samples that training steps take a second."},
        {"title": "Memory, GB", "steps": "memory", "help": "The most of any phase: on a CPU of the whole process."},
    ],
}
READINGS = ("nc1", "nc2_equiangular_means", "nc3", "top1")
"""The metrics of the tiles."""


def overviews(metrics: list[wire.MetricWire]) -> list[Group]:
    """Return the groups that are one click away."""
    known = {metric.key: metric for metric in metrics}
    chosen: list[Group] = [
        {"name": name, "charts": [_chart(known[key]) for key in keys]} for name, keys in OVERVIEWS.items()
    ]
    return [*chosen, TRAINING, COST]


def families(metrics: list[wire.MetricWire]) -> list[Group]:
    """Return groups that together hold every metric of the catalogue, by family, in parts of four."""
    found: list[Group] = []
    for family in dict.fromkeys(metric.family for metric in metrics):
        members = [metric for metric in metrics if metric.family == family]
        parts = [members[first : first + CHARTS] for first in range(0, len(members), CHARTS)]
        for number, part in enumerate(parts, start=1):
            name = family if len(parts) == 1 else f"{family}, {number} of {len(parts)}"
            found.append({"name": name, "charts": [_chart(metric) for metric in part]})
    return found


def _chart(metric: wire.MetricWire) -> Chart:
    words = f"{metric.formula} ({metric.source}). {metric.reading}"
    return {"title": metric.label, "help": words, "key": metric.key, "percent": metric.share}


def angles_figure(class_names: list[str], uirevision: str) -> dict[str, Any]:
    """Return the K×K heatmap of cosines between class means, empty; names on both sides up to 30 classes."""
    few = len(class_names) <= 30
    last = len(class_names) - 0.5
    axis: dict[str, Any] = {
        "automargin": True,
        "constrain": "domain",
        "showgrid": False,
        "showline": False,
        "showticklabels": few,
        "ticks": "",
        "type": "category",
        "zeroline": False,
    }
    heatmap = {
        "type": "heatmap",
        # Empty cells hold the place of few classes' pictures; a thousand classes' would be ten megabytes of nothing.
        "z": [[None] * len(class_names)] * len(class_names) if few else [[None]],
        "zmin": -1,
        "zmax": 1,
        "showscale": False,  # Plotly cannot tick a colour bar without a value; the first drawing switches it on
        "x": class_names,
        "y": class_names,
        "xgap": 1 if few else 0,
        "ygap": 1 if few else 0,
        "colorbar": {"thickness": 10, "len": 0.9, "outlinewidth": 0, "x": 1.04, "tickfont": {"size": 11}},
    }
    layout = _layout({"l": 56, "r": 8, "t": 4, "b": 52}, uirevision) | {
        "xaxis": {**axis, "tickangle": -90, "range": [-0.5, last]},
        "yaxis": {**axis, "scaleanchor": "x", "range": [last, -0.5]},
    }
    return {"data": [heatmap], "layout": layout}


def chart_figure(epochs: int, uirevision: str) -> dict[str, Any]:
    """Return one chart over epochs, empty: train solid, test dotted, ideal dashed."""
    empty: dict[str, Any] = {"type": "scatter", "mode": "lines", "x": [], "y": [], "showlegend": False}
    template = "epoch %{x:.4~g}: %{y:.3~g}"
    lines = [
        {**empty, "line": {"width": 1.5}, "hovertemplate": template + "<extra>train</extra>"},
        {**empty, "line": {"width": 1.5, "dash": "dot"}, "hovertemplate": template + "<extra>test</extra>"},
        {**empty, "line": {"width": 1, "dash": "dash"}, "hovertemplate": "ideal %{y:.3~g}<extra></extra>"},
    ]
    layout = _layout({"l": 38, "r": 10, "t": 4, "b": 20}, uirevision) | {
        "hovermode": "x",
        # One chart is pointed at, all four answer: the line says where, the labels stay small.
        "hoverlabel": {"font": FONT, "namelength": 5},
        "xaxis": {
            "range": [0, epochs],
            "showgrid": False,
            "zeroline": False,
            "showspikes": True,
            "spikemode": "across",
            "spikethickness": 1,
            "spikedash": "solid",
            "spikecolor": "#8b93a1",
        },
        "yaxis": {"zeroline": False, "nticks": 5, "showticklabels": False, "exponentformat": "e"},
    }
    return {"data": lines, "layout": layout}


def compare_figure(entries: list[tuple[str, str, str]]) -> dict[str, Any]:
    """Return one chart of several entries (label, colour, dash), empty: for each a band of its range and a median."""
    data: list[dict[str, Any]] = []
    for label, colour, dash in entries:
        line: dict[str, Any] = {"type": "scatter", "mode": "lines", "x": [], "y": []}
        quiet = {**line, "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
        template = "%{y:.3~g}<extra>" + label.replace("<", "&lt;") + "</extra>"
        data += [
            quiet,
            {**quiet, "fill": "tonexty", "fillcolor": faded(colour)},
            {**line, "name": label, "line": {"width": 1.7, "color": colour, "dash": dash}, "hovertemplate": template},
        ]
    layout = _layout({"l": 44, "r": 12, "t": 6, "b": 24}, "compare") | {
        "hovermode": "x unified",
        "showlegend": False,
        "xaxis": {"showgrid": False, "zeroline": False},
        "yaxis": {"zeroline": False, "nticks": 5, "exponentformat": "e"},
    }
    return {"data": data, "layout": layout}


def difference_figure() -> dict[str, Any]:
    """Return the heatmap of the difference of two entries' cosines, empty; its colours are centred on nothing."""
    axis: dict[str, Any] = {"type": "category", "showgrid": False, "zeroline": False, "ticks": "", "dtick": 1}
    heatmap = {
        "type": "heatmap",
        "z": [[None]],
        "zmid": 0,
        "xgap": 1,
        "ygap": 1,
        "colorbar": {"thickness": 10, "outlinewidth": 0, "tickfont": {"size": 11}},
        "hovertemplate": "%{y}, %{x}: %{z:.3f}<extra></extra>",
    }
    layout = _layout({"l": 56, "r": 8, "t": 6, "b": 52}, "difference") | {
        "xaxis": {**axis, "automargin": True, "constrain": "domain", "tickangle": -90},
        "yaxis": {**axis, "automargin": True, "constrain": "domain", "scaleanchor": "x", "autorange": "reversed"},
    }
    return {"data": [heatmap], "layout": layout}


def faded(colour: str) -> str:
    """Return a hexadecimal colour at the opacity of a band."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.16)"


def _layout(margin: dict[str, int], uirevision: str) -> dict[str, Any]:
    colours = {"paper_bgcolor": TRANSPARENT, "plot_bgcolor": TRANSPARENT}
    return {"margin": margin, "font": FONT, "uirevision": uirevision, **colours}
