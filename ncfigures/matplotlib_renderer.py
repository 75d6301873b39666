"""Render a figure spec with matplotlib: true vectors at a venue's width and in its type, nothing rasterised."""

from __future__ import annotations

import dataclasses
import io
import math
import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ncfigures.catalogue import Format
from ncfigures.figure_spec import ChartSpec, FigureSpec, HeatmapSpec, LegendEntry, SceneSpec
from ncfigures.matplotlib_panels import draw_chart, draw_class_names, draw_colour_scale, draw_heatmap, draw_scene
from ncfigures.matplotlib_style import (
    DASHES,
    INK,
    SYMBOLS,
    RenderStyle,
    apply_rc_params,
    choose_font_families,
    embed_fonts,
    replace_unprintable,
)
from ncfigures.options import FigureOptions
from ncfigures.pgf import draw_pgf
from ncfigures.provenance import Provenance, make_file_metadata, with_provenance_comment

NARROW_IN = 4.5
"""Below this width panels with row labels are in one column, other panels in two at most."""


def render_drawn_file(spec: FigureSpec, options: FigureOptions, provenance: Provenance, title: str) -> bytes:
    """Return the file of a figure as PDF, SVG, EPS, PGF or PNG, with its provenance inside."""
    format_ = provenance.format
    with apply_rc_params(options):
        figure = draw_figure(spec, options, format_)
        if format_ == "pgf":
            return with_provenance_comment(provenance, draw_pgf(figure, f"{provenance.figure}.pgf")).encode()
        target = io.BytesIO()
        figure.savefig(target, format=format_, dpi=options.dpi, metadata=make_file_metadata(provenance, title))
    content = target.getvalue()
    if format_ == "svg":
        return embed_fonts(content, choose_font_families(options))
    if format_ == "eps":
        return with_provenance_comment(provenance, content.decode("latin-1")).encode("latin-1")
    return content


def draw_figure(spec: FigureSpec, options: FigureOptions, format_: Format, *, below_in: float = 0.0) -> Figure:
    """Return a spec as a matplotlib figure, `below_in` inches free at the bottom. Call and save inside `rc_context`."""
    style = RenderStyle(options, opaque=format_ == "eps")
    spec = _with_printable_text(spec, choose_font_families(options))
    columns = spec.columns
    if style.width_in < NARROW_IN:
        rowed = any(
            isinstance(panel, ChartSpec) and panel.row_labels and not panel.hide_row_labels for panel in spec.panels
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
    alike = len({(p.centre, p.half_range) for p in spec.panels if isinstance(p, HeatmapSpec)}) == 1
    alike &= all(isinstance(panel, HeatmapSpec) for panel in spec.panels)
    grid = figure.add_gridspec(rows, columns, height_ratios=heights)
    scenes: list[tuple[Axes, SceneSpec]] = []
    heats: dict[tuple[float, float], list[tuple[Axes, Any, HeatmapSpec]]] = {}
    for place, panel in enumerate(spec.panels):
        axes = figure.add_subplot(grid[place // columns, place % columns])
        if isinstance(panel, SceneSpec):
            draw_scene(axes, panel, style, cell_in)
            scenes.append((axes, panel))
        elif isinstance(panel, HeatmapSpec):
            mesh = draw_heatmap(axes, panel, style, cell_in)
            heats.setdefault((panel.centre, panel.half_range), []).append((axes, mesh, panel))
        else:
            draw_chart(axes, panel, style, cell_in)
        # A heatmap has its colour scale beside it, unless all heatmaps share one.
        room_in = cell_in * (0.7 if isinstance(panel, HeatmapSpec) and not alike else 1.0)
        _title(axes, chr(ord("a") + place) if spec.letters else "", panel.title, style, room_in)
    for alike_heatmaps in heats.values():
        for one in [alike_heatmaps] if alike else [[each] for each in alike_heatmaps]:
            draw_colour_scale(figure, one, style)
    if any(scene.labelled_classes for _, scene in scenes):
        figure.draw_without_rendering()
        for axes, scene in scenes:
            draw_class_names(figure, axes, scene, style)
    return figure


def _wrapped(title: str, style: RenderStyle, cell_in: float) -> str:
    letters = max(12, int(72 * cell_in / (0.5 * style.text_pt)) - 6)
    return "\n".join(textwrap.wrap(title, letters))


def _above(panel: Any, style: RenderStyle) -> float:
    """Return the inches that the lines of a title take."""
    return 0.1 + style.text_pt / 72 if panel.title else 0.0


def _title(axes: Axes, letter: str, title: str, style: RenderStyle, cell_in: float) -> None:
    wrapped = _wrapped(title, style, cell_in)
    look: dict[str, Any] = {"fontsize": style.text_pt, "color": INK["ink"]}
    if not letter:
        if wrapped:
            axes.set_title(wrapped, loc="left", **look)
        return
    # Titles may be wider than their axes as the layout sees it, annotations not: the title keeps the height alone.
    first = axes.set_title("\n" * wrapped.count("\n") + letter, loc="left", fontweight="bold", **look)
    rest = axes.annotate(
        wrapped, (1, 0), xycoords=first, xytext=(5, 0), textcoords="offset points", va="bottom", **look
    )
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


def _with_printable_text(value: Any, families: list[str]) -> Any:
    """Return a spec, or a part of it, with texts that the fonts can write."""
    if isinstance(value, str):
        return replace_unprintable(value, families)
    if isinstance(value, tuple | list):
        return [_with_printable_text(each, families) for each in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return dataclasses.replace(
            value, **{name: _with_printable_text(each, families) for name, each in fields.items()}
        )
    return value
