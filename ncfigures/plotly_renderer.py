"""Render a figure spec as a Plotly figure: the same data and colours as in print, interactive."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ncfigures import palette
from ncfigures.figure_spec import F64, Axis, ChartSpec, FigureSpec, HeatmapSpec, LineSpec, SceneSpec, parse_camera
from ncfigures.options import FigureOptions
from ncfigures.palette import simulate

INK = palette.TOKENS["light"]
PANEL_PX = 360
GAP = 0.08
SYMBOLS = {"ring": "circle-open", "dot": "circle", "diamond": "diamond", "speck": "circle"}
SIZES = {"ring": 12, "dot": 8, "diamond": 5, "speck": 2.5}
MIDDLE = 0.35
"""Aspect ratio with which a scene fills its panel as it does in print (orthographic camera)."""


def plotly_figure(spec: FigureSpec, options: FigureOptions) -> dict[str, Any]:
    """Return the figure as JSON-ready data for Plotly.js; `layout.meta` has the caption and the notices."""
    columns = spec.columns
    rows = math.ceil(len(spec.panels) / columns)
    data: list[dict[str, Any]] = []
    layout: dict[str, Any] = {
        "font": {"size": 12, "color": INK["ink"]},
        "paper_bgcolor": INK["panel"],
        "plot_bgcolor": INK["panel"],
        "margin": {"l": 60, "r": 20, "t": 40, "b": 50},
        "height": 90 + round(rows * PANEL_PX * max(panel.aspect for panel in spec.panels)),
        "barmode": "stack",
        "annotations": [],
        "shapes": [],
        "showlegend": options.legend,
        "legend": {"orientation": "h", "y": 1.04, "yanchor": "bottom"},
        "meta": {"caption": spec.caption, "notices": list(spec.notices)},
    }
    named: set[str] = set()
    for place, panel in enumerate(spec.panels):
        row, column = divmod(place, columns)
        x = (
            column / columns + (GAP / 2 if column else 0),
            (column + 1) / columns - (GAP / 2 if column + 1 < columns else 0),
        )
        y = (1 - (row + 1) / rows + (GAP if row + 1 < rows else 0), 1 - row / rows - (GAP if row else 0.02))
        number = str(place + 1) if place else ""
        if isinstance(panel, SceneSpec):
            layout[f"scene{number}"] = _space(panel, x, y)
            data += _points(panel, f"scene{number}", options, named)
        else:
            drawn = _heat(panel, options) if isinstance(panel, HeatmapSpec) else _chart(panel, options, named)
            data += [trace | {"xaxis": f"x{number}", "yaxis": f"y{number}"} for trace in drawn]
            layout |= _axes(panel, number, x, y)
            layout["shapes"] += _rules(panel, number) if isinstance(panel, ChartSpec) else []
        title = f"<b>{chr(ord('a') + place)}</b> {panel.title}" if spec.letters else panel.title
        if title:
            where = {"x": x[0], "y": y[1], "xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom"}
            layout["annotations"].append({"text": title, "showarrow": False, **where})
    return {"data": data, "layout": layout}


def _plain(values: F64) -> list[float | None]:
    return [None if math.isnan(value) else float(value) for value in values]


def _chart(chart: ChartSpec, options: FigureOptions, named: set[str]) -> list[dict[str, Any]]:
    traces: list[dict[str, Any]] = []
    for line in chart.lines:
        traces += _line(line, options, named)
    for steps in chart.histograms:
        colour = simulate(steps.colour, options.sight)
        middles, widths = (steps.edges[1:] + steps.edges[:-1]) / 2, np.diff(steps.edges)
        bars = {"x": _plain(middles), "y": _plain(steps.counts), "width": _plain(widths), "opacity": 0.6}
        traces.append({"type": "bar", "marker": {"color": colour}, **bars, **_name(steps.label, named)})
    for bars_ in chart.bars:
        colours = [simulate(colour, options.sight) for colour in bars_.colours]
        trace: dict[str, Any] = {
            "type": "bar",
            "orientation": "h",
            "x": _plain(bars_.values),
            "y": list(chart.row_labels),
        }
        if bars_.low is not None and bars_.high is not None:
            up, down = _plain(bars_.high - bars_.values), _plain(bars_.values - bars_.low)
            trace["error_x"] = {"type": "data", "array": up, "arrayminus": down}
        traces.append({**trace, "marker": {"color": colours}, **_name(bars_.label, named)})
    if chart.intervals is not None:
        up, down = (
            _plain(chart.intervals.high - chart.intervals.values),
            _plain(chart.intervals.values - chart.intervals.low),
        )
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": _plain(chart.intervals.values),
                "y": list(chart.row_labels),
                "error_x": {"type": "data", "array": up, "arrayminus": down},
                "marker": {"color": [simulate(colour, options.sight) for colour in chart.intervals.colours]},
                "showlegend": False,
            }
        )
    return traces


def _line(line: LineSpec, options: FigureOptions, named: set[str]) -> list[dict[str, Any]]:
    colour = simulate(line.colour, options.sight)
    traces: list[dict[str, Any]] = []
    x = _plain(line.x)
    if line.low is not None and line.high is not None:
        red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
        quiet = {
            "type": "scatter",
            "mode": "lines",
            "x": x,
            "line": {"width": 0},
            "hoverinfo": "skip",
            "showlegend": False,
        }
        traces.append({**quiet, "y": _plain(line.low)})
        fill = {"fill": "tonexty", "fillcolor": f"rgba({red},{green},{blue},0.16)"}
        traces.append({**quiet, "y": _plain(line.high), **fill})
    mode = "lines+markers" if line.markers else "lines"
    look = {"line": {"color": colour, "width": 1.7, "dash": line.dash}, "marker": {"size": 5, "color": colour}}
    return [*traces, {"type": "scatter", "mode": mode, "x": x, "y": _plain(line.y), **look, **_name(line.label, named)}]


def _name(label: str, named: set[str]) -> dict[str, Any]:
    """Return a trace's name and legend group; each name is in the legend once."""
    shown = bool(label) and label not in named
    named.add(label)
    return {"name": label, "legendgroup": label, "showlegend": shown}


