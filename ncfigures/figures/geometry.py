"""Features, class means, classifier and the nearest ETF in 3D, a panel for each epoch and group."""

from __future__ import annotations

import numpy as np

from ncengine.geometry.views import WHOLE_FRAME_UP_TO
from ncfigures import palette
from ncfigures.catalogue import LAYERS
from ncfigures.figure_data import CaptureData, FigureRequest
from ncfigures.figure_spec import (
    F64,
    FigureSpec,
    LegendEntry,
    ScenePath,
    ScenePoints,
    SceneSpec,
    SummaryTable,
    Symbol,
    TableCell,
)
from ncfigures.figures import seed_statistics as seeds
from ncfigures.options import split_list

INK = palette.TOKENS["light"]


def build_geometry(request: FigureRequest) -> FigureSpec:
    """Return a scene for each capture."""
    shown = split_list(request.options.layers) if request.options.layers is not None else list(LAYERS)
    captures = request.shown_captures()
    several = len(captures) > 1
    notices: list[str] = []
    panels = [
        _scene(request, capture, shown, seeds.format_panel_title(request, index) if several else "", notices)
        for index, capture in enumerate(captures)
    ]
    ink, quiet = INK["ink"], INK["ink-3"]
    legend = [LegendEntry("nearest ETF", ink, symbol="ring"), LegendEntry("class mean", ink, symbol="dot")]
    if "classifier" in shown:
        legend.append(LegendEntry("classifier", ink, symbol="diamond"))
    if "features" in shown:
        legend.append(LegendEntry("feature", quiet, symbol="speck"))
    first = captures[0]
    when = ", ".join(f"{capture.epoch:g}" for capture in request.first_run().captures)
    parts = ["class means (dots)"]
    parts += ["classifier rows (diamonds)"] * ("classifier" in shown)
    parts += ["training features (specks)"] * ("features" in shown)
    listed = f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]
    kept = first.residual
    outside = f" {100 * float(kept):.1f} % of the features' norm lies outside this frame." if kept is not None else ""
    return FigureSpec(
        panels=panels,
        legend=legend,
        caption=f"{listed[0].upper()}{listed[1:]} at epoch {when} in the frame of the nearest simplex ETF, whose "
        f"vertices are the rings; {first.view} view.{outside}",
        table=_table(request),
        columns=len(panels) if len(panels) <= 4 else 3,
        notices=list(dict.fromkeys(notices)),
    )


def _scene(request: FigureRequest, capture: CaptureData, shown: list[str], title: str, notices: list[str]) -> SceneSpec:
    view = np.asarray(capture.view_matrix, dtype=np.float64)
    labels = capture.arrays["labels"].astype(np.int64)
    classes = len(capture.class_names)
    drawn = np.asarray(capture.shown_classes if capture.shown_classes is not None else range(classes))
    coordinates: dict[str, F64] = {
        "vertex": np.asarray(capture.vertices, dtype=np.float64)[drawn],
        "class mean": capture.arrays["means"].astype(np.float64)[drawn],
    }
    if "classifier" in shown:
        coordinates["classifier"] = capture.arrays["weights"].astype(np.float64)[drawn]
    of_features = labels[np.isin(labels, drawn)]
    if "features" in shown:
        features = capture.arrays["features"].astype(np.float64)
        coordinates["feature"] = features[np.isin(labels, drawn)] if len(features) == len(labels) else features[:0]
        of_features = of_features if len(features) == len(labels) else of_features[:0]
    seen = {kind: at @ view for kind, at in coordinates.items()}
    every = _colours(capture, classes, notices)
    symbols: dict[str, Symbol] = {"vertex": "ring", "class mean": "dot", "classifier": "diamond", "feature": "speck"}
    points = [
        ScenePoints(
            kind=kind,
            symbol=symbols[kind],
            positions_N3=at,
            colours=[every[label] for label in (of_features if kind == "feature" else drawn)],
            labels=of_features if kind == "feature" else drawn,
        )
        for kind, at in seen.items()
    ]
    paths: list[ScenePath] = []
    if classes <= WHOLE_FRAME_UP_TO:
        paths = [
            ScenePath("spoke", np.stack([np.zeros(3), vertex]), INK["spoke"], int(label))
            for label, vertex in zip(drawn, seen["vertex"], strict=True)
        ]
    named: list[tuple[int, F64]] = []
    if "names" in shown:
        wanted = drawn if len(drawn) <= palette.COLOURED_CLASSES else np.asarray(capture.smallest_pair)
        named = [(int(label), seen["class mean"][list(drawn).index(label)]) for label in wanted]
    return SceneSpec(
        points=points,
        paths=paths,
        camera=request.options.camera,
        class_names=capture.class_names,
        labelled_classes=named,
        coordinates=coordinates,
        title=title,
    )


def _colours(capture: CaptureData, classes: int, notices: list[str]) -> list[str]:
    """Return a colour for each class; above 30 classes only the pair at the smallest angle is coloured."""
    colours = palette.class_colours(classes)
    if classes > palette.COLOURED_CLASSES:
        first, second = capture.smallest_pair
        colours[first], colours[second] = palette.CLASSES_10[2], palette.CLASSES_10[0]
        notices.append(
            f"{classes} classes are too many to be told apart by colour: the two at the smallest angle are marked, "
            f"{capture.class_names[first]} and {capture.class_names[second]}"
        )
    return colours


def _table(request: FigureRequest) -> SummaryTable:
    """Return for each class the norm of its mean and the angles to its vertex, at the last capture."""
    capture = request.first_run().captures[-1]
    means = capture.arrays["means"].astype(np.float64)
    weights = capture.arrays["weights"].astype(np.float64)
    vertices = np.asarray(capture.vertices, dtype=np.float64)
    if len(vertices) != len(means) or vertices.shape[1] != means.shape[1]:
        return SummaryTable("", [], [])
    rows: list[tuple[str, list[TableCell | None]]] = []
    for name, mean, weight, vertex in zip(capture.class_names, means, weights, vertices, strict=True):
        norm = float(np.linalg.norm(mean))
        rows.append((name, [TableCell(norm), TableCell(_angle(mean, vertex)), TableCell(_angle(weight, vertex))]))
    return SummaryTable(
        "class", ["norm of its mean, of the means'", "mean to vertex, °", "classifier to vertex, °"], rows
    )


def _angle(one: F64, other: F64) -> float:
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.degrees(np.arccos(np.clip(one @ other / lengths, -1, 1)))) if lengths else 0.0
