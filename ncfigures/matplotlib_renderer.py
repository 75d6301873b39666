"""A spec as a matplotlib figure: true vectors at a venue's width and in its type, nothing rasterised.

Plotly writes 3D scenes into PDF as pictures; here points are projected with the page's camera and drawn in 2D, sorted
by depth, the far ones paler.
"""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from ncfigures import palette
from ncfigures.camera import Camera, parse_camera
from ncfigures.catalogue import VENUES, Format
from ncfigures.colour_vision import blend_with_white, simulate
from ncfigures.figure_spec import F64, Axis, Chart, FigureSpec, Heatmap, LegendEntry, Scene
from ncfigures.fonts import printable
from ncfigures.options import FigureOptions

INK = palette.TOKENS["light"]
DASHES: dict[str, Any] = {"solid": "-", "dot": ":", "dash": (0, (5, 2)), "dashdot": "-."}
NARROW_IN = 4.5
"""Below this width bars with long names stand in one column, and panels in two at most."""
FAMILIES = {True: ["STIXGeneral", "DejaVu Serif"], False: ["DejaVu Sans"]}
"""Type: Times as in the venues' papers, or without serifs; the second has letters that the first lacks."""
PALEST = 0.5
"""Opacity of the farthest marks of a scene."""
SYMBOLS = {"ring": "o", "dot": "o", "diamond": "D", "speck": "o"}
AREAS = {"ring": 58.0, "dot": 28.0, "diamond": 17.0, "speck": 3.2}
"""Of a scene's marks in a panel of three inches, in square points."""
REACH = 1.35


@dataclass(frozen=True)
class RenderStyle:
    """What every part of a figure is drawn with."""

    options: FigureOptions
    opaque: bool
    """The format knows no transparency."""

    def colour(self, colour: str) -> str:
        return simulate(colour, self.options.sight)

    def translucent(self, colour: str, opacity: float) -> dict[str, Any]:
        """Return a face that lets through what is behind it, or looks so on white."""
        mixed = self.colour(colour)
        return {"color": blend_with_white(mixed, opacity)} if self.opaque else {"color": mixed, "alpha": opacity}

    @property
    def text_pt(self) -> float:
        return VENUES[self.options.venue].text_pt

    @property
    def small_pt(self) -> float:
        return VENUES[self.options.venue].small_pt

    @property
    def width_in(self) -> float:
        return self.options.width or VENUES[self.options.venue].width_in


def rc_params(options: FigureOptions) -> dict[str, Any]:
    """Return matplotlib's settings: fonts embedded as TrueType, text as text, the same names of parts every time."""
    return {
        "font.family": FAMILIES[options.serif],
        "font.size": VENUES[options.venue].text_pt,
        "pdf.fonttype": 42,
        "ps.fonttype": 42,
        "svg.fonttype": "none",
        "svg.hashsalt": "collapse-lab",
        "axes.linewidth": 0.5,
        "axes.edgecolor": INK["ink-3"],
        "text.parse_math": False,
        "xtick.color": INK["ink-2"],
        "ytick.color": INK["ink-2"],
        "xtick.major.width": 0.5,
        "ytick.major.width": 0.5,
        "xtick.major.size": 2.5,
        "ytick.major.size": 2.5,
    }


