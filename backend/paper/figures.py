"""Figures for papers, each a pure function of a request: matplotlib, true vectors, fonts embedded, no raster inside.

Plotly writes 3D scenes into PDF as pictures; here points are projected with the page's camera and drawn in 2D, sorted
by depth. The same request gives the same bytes.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.figure import Figure

from backend import palette, wire
from backend.errors import Invalid
from backend.figure_options import VENUES, FigureRequest
from backend.paper.camera import F64, Camera, parse_camera
from backend.paper.fonts import with_embedded_fonts
from ncengine.geometry.views import blocks

INK = palette.TOKENS["light"]
SMALL_PT, TEXT_PT = 7.0, 8.0
NAMES_UP_TO = 30
LEAST_SPREAD = {"cos": 0.25, "angle": 15.0}
"""The colour scale never spans less than this around the ideal, so that a collapsed run fades to calm."""


def render(request: FigureRequest) -> bytes:
    """Return the figure's file; raises Invalid for options that do not fit."""
    if request.venue not in VENUES:
        raise Invalid(f"venue must be one of {', '.join(VENUES)}, got {request.venue!r}")
    if request.format == "csv":
        return TABLES[request.figure](request).encode()
    style: dict[Any, Any] = {
        "font.family": ["DejaVu Serif" if request.serif else "DejaVu Sans"],
        "mathtext.fontset": "dejavuserif" if request.serif else "dejavusans",
        "font.size": TEXT_PT,
        "pdf.fonttype": 42,
        "svg.fonttype": "none",
        "svg.hashsalt": "collapse-lab",
        "axes.linewidth": 0.5,
        "axes.edgecolor": INK["ink-3"],
        "xtick.color": INK["ink-2"],
        "ytick.color": INK["ink-2"],
        "xtick.major.width": 0.5,
        "ytick.major.width": 0.5,
    }
    with mpl.rc_context(style):
        figure = DRAWINGS[request.figure](request)
        target = io.BytesIO()
        title = f"{request.figure} of run {request.run.id} ({request.run.name})"
        metadata: dict[str, Any] = {"Title": title}
        if request.format == "pdf":
            metadata |= {"CreationDate": None, "ModDate": None, "Creator": "Collapse Lab"}
        elif request.format == "svg":
            metadata |= {"Date": None, "Creator": "Collapse Lab"}
        else:
            metadata |= {"Software": "Collapse Lab"}
        figure.savefig(target, format=request.format, dpi=300, metadata=metadata)
    content = target.getvalue()
    return with_embedded_fonts(content, serif=request.serif) if request.format == "svg" else content


def _figure(request: FigureRequest, aspect: float) -> Figure:
    width = VENUES[request.venue][1]
    return Figure(figsize=(width, width * aspect), layout="constrained")


def _geometry(request: FigureRequest) -> wire.Geometry:
    if request.geometry is None:
        raise Invalid("this figure needs a geometry capture, and the run has none at that epoch")
    return request.geometry


def _coordinates(geometry: wire.Geometry) -> dict[str, F64]:
    """Return means, weights, features and vertices in the view's three dimensions."""
    view = np.asarray(geometry.view_matrix, dtype=np.float64)
    found = {name: wire.from_typed(geometry.arrays[name]) @ view for name in ("means", "weights", "features")}
    return {**found, "vertices": np.asarray(geometry.vertices) @ view}


def _drawn(request: FigureRequest) -> npt.NDArray[np.int64]:
    """Return the labels of the classes that are drawn."""
    return np.asarray(request.classes or range(len(_geometry(request).class_names)))


