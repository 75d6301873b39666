"""Draw the panels of a figure with matplotlib: charts, heatmaps, and scenes.

A scene's points are projected with the page's camera and drawn in 2D as vectors, sorted by depth, the far ones paler;
Plotly would write 3D scenes into PDF as pictures.
"""

from __future__ import annotations

import math
import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from ncfigures.figure_spec import F64, Axis, Camera, ChartSpec, HeatmapSpec, SceneSpec, parse_camera
from ncfigures.matplotlib_style import DASHES, INK, SYMBOLS, RenderStyle
from ncfigures.palette import blend_with_white

PALEST = 0.5
"""Opacity of the farthest marks of a scene."""
AREAS = {"ring": 58.0, "dot": 28.0, "diamond": 17.0, "speck": 3.2}
"""Areas of a scene's markers in a panel three inches wide, in square points."""
REACH = 1.35

# ── charts ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def tick(value: float) -> str:
    """Return a number as a tick label."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:g}".replace("-", "−")
    power = math.floor(math.log10(abs(value)) + 1e-9)
    return f"{value / 10**power:g}e{power}".replace("-", "−")


def draw_chart(axes: Axes, chart: ChartSpec, style: RenderStyle, cell_in: float) -> None:
    for line in chart.lines:
        if line.low is not None and line.high is not None:
            axes.fill_between(line.x, line.low, line.high, linewidth=0, **style.translucent(line.colour, 0.16))
        colour = style.colour(line.colour)
        dots = {"marker": "o", "ms": 2.4, "mew": 0.0} if line.markers else {}
        axes.plot(line.x, line.y, ls=DASHES[line.dash], color=colour, lw=1.1, label=line.label, **dots)  # type: ignore[arg-type]
    for steps in chart.histograms:
        colour = style.colour(steps.colour)
        axes.stairs(steps.counts, steps.edges, fill=True, lw=0, **style.translucent(steps.colour, 0.2))
        axes.stairs(steps.counts, steps.edges, color=colour, lw=1.0, ls=DASHES[steps.dash], label=steps.label)
    if chart.row_labels:
        _rows(axes, chart, style)
    for rule in chart.reference_lines:
        across = axes.axhline if rule.axis == "y" else axes.axvline
        dash = (0, (6, 4)) if rule.label else "-"
        across(rule.value, color=INK["ink-3"], lw=0.7 if rule.label else 0.5, ls=dash, zorder=0.9)
    _axis(axes, "x", chart.x, style, cell_in)
    if not chart.row_labels:
        _axis(axes, "y", chart.y, style, cell_in)
    axes.tick_params(labelsize=style.small_pt)
    if style.options.axes == "open":
        axes.spines[["top", "right"]].set_visible(False)
    if style.options.axes == "grid":
        axes.grid(color=INK["line"], lw=0.5, axis="x" if chart.row_labels else "both")
        axes.set_axisbelow(True)


def _axis(axes: Axes, which: str, axis: Axis, style: RenderStyle, cell_in: float) -> None:
    # Numbers beside each other need their widths, numbers above each other their heights.
    room = int(0.7 * 72 * cell_in / ((4.2 if which == "x" else 2.6) * style.small_pt))
    most = min(6, max(2, room))
    drawn_axis = axes.xaxis if which == "x" else axes.yaxis
    if axis.log:
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
        low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
        decades = math.log10(high / low)
        drawn_axis.set_major_locator(LogLocator(subs=(1.0,) if decades > 2 else (1.0, 2.0, 5.0), numticks=most))
        drawn_axis.set_minor_locator(NullLocator())
    elif axis.tick_labels is None:
        drawn_axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 5, 10]))
    if axis.tick_labels is not None:
        drawn_axis.set_ticks([place for place, _ in axis.tick_labels], [text for _, text in axis.tick_labels])
        if which == "x" and sum(len(text) for _, text in axis.tick_labels) > 24:
            for label in axes.get_xticklabels():
                label.set(rotation=35, ha="right", rotation_mode="anchor")
    elif axis.percent:
        drawn_axis.set_major_formatter(FuncFormatter(lambda value, _: f"{tick(round(100 * value, 6))} %"))
    else:
        drawn_axis.set_major_formatter(FuncFormatter(lambda value, _: tick(round(float(value), 12))))
    if axis.limits is not None:
        (axes.set_xlim if which == "x" else axes.set_ylim)(*axis.limits)
    if axis.label:
        drawn_axis.set_label_text(axis.label, fontsize=style.small_pt, color=INK["ink-2"])


def _rows(axes: Axes, chart: ChartSpec, style: RenderStyle) -> None:
    places = np.arange(len(chart.row_labels))
    thick = min(0.62, 0.2 + 0.2 * len(chart.row_labels))
    left = np.zeros(len(chart.row_labels))
    for bars in chart.bars:
        colours = [style.colour(colour) for colour in bars.colours]
        values = np.nan_to_num(bars.values)
        axes.barh(places, values, left=left, height=thick, color=colours, linewidth=0, label=bars.label or None)
        if bars.low is not None and bars.high is not None:
            axes.hlines(places, bars.low, bars.high, color=INK["ink"], lw=0.8)
            for end in (bars.low, bars.high):
                axes.vlines(end, places - 0.14, places + 0.14, color=INK["ink"], lw=0.8)
        left = left + values
    if chart.intervals is not None:
        colours = [style.colour(colour) for colour in chart.intervals.colours]
        axes.hlines(places, chart.intervals.low, chart.intervals.high, colors=colours, lw=1.6)
        axes.scatter(chart.intervals.values, places, s=18, c=colours, zorder=3, linewidths=0)
    axes.set_yticks(
        places, ["" if chart.hide_row_labels else "\n".join(textwrap.wrap(name, 26)) for name in chart.row_labels]
    )
    axes.set_ylim(len(chart.row_labels) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    if chart.bars:
        axes.set_xlim(left=0)


# ── heatmaps ────────────────────────────────────────────────────────────────────────────────────────────────────────


def draw_heatmap(axes: Axes, heat: HeatmapSpec, style: RenderStyle, cell_in: float) -> Any:
    colours = [style.colour(colour) for colour in (heat.end_colours[0], INK["neutral"], heat.end_colours[1])]
    count = len(heat.values)
    mesh = axes.pcolormesh(
        heat.values[::-1],
        cmap=LinearSegmentedColormap.from_list("cosines", colours, N=64),
        norm=TwoSlopeNorm(heat.centre, heat.centre - heat.half_range, heat.centre + heat.half_range),
        edgecolors="white",
        linewidth=0.5 if count <= 30 else 0,
    )
    axes.set_aspect("equal")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    if heat.show_labels:
        # A label needs the height of a line: if cells are lower, only every second, third … label is written.
        room_pt = 72 * 0.62 * cell_in / count
        each = max(1, math.ceil(1.1 * style.small_pt / room_pt))
        places = range(0, count, each)
        names = [heat.labels[place] for place in places]
        axes.set_xticks([place + 0.5 for place in places], names, rotation=90, fontsize=style.small_pt)
        axes.set_yticks([count - place - 0.5 for place in places], names, fontsize=style.small_pt)
    else:
        axes.set(xticks=[], yticks=[])
    return mesh


def draw_colour_scale(figure: Figure, heatmaps: list[tuple[Axes, Any, HeatmapSpec]], style: RenderStyle) -> None:
    """Draw one scale for all heatmaps that share it."""
    _, mesh, heat = heatmaps[-1]
    bar = figure.colorbar(mesh, ax=[axes for axes, _, _ in heatmaps], shrink=0.8, aspect=16)
    bar.solids.set_rasterized(False)  # type: ignore[union-attr]
    bar.solids.set_edgecolor("face")  # type: ignore[union-attr]
    bar.outline.set_visible(False)
    bar.set_ticks(
        [heat.centre - heat.half_range, heat.centre, heat.centre + heat.half_range], labels=list(heat.tick_labels)
    )
    bar.ax.tick_params(labelsize=style.small_pt)


# ── scenes ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def draw_scene(axes: Axes, scene: SceneSpec, style: RenderStyle, cell_in: float) -> None:
    camera = parse_camera(scene.camera)
    _guides(axes, camera)
    for path in scene.paths:
        at, depth = camera.project(path.positions_N3)
        colour = blend_with_white(path.colour, _nearness(float(depth.mean())))
        axes.plot(at[:, 0], at[:, 1], color=style.colour(colour), lw=0.9, zorder=2, solid_capstyle="round")
    marks: list[tuple[float, int, int]] = []
    projected: list[F64] = []
    for kind, points in enumerate(scene.points):
        at, depth = camera.project(points.positions_N3)
        projected.append(at)
        marks += [(float(depth[index]), kind, index) for index in range(len(at))]
    crowd = max(1, len(scene.points[0].positions_N3))
    scale = min(1.0, max(0.35, cell_in / 3)) ** 2 * (1.0 if crowd <= 30 else 0.35 if crowd <= 128 else 0.12)
    nearness = {(kind, index): _nearness(depth) for depth, kind, index in marks}
    order = 3.0
    marks.sort(key=lambda mark: (mark[0], mark[1]))
    start = 0
    # Neighbours in depth of one kind are one collection: a handful of them, and a small file.
    for place in range(1, len(marks) + 1):
        if place < len(marks) and marks[place][1] == marks[start][1]:
            continue
        kind, indices = marks[start][1], [index for _, _, index in marks[start:place]]
        points, at = scene.points[kind], projected[kind][indices]
        colours = [style.colour(blend_with_white(points.colours[index], nearness[kind, index])) for index in indices]
        look: dict[str, Any]
        if points.symbol == "ring":
            look = {"facecolors": "none", "edgecolors": colours, "linewidths": 1.0}
        elif points.symbol == "speck":
            colours = [blend_with_white(colour, 0.42) for colour in colours] if style.opaque else colours
            look = {"c": colours, "linewidths": 0, "alpha": None if style.opaque else 0.42}
        else:
            look = {"c": colours, "edgecolors": "white", "linewidths": 0.45}
        order += 1e-3
        area = AREAS[points.symbol] * (scale if points.symbol != "speck" else min(1.0, cell_in / 3))
        axes.scatter(at[:, 0], at[:, 1], s=area, marker=SYMBOLS[points.symbol], zorder=order, gid=points.kind, **look)
        start = place
    reach = REACH / camera.zoom
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
    axes.set_aspect("equal")
    axes.axis("off")


def _nearness(depth: float) -> float:
    """Return the opacity of a marker by its depth: one in front, less behind the centre."""
    # In sixteen steps: files are smaller where marks share their colours.
    front = round(16 * min(1.0, max(0.0, (depth + 1) / 2))) / 16
    return PALEST + (1 - PALEST) * math.pow(front, 0.7)


def _guides(axes: Axes, camera: Camera) -> None:
    """Draw three faint great circles that show depth."""
    turn = np.linspace(0, 2 * np.pi, 121)
    ring = np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1)
    for axis in range(3):
        circle, _ = camera.project(np.roll(ring, axis, axis=1))
        axes.plot(*circle.T, color=INK["guide"], lw=0.6, zorder=1)


def _titles(figure: Figure) -> list[Any]:
    """Return the titles of the panels."""
    left = [axes._left_title for axes in figure.axes]  # type: ignore[attr-defined]
    return [
        text for text in (*left, *(annotation for axes in figure.axes for annotation in axes.texts)) if text.get_text()
    ]


def draw_class_names(figure: Figure, axes: Axes, scene: SceneSpec, style: RenderStyle) -> None:
    """Write class names beside their means; a name that would overlap another text is moved or left out."""
    camera = parse_camera(scene.camera)
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    taken: list[Any] = [title.get_window_extent(renderer) for title in _titles(figure)]
    at, _ = camera.project(np.array([point for _, point in scene.labelled_classes]).reshape(-1, 3))
    for place in np.argsort(-at[:, 1]):
        label, (x, y) = scene.labelled_classes[place][0], at[place]
        for across, up, side, base in (
            (0, 5, "center", "bottom"),
            (0, -5, "center", "top"),
            (6, 0, "left", "center"),
            (-6, 0, "right", "center"),
            (5, 8, "left", "bottom"),
            (-5, 8, "right", "bottom"),
            (5, -8, "left", "top"),
            (-5, -8, "right", "top"),
        ):
            text: Text = axes.annotate(
                scene.class_names[label],
                (x, y),
                xytext=(across, up),
                textcoords="offset points",
                ha=side,
                va=base,
                fontsize=style.small_pt,
                color=INK["ink"],
                zorder=8,
                annotation_clip=False,
            )
            text.set_in_layout(False)
            box = text.get_window_extent(renderer)
            inside = figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 and box.y0 >= figure.bbox.y0
            if inside and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
            text.remove()
