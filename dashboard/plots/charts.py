"""The heatmap and the charts of metrics without their data, and the groups of metrics.

Figures are dictionaries as Plotly.js reads them: `plotly.graph_objects` would cost the server 13 MB.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

from backend.api import wire
from ncfigures.palette import COLOURED_CLASSES

TRANSPARENT = "rgba(0,0,0,0)"
FONT = {"family": "Inter Variable, sans-serif", "size": 11}


GROUP_SIZE = 4
"""Charts that are shown together."""


class Chart(TypedDict, total=False):
    """One chart: a metric over epochs by `key`, or a quantity of the training steps by `steps`; `help` explains it."""

    title: str
    help: str
    key: str
    steps: str
    percent: bool


class Group(TypedDict):
    """Up to four charts that are shown together."""

    name: str
    """Its name in addresses."""
    title: str
    charts: list[Chart]


OVERVIEW_KEYS: dict[str, tuple[str, ...]] = {
    "Collapse": ("nc1", "etf_distance_means", "nc3", "top1"),
    "Angles": ("nc2_equiangular_means", "nc2_equinorm_means", "nc4_ncc_mismatch", "cosine_margin"),
}
"""Groups of metrics of several families, by key."""
TRAINING: Group = {
    "name": "Loss",
    "title": "Training",
    "charts": [
        {"title": "Cross-entropy", "key": "loss"},
        {"title": "Step loss", "steps": "loss"},
        {"title": "Top-1 accuracy", "key": "top1", "percent": True},
        {"title": "Learning rate", "steps": "lr"},
    ],
}
COST: Group = {
    "name": "Time",
    "title": "Throughput and memory",
    "charts": [
        {"title": "Throughput, samples/s", "steps": "speed", "help": "Samples per second of training steps."},
        {
            "title": "Memory, GB",
            "steps": "memory",
            "help": "Peak memory over all phases; on a CPU, of the whole process.",
        },
    ],
}
READINGS = ("nc1", "nc2_equiangular_means", "nc3", "top1")
"""Metrics of the tiles."""


def overview_groups(metrics: list[wire.MetricWire]) -> list[Group]:
    """Return the groups that have a button."""
    known = {metric.key: metric for metric in metrics}
    chosen: list[Group] = [
        {"name": name, "title": name, "charts": [_chart(known[key]) for key in keys]}
        for name, keys in OVERVIEW_KEYS.items()
    ]
    return [*chosen, TRAINING, COST]


def family_groups(metrics: list[wire.MetricWire]) -> list[Group]:
    """Return every metric of the catalogue in groups of up to four, by family."""
    groups: list[Group] = []
    for family in dict.fromkeys(metric.family for metric in metrics):
        members = [metric for metric in metrics if metric.family == family]
        parts = [members[first : first + GROUP_SIZE] for first in range(0, len(members), GROUP_SIZE)]
        for number, part in enumerate(parts, start=1):
            name = family if len(parts) == 1 else f"{family}, {number} of {len(parts)}"
            groups.append({"name": name, "title": name, "charts": [_chart(metric) for metric in part]})
    return groups


def _chart(metric: wire.MetricWire) -> Chart:
    help_text = f"{metric.formula} ({metric.source}). {metric.reading}"
    return {"title": metric.label, "help": help_text, "key": metric.key, "percent": metric.share}


def angles_figure(class_names: list[str], uirevision: str) -> dict[str, Any]:
    """Return the K×K heatmap of cosines between class means, empty; with few classes, names on both sides."""
    is_named = len(class_names) <= COLOURED_CLASSES
    last = len(class_names) - 0.5
    axis: dict[str, Any] = {
        "automargin": True,
        "constrain": "domain",
        "showgrid": False,
        "showline": False,
        "showticklabels": is_named,
        "ticks": "",
        "type": "category",
        "zeroline": False,
    }
    heatmap = {
        "type": "heatmap",
        # Empty cells reserve the layout of few classes; those of a thousand classes would be ten megabytes.
        "z": [[None] * len(class_names)] * len(class_names) if is_named else [[None]],
        "zmin": -1,
        "zmax": 1,
        "showscale": False,  # Plotly cannot tick a colour bar without values; the first drawing turns it on
        "x": class_names,
        "y": class_names,
        "xgap": 1 if is_named else 0,
        "ygap": 1 if is_named else 0,
        "colorbar": {"thickness": 10, "len": 0.9, "outlinewidth": 0, "x": 1.04, "tickfont": {"size": 11}},
    }
    layout = make_layout({"l": 56, "r": 8, "t": 4, "b": 52}, uirevision=uirevision) | {
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
    layout = make_layout({"l": 38, "r": 10, "t": 4, "b": 20}, uirevision=uirevision) | {
        "hovermode": "x",
        # Hovering shows labels in all four charts: a line marks the epoch, and the labels are small.
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


def compare_figure(configurations: Sequence[tuple[str, str, str]]) -> dict[str, Any]:
    """Return one chart of configurations (label, colour, dash), empty: for each its range as a band, and its median."""
    data: list[dict[str, Any]] = []
    for label, colour, dash in configurations:
        line: dict[str, Any] = {"type": "scatter", "mode": "lines", "x": [], "y": []}
        quiet = {**line, "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
        template = "%{y:.3~g}<extra>" + label.replace("<", "&lt;") + "</extra>"
        data += [
            quiet,
            {**quiet, "fill": "tonexty", "fillcolor": band_colour(colour)},
            {**line, "name": label, "line": {"width": 1.7, "color": colour, "dash": dash}, "hovertemplate": template},
        ]
    layout = make_layout({"l": 44, "r": 12, "t": 6, "b": 24}, uirevision="compare") | {
        "hovermode": "x unified",
        "showlegend": False,
        "xaxis": {"showgrid": False, "zeroline": False},
        "yaxis": {"zeroline": False, "nticks": 5, "exponentformat": "e"},
    }
    return {"data": data, "layout": layout}


def difference_figure() -> dict[str, Any]:
    """Return the heatmap of the difference of two configurations' cosines, empty; its colours are centred on zero."""
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
    layout = make_layout({"l": 56, "r": 8, "t": 6, "b": 52}, uirevision="difference") | {
        "xaxis": {**axis, "automargin": True, "constrain": "domain", "tickangle": -90},
        "yaxis": {**axis, "automargin": True, "constrain": "domain", "scaleanchor": "x", "autorange": "reversed"},
    }
    return {"data": [heatmap], "layout": layout}


def band_colour(colour: str) -> str:
    """Return a hexadecimal colour at the opacity of a band."""
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.16)"


def make_layout(margin: dict[str, int], **settings: Any) -> dict[str, Any]:
    """Return a layout in the pages' font, without a background."""
    return {"margin": margin, "font": FONT, "paper_bgcolor": TRANSPARENT, "plot_bgcolor": TRANSPARENT, **settings}