def _axes(panel: ChartSpec | HeatmapSpec, number: str, x: Sequence[float], y: Sequence[float]) -> dict[str, Any]:
    quiet = {"zeroline": False, "automargin": True}
    if isinstance(panel, HeatmapSpec):
        axis = {
            **quiet,
            "type": "category",
            "showgrid": False,
            "showticklabels": panel.show_labels,
            "constrain": "domain",
        }
        down = {"autorange": "reversed", "scaleanchor": f"x{number}"}
        return {
            f"xaxis{number}": {**axis, "domain": list(x), "anchor": f"y{number}", "tickangle": -90},
            f"yaxis{number}": {**axis, "domain": list(y), "anchor": f"x{number}", **down},
        }
    axes = {
        f"xaxis{number}": {**quiet, **_axis(panel.x), "domain": list(x), "anchor": f"y{number}"},
        f"yaxis{number}": {**quiet, **_axis(panel.y), "domain": list(y), "anchor": f"x{number}"},
    }
    if panel.row_labels:
        axes[f"yaxis{number}"] |= {"type": "category", "autorange": "reversed"}
    return axes


def _rules(chart: ChartSpec, number: str) -> list[dict[str, Any]]:
    shapes = []
    for rule in chart.reference_lines:
        across = {
            "x0": 0,
            "x1": 1,
            "xref": f"x{number} domain",
            "y0": rule.value,
            "y1": rule.value,
            "yref": f"y{number}",
        }
        upright = {
            "y0": 0,
            "y1": 1,
            "yref": f"y{number} domain",
            "x0": rule.value,
            "x1": rule.value,
            "xref": f"x{number}",
        }
        line = {"color": INK["ink-3"], "width": 1, "dash": "dash" if rule.label else "solid"}
        shapes.append({"type": "line", "line": line, **(across if rule.axis == "y" else upright)})
    return shapes


def _axis(axis: Axis) -> dict[str, Any]:
    layout: dict[str, Any] = {"title": {"text": axis.label}}
    if axis.log:
        layout |= {"type": "log", "exponentformat": "e"}
    if axis.percent:
        layout["tickformat"] = ".3~%"
    if axis.limits is not None:
        layout["range"] = [math.log10(end) if axis.log else end for end in axis.limits]
    if axis.tick_labels is not None:
        layout |= {
            "tickvals": [place for place, _ in axis.tick_labels],
            "ticktext": [text for _, text in axis.tick_labels],
        }
    return layout


def _heat(heat: HeatmapSpec, options: FigureOptions) -> list[dict[str, Any]]:
    low, middle, high = (
        simulate(colour, options.sight) for colour in (heat.end_colours[0], INK["neutral"], heat.end_colours[1])
    )
    places = [heat.centre - heat.half_range, heat.centre, heat.centre + heat.half_range]
    return [
        {
            "type": "heatmap",
            "z": [_plain(row) for row in heat.values],
            "x": list(heat.labels),
            "y": list(heat.labels),
            "zmin": places[0],
            "zmax": places[2],
            "colorscale": [[0, low], [0.5, middle], [1, high]],
            "colorbar": {"tickvals": places, "ticktext": list(heat.tick_labels), "thickness": 10, "outlinewidth": 0},
            "hovertemplate": "%{y}, %{x}: %{z:.3f}<extra></extra>",
        }
    ]


def _space(scene: SceneSpec, x: Sequence[float], y: Sequence[float]) -> dict[str, Any]:
    camera = parse_camera(scene.camera)
    hidden = {"visible": False, "range": [-1.35, 1.35]}
    aspect = dict.fromkeys("xyz", MIDDLE * 3 * camera.zoom)
    return {
        "domain": {"x": list(x), "y": list(y)},
        **{f"{axis}axis": hidden for axis in "xyz"},
        "aspectmode": "manual",
        "aspectratio": aspect,
        "camera": {
            "projection": {"type": "orthographic"},
            "eye": dict(zip("xyz", camera.eye, strict=True)),
            "up": dict(zip("xyz", camera.up, strict=True)),
        },
    }


def _points(scene: SceneSpec, name: str, options: FigureOptions, named: set[str]) -> list[dict[str, Any]]:
    traces: list[dict[str, Any]] = []
    for path in scene.paths:
        x, y, z = (_plain(column) for column in path.positions_N3.T)
        look = {"line": {"color": path.colour, "width": 2}, "hoverinfo": "skip", "showlegend": False}
        traces.append({"type": "scatter3d", "mode": "lines", "x": x, "y": y, "z": z, "scene": name, **look})
    for points in scene.points:
        x, y, z = (_plain(column) for column in points.positions_N3.T)
        colours = [simulate(colour, options.sight) for colour in points.colours]
        marker = {"symbol": SYMBOLS[points.symbol], "size": SIZES[points.symbol], "color": colours}
        if points.symbol == "speck":
            marker["opacity"] = 0.42
        texts = [scene.class_names[label] for label in points.labels]
        label = "nearest ETF" if points.kind == "vertex" else points.kind
        traces.append(
            {
                "type": "scatter3d",
                "mode": "markers",
                **{"x": x, "y": y, "z": z, "marker": marker, "text": texts, "scene": name},
                "hovertemplate": f"%{{text}}, {label}<extra></extra>",
                **_name(label, named),
            }
        )
    return traces