def draw_geometry(request: FigureRequest) -> Figure:
    """Class means, classifier rows, features, and the nearest ETF with its spokes, as the camera sees them."""
    geometry = _geometry(request)
    camera = parse_camera(request.camera)
    points = _coordinates(geometry)
    labels = wire.from_typed(geometry.arrays["labels"])
    palette_of_all = np.asarray(palette.class_colours(len(points["means"])))
    drawn = _drawn(request)
    points |= {name: points[name][drawn] for name in ("means", "weights", "vertices")}
    points["features"], labels = points["features"][np.isin(labels, drawn)], labels[np.isin(labels, drawn)]
    colours = palette_of_all[drawn]
    figure = _figure(request, 0.8)
    axes = figure.add_subplot()
    _guides(axes, camera)
    vertices, depth = camera.project(points["vertices"])
    for x, y in vertices:
        axes.plot([0, x], [0, y], color=INK["spoke"], lw=0.9, zorder=2, solid_capstyle="round")
    if "features" in request.layers:
        cloud, cloud_depth = camera.project(points["features"])
        order = cloud_depth.argsort()
        axes.scatter(
            cloud[order, 0], cloud[order, 1], s=3.2, c=palette_of_all[labels[order]], alpha=0.42, linewidths=0, zorder=3
        )
    order = depth.argsort()
    axes.scatter(
        vertices[order, 0],
        vertices[order, 1],
        s=58,
        facecolors="none",
        edgecolors=list(colours[order]),
        linewidths=1.0,
        zorder=4,
    )
    if "classifier" in request.layers:
        rows, _ = camera.project(points["weights"])
        axes.scatter(rows[:, 0], rows[:, 1], s=17, marker="D", c=colours, edgecolors="white", linewidths=0.4, zorder=5)
    means, depth = camera.project(points["means"])
    order = depth.argsort()
    axes.scatter(means[order, 0], means[order, 1], s=28, c=colours[order], edgecolors="white", linewidths=0.5, zorder=6)
    reach = 1.35 / camera.zoom
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
    axes.set_aspect("equal")
    axes.axis("off")
    if "names" in request.layers and len(means) <= NAMES_UP_TO:
        _names(axes, means, [geometry.class_names[label] for label in drawn])
    if "legend" in request.layers:
        _legend(axes, request)
    return figure


def _guides(axes: Axes, camera: Camera) -> None:
    """Three faint great circles, for depth."""
    turn = np.linspace(0, 2 * np.pi, 121)
    ring = np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1)
    for axis in range(3):
        circle, _ = camera.project(np.roll(ring, axis, axis=1))
        axes.plot(*circle.T, color=INK["guide"], lw=0.6, zorder=1)


def _names(axes: Axes, means: F64, names: list[str]) -> None:
    """Write each class's name beside its mean; a name that would cover another moves below, or gives way."""
    taken: list[tuple[float, float, float, float]] = []
    unit = (axes.get_ylim()[1] - axes.get_ylim()[0]) / 100
    for index in np.argsort(-means[:, 1]):
        x, y = means[index]
        half = 0.9 * unit * len(names[index]) * SMALL_PT / 7
        for offset in (4.2, -6.4, 7.6, -9.8):
            box = (x - half, x + half, y + offset * unit - 0.6 * unit, y + offset * unit + 2.6 * unit)
            if all(box[1] < b[0] or box[0] > b[1] or box[3] < b[2] or box[2] > b[3] for b in taken):
                taken.append(box)
                axes.text(
                    x, y + offset * unit, names[index], ha="center", fontsize=SMALL_PT, color=INK["ink"], zorder=8
                )
                break


def _legend(axes: Axes, request: FigureRequest) -> None:
    ink = INK["ink"]
    entries: list[tuple[str, dict[str, Any]]] = [
        ("nearest ETF", {"marker": "o", "mfc": "none", "mec": ink, "ms": 5.5}),
        ("class mean", {"marker": "o", "mfc": ink, "mec": "none", "ms": 5}),
    ]
    if "classifier" in request.layers:
        entries.append(("classifier", {"marker": "D", "mfc": ink, "mec": "none", "ms": 3.8}))
    if "features" in request.layers:
        entries.append(("feature", {"marker": "o", "mfc": INK["ink-3"], "mec": "none", "ms": 2}))
    handles = [mpl.lines.Line2D([], [], ls="none", label=label, **look) for label, look in entries]
    axes.legend(handles=handles, loc="upper left", frameon=False, fontsize=SMALL_PT, handletextpad=0.2, borderpad=0)