def draw_figure(spec: FigureSpec, options: FigureOptions, format_: Format, *, below_in: float = 0.0) -> Figure:
    """Return the figure of a spec, with `below_in` left free at its foot; call it, and save it, inside `rc_context`."""
    style = RenderStyle(options, opaque=format_ == "eps")
    spec = _with_printable_text(spec, font_families(options))
    columns = spec.columns
    if style.width_in < NARROW_IN:
        rowed = any(
            isinstance(panel, Chart) and panel.row_labels and not panel.hide_row_labels for panel in spec.panels
        )
        columns = 1 if rowed else min(columns, 2)
    rows = math.ceil(len(spec.panels) / columns)
    cell_in = style.width_in / columns
    heights = [
        max(panel.aspect * cell_in + _above(panel, style) for panel in spec.panels[row * columns : (row + 1) * columns])
        for row in range(rows)
    ]
    keys = spec.legend if options.legend else []
    spacing = ConstrainedLayoutEngine(w_pad=0.05, h_pad=0.03, wspace=0.02, hspace=0.02)
    figure = Figure(figsize=(style.width_in, sum(heights)), layout=spacing)
    FigureCanvasAgg(figure)
    legend_in = _legend(figure, keys, style) if keys else 0.0
    height_in = sum(heights) + legend_in + below_in
    figure.set_size_inches(style.width_in, height_in)
    spacing.set(rect=(0, below_in / height_in, 1, 1 - below_in / height_in))
    alike = len({(p.centre, p.half_range) for p in spec.panels if isinstance(p, Heatmap)}) == 1
    alike &= all(isinstance(panel, Heatmap) for panel in spec.panels)
    grid = figure.add_gridspec(rows, columns, height_ratios=heights)
    scenes: list[tuple[Axes, Scene]] = []
    heats: dict[tuple[float, float], list[tuple[Axes, Any, Heatmap]]] = {}
    for place, panel in enumerate(spec.panels):
        axes = figure.add_subplot(grid[place // columns, place % columns])
        if isinstance(panel, Scene):
            _scene(axes, panel, style, cell_in)
            scenes.append((axes, panel))
        elif isinstance(panel, Heatmap):
            mesh = _heat(axes, panel, style, cell_in)
            heats.setdefault((panel.centre, panel.half_range), []).append((axes, mesh, panel))
        else:
            _chart(axes, panel, style, cell_in)
        # Beside a heatmap stands its scale, unless all share one.
        room_in = cell_in * (0.7 if isinstance(panel, Heatmap) and not alike else 1.0)
        _title(axes, chr(ord("a") + place) if spec.letters else "", panel.title, style, room_in)
    for held in heats.values():
        for one in [held] if alike else [[each] for each in held]:
            _scale(figure, one, style)
    if any(scene.labelled_classes for _, scene in scenes):
        figure.draw_without_rendering()
        for axes, scene in scenes:
            _names(figure, axes, scene, style)
    return figure


# ── what belongs to all panels ──────────────────────────────────────────────────────────────────────────────────────


def _wrapped(title: str, style: RenderStyle, cell_in: float) -> str:
    letters = max(12, int(72 * cell_in / (0.5 * style.text_pt)) - 6)
    return "\n".join(textwrap.wrap(title, letters))


def _above(panel: Any, style: RenderStyle) -> float:
    """Return the inches that the lines of a title take."""
    return 0.1 + style.text_pt / 72 if panel.title else 0.0


def _title(axes: Axes, letter: str, title: str, style: RenderStyle, cell_in: float) -> None:
    words = _wrapped(title, style, cell_in)
    look: dict[str, Any] = {"fontsize": style.text_pt, "color": INK["ink"]}
    if not letter:
        if words:
            axes.set_title(words, loc="left", **look)
        return
    # Titles may be wider than their axes as the layout sees it, annotations not: the title keeps the height alone.
    first = axes.set_title("\n" * words.count("\n") + letter, loc="left", fontweight="bold", **look)
    rest = axes.annotate(words, (1, 0), xycoords=first, xytext=(5, 0), textcoords="offset points", va="bottom", **look)
    rest.set_in_layout(False)


def _legend(figure: Figure, keys: Sequence[LegendEntry], style: RenderStyle) -> float:
    """Put the legend above all panels, in as many columns as fit; return its height in inches."""
    handles = [_handle(key, style) for key in keys]
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    for columns in range(len(keys), 0, -1):
        legend = figure.legend(
            handles=handles,
            loc="outside upper left",
            ncols=columns,
            frameon=False,
            fontsize=style.small_pt,
            handlelength=1.8,
            handletextpad=0.4,
            columnspacing=1.2,
            borderpad=0.1,
        )
        box = legend.get_window_extent(renderer)
        if box.width <= figure.bbox.width or columns == 1:
            return float(box.height) / figure.dpi + 0.1
        legend.remove()
    return 0.0


def _handle(key: LegendEntry, style: RenderStyle) -> Any:
    colour = style.colour(key.colour)
    if key.symbol == "patch":
        return Patch(facecolor=colour, edgecolor="none", label=key.label)
    if key.symbol is None:
        width = 0.7 if key.label == "ideal" else 1.2
        return Line2D([], [], color=colour, ls=DASHES[key.dash or "solid"], lw=width, label=key.label)
    look = {"mfc": "none", "mec": colour} if key.symbol == "ring" else {"mfc": colour, "mec": "none"}
    size = {"ring": 5.5, "dot": 5.0, "diamond": 3.8, "speck": 2.0}[key.symbol]
    return Line2D([], [], ls="none", marker=SYMBOLS[key.symbol], ms=size, label=key.label, **look)  # type: ignore[arg-type]


# ── charts ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def tick(value: float) -> str:
    """Return a number as it stands at an axis."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:g}".replace("-", "−")
    power = math.floor(math.log10(abs(value)) + 1e-9)
    return f"{value / 10**power:g}e{power}".replace("-", "−")


def _chart(axes: Axes, chart: Chart, style: RenderStyle, cell_in: float) -> None:
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
    held = axes.xaxis if which == "x" else axes.yaxis
    if axis.log:
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
        low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
        decades = math.log10(high / low)
        held.set_major_locator(LogLocator(subs=(1.0,) if decades > 2 else (1.0, 2.0, 5.0), numticks=most))
        held.set_minor_locator(NullLocator())
    elif axis.tick_labels is None:
        held.set_major_locator(MaxNLocator(most, steps=[1, 2, 5, 10]))
    if axis.tick_labels is not None:
        held.set_ticks([place for place, _ in axis.tick_labels], [words for _, words in axis.tick_labels])
        if which == "x" and sum(len(words) for _, words in axis.tick_labels) > 24:
            for label in axes.get_xticklabels():
                label.set(rotation=35, ha="right", rotation_mode="anchor")
    elif axis.percent:
        held.set_major_formatter(FuncFormatter(lambda value, _: f"{tick(round(100 * value, 6))} %"))
    else:
        held.set_major_formatter(FuncFormatter(lambda value, _: tick(round(float(value), 12))))
    if axis.limits is not None:
        (axes.set_xlim if which == "x" else axes.set_ylim)(*axis.limits)
    if axis.label:
        held.set_label_text(axis.label, fontsize=style.small_pt, color=INK["ink-2"])


def _rows(axes: Axes, chart: Chart, style: RenderStyle) -> None:
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


def _heat(axes: Axes, heat: Heatmap, style: RenderStyle, cell_in: float) -> Any:
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
        # A name needs its line's height: where cells are lower, every other name is left out, or more of them.
        room_pt = 72 * 0.62 * cell_in / count
        each = max(1, math.ceil(1.1 * style.small_pt / room_pt))
        places = range(0, count, each)
        names = [heat.labels[place] for place in places]
        axes.set_xticks([place + 0.5 for place in places], names, rotation=90, fontsize=style.small_pt)
        axes.set_yticks([count - place - 0.5 for place in places], names, fontsize=style.small_pt)
    else:
        axes.set(xticks=[], yticks=[])
    return mesh


def _scale(figure: Figure, held: list[tuple[Axes, Any, Heatmap]], style: RenderStyle) -> None:
    """Draw one scale for all heatmaps that share it."""
    _, mesh, heat = held[-1]
    bar = figure.colorbar(mesh, ax=[axes for axes, _, _ in held], shrink=0.8, aspect=16)
    bar.solids.set_rasterized(False)  # type: ignore[union-attr]
    bar.solids.set_edgecolor("face")  # type: ignore[union-attr]
    bar.outline.set_visible(False)
    bar.set_ticks(
        [heat.centre - heat.half_range, heat.centre, heat.centre + heat.half_range], labels=list(heat.tick_labels)
    )
    bar.ax.tick_params(labelsize=style.small_pt)


# ── scenes ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _scene(axes: Axes, scene: Scene, style: RenderStyle, cell_in: float) -> None:
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
    """Return the opacity of a mark: one in front, less behind the centre."""
    # In sixteen steps: files are smaller where marks share their colours.
    front = round(16 * min(1.0, max(0.0, (depth + 1) / 2))) / 16
    return PALEST + (1 - PALEST) * math.pow(front, 0.7)


def _guides(axes: Axes, camera: Camera) -> None:
    """Three faint great circles, for depth."""
    turn = np.linspace(0, 2 * np.pi, 121)
    ring = np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1)
    for axis in range(3):
        circle, _ = camera.project(np.roll(ring, axis, axis=1))
        axes.plot(*circle.T, color=INK["guide"], lw=0.6, zorder=1)


def _titles(figure: Figure) -> list[Any]:
    """Return the words above the panels."""
    left = [axes._left_title for axes in figure.axes]  # type: ignore[attr-defined]
    return [text for text in (*left, *(words for axes in figure.axes for words in axes.texts)) if text.get_text()]


def _names(figure: Figure, axes: Axes, scene: Scene, style: RenderStyle) -> None:
    """Write each class's name beside its mean; one that would cover another moves, or gives way."""
    camera = parse_camera(scene.camera)
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    taken: list[Any] = [words.get_window_extent(renderer) for words in _titles(figure)]
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


def _with_printable_text(value: Any, families: list[str]) -> Any:
    """Return a spec, or a part of it, with words that the fonts can write."""
    if isinstance(value, str):
        return printable(value, families)
    if isinstance(value, tuple | list):
        return [_with_printable_text(each, families) for each in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        held = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return dataclasses.replace(value, **{name: _with_printable_text(each, families) for name, each in held.items()})
    return value


def font_families(options: FigureOptions) -> list[str]:
    """Return the fonts of a figure's text, the first choice first."""
    return FAMILIES[options.serif]


def rc_context(options: FigureOptions) -> Any:
    """Return the context in which a figure is drawn and saved."""
    return mpl.rc_context(rc_params(options))  # type: ignore[arg-type]