def draw_angles(request: FigureRequest) -> Figure:
    """The K×K cosines (or angles) between class means, centred at the simplex's −1/(K−1)."""
    geometry = _geometry(request)
    cosines = wire.from_typed(geometry.arrays["cosines_means"]).astype(np.float64)
    classes = len(geometry.class_names)  # rows may stand for blocks of neighbouring classes
    ideal = -1 / (classes - 1)
    values, centre = cosines, ideal
    if request.unit == "angle":
        values, centre = np.degrees(np.arccos(np.clip(cosines, -1, 1))), math.degrees(math.acos(ideal))
    shown = np.where(np.eye(len(values), dtype=bool) & (len(values) == classes), np.nan, values)
    spread = max(float(np.nanmax(np.abs(shown - centre))), LEAST_SPREAD[request.unit])
    colours = [palette.LOW, INK["neutral"], palette.HIGH]
    if request.unit == "angle":
        colours.reverse()
    figure = _figure(request, 0.82)
    axes = figure.add_subplot()
    mesh = axes.pcolormesh(
        shown[::-1],
        cmap=LinearSegmentedColormap.from_list("cosines", colours, N=64),
        norm=TwoSlopeNorm(centre, centre - spread, centre + spread),
        edgecolors="white",
        linewidth=0.5 if classes <= NAMES_UP_TO else 0,
    )
    axes.set_aspect("equal")
    axes.spines[:].set_visible(False)
    if classes <= NAMES_UP_TO:
        ticks = np.arange(classes) + 0.5
        axes.set_xticks(ticks, geometry.class_names, rotation=90, fontsize=SMALL_PT)
        axes.set_yticks(ticks, geometry.class_names[::-1], fontsize=SMALL_PT)
        axes.tick_params(length=0)
    else:
        axes.set(xticks=[], yticks=[])
    bar = figure.colorbar(mesh, ax=axes, shrink=0.8)
    bar.solids.set_rasterized(False)  # type: ignore[union-attr]
    bar.solids.set_edgecolor("face")  # type: ignore[union-attr]
    bar.outline.set_visible(False)
    middle = rf"$-1/{classes - 1}$" if request.unit == "cos" else f"{centre:.1f}°"
    ends = [f"{centre - spread:.2f}", f"{centre + spread:.2f}"]
    bar.set_ticks([centre - spread, centre, centre + spread], labels=[ends[0], middle, ends[1]])
    bar.ax.tick_params(labelsize=SMALL_PT)
    return figure


def draw_curves(request: FigureRequest) -> Figure:
    """Each metric over epochs: train solid, test dotted, ideal dashed."""
    series = request.series
    if series is None or not series.epochs:
        raise Invalid("this figure needs at least one measured epoch, and the run has none yet")
    keys = list(dict.fromkeys(key for split in request.splits for key in series.values.get(split, {})))
    if not keys:
        raise Invalid(f"none of the splits {', '.join(request.splits)} has a metric to draw")
    columns = min(len(keys), 2)
    rows = math.ceil(len(keys) / columns)
    figure = _figure(request, 0.55 * rows if columns == 2 else 0.7)
    colour = palette.HEADS["light"][request.run.config.head.name]
    for index, key in enumerate(keys):
        axes = figure.add_subplot(rows, columns, index + 1)
        ideal = request.ideals.get(key)
        drawn = []
        for split, dash in (("train", "-"), ("test", ":")):
            if split in request.splits and key in series.values.get(split, {}):
                values = [math.nan if value is None else float(value) for value in series.values[split][key]]
                axes.plot(series.epochs, values, dash, color=colour, lw=1.1, label=split)
                drawn += values
        positive = [value for value in drawn if value > 0]
        # An axis that spans decades is logarithmic; zero cannot stand on one, so the ideal is then left to the caption.
        if positive and len(positive) == len(drawn) and max(positive) > 20 * min(positive):
            axes.set_yscale("log")
        elif ideal is not None:
            axes.axhline(ideal, color=INK["ink-3"], lw=0.7, ls=(0, (6, 4)))
        axes.set_title(request.labels.get(key, key), fontsize=TEXT_PT, loc="left")
        axes.set_xlabel("epoch", fontsize=SMALL_PT)
        axes.tick_params(labelsize=SMALL_PT)
        axes.spines[["top", "right"]].set_visible(False)
        if index == 0 and "legend" in request.layers:
            axes.legend(frameon=False, fontsize=SMALL_PT)
    return figure


def _margins(request: FigureRequest) -> dict[str, F64]:
    """Return the sorted cosine margins by split, of the splits asked for that the capture has."""
    arrays = _geometry(request).arrays
    known = {"train": "margins", "test": "margins_test"}
    return {
        split: wire.from_typed(arrays[known[split]]).astype(np.float64)
        for split in request.splits
        if known[split] in arrays
    }


def draw_margins(request: FigureRequest) -> Figure:
    """The P_CM curve: sorted cosine margins over the share of samples; train solid, test dotted, ideal dashed."""
    classes = len(_geometry(request).class_names)
    figure = _figure(request, 0.7)
    axes = figure.add_subplot()
    colour = palette.HEADS["light"][request.run.config.head.name]
    for split, values in _margins(request).items():
        dash = "-" if split == "train" else ":"
        axes.plot(100 * np.linspace(0, 1, len(values)), values, dash, color=colour, lw=1.1, label=split)
    axes.axhline(classes / (classes - 1), color=INK["ink-3"], lw=0.7, ls=(0, (6, 4)))
    axes.axhline(0, color=INK["ink-3"], lw=0.5)
    axes.set_xlabel("samples, per cent", fontsize=SMALL_PT)
    axes.set_ylabel("cosine margin", fontsize=SMALL_PT)
    axes.tick_params(labelsize=SMALL_PT)
    axes.spines[["top", "right"]].set_visible(False)
    if "legend" in request.layers:
        axes.legend(frameon=False, fontsize=SMALL_PT)
    return figure


def table_geometry(request: FigureRequest) -> str:
    """Every drawn point: what it is, its class, its coordinates in the ETF's frame and in the view."""
    geometry = _geometry(request)
    view = np.asarray(geometry.view_matrix)
    rank = len(geometry.vertices[0])
    lines = [",".join(["kind", "class", *(f"c{i + 1}" for i in range(rank)), "x", "y", "z"])]
    classes = np.arange(len(geometry.class_names))
    groups = [
        ("vertex", np.asarray(geometry.vertices), classes),
        ("class mean", wire.from_typed(geometry.arrays["means"]), classes),
        ("classifier", wire.from_typed(geometry.arrays["weights"]), classes),
        ("feature", wire.from_typed(geometry.arrays["features"]), wire.from_typed(geometry.arrays["labels"])),
    ]
    drawn = set(_drawn(request).tolist())
    for kind, coordinates, labels in groups:
        for row, shown, label in zip(coordinates, coordinates @ view, labels, strict=True):
            if label not in drawn:
                continue
            numbers = ",".join(f"{value:.7g}" for value in [*row, *shown])
            lines.append(f"{kind},{_quoted(geometry.class_names[label])},{numbers}")
    return "\n".join(lines) + "\n"


def table_angles(request: FigureRequest) -> str:
    """The matrix that is drawn, with class names on both sides; the diagonal included."""
    geometry = _geometry(request)
    cosines = wire.from_typed(geometry.arrays["cosines_means"]).astype(np.float64)
    values = cosines if request.unit == "cos" else np.degrees(np.arccos(np.clip(cosines, -1, 1)))
    classes = len(geometry.class_names)
    size = blocks(classes)
    names = [_quoted(name) for name in geometry.class_names]
    if size > 1:
        names = [f"{first + 1}–{min(classes, first + size)}" for first in range(0, classes, size)]
    lines = [",".join(["class", *names])]
    lines += [",".join([name, *(f"{value:.7g}" for value in row)]) for name, row in zip(names, values, strict=True)]
    return "\n".join(lines) + "\n"


def table_margins(request: FigureRequest) -> str:
    """The drawn order statistics: split, share of samples, margin."""
    lines = ["split,share,margin"]
    for split, values in _margins(request).items():
        shares = np.linspace(0, 1, len(values))
        lines += [f"{split},{share:.6f},{value:.7g}" for share, value in zip(shares, values, strict=True)]
    return "\n".join(lines) + "\n"


def table_curves(request: FigureRequest) -> str:
    """Epochs and each drawn metric, a column for each split."""
    series = request.series
    if series is None:
        raise Invalid("this table needs at least one measured epoch, and the run has none yet")
    columns = {
        f"{split}/{key}": values for split in request.splits for key, values in series.values.get(split, {}).items()
    }
    lines = [",".join(["epoch", *columns])]
    for index, epoch in enumerate(series.epochs):
        cells = ["" if values[index] is None else f"{values[index]}" for values in columns.values()]
        lines.append(",".join([str(epoch), *cells]))
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\n') else text


DRAWINGS: dict[str, Callable[[FigureRequest], Figure]] = {
    "geometry": draw_geometry,
    "angles": draw_angles,
    "curves": draw_curves,
    "margins": draw_margins,
}
TABLES: dict[str, Callable[[FigureRequest], str]] = {
    "geometry": table_geometry,
    "angles": table_angles,
    "curves": table_curves,
    "margins": table_margins,
}
