"""Runs as one HTML file that works offline: scenes, slider, cosines, curves; drawn by the page's own modules, inlined.

One run is shown whole; several are compared: the first run of each group of seeds as a scene, side by side at the same
epoch, curves as the median over a group's seeds with their range. Coordinates are rounded to 16 bits over their range;
the largest error is written into the page. A content security policy forbids all requests.
"""

from __future__ import annotations

import base64
import json
import math
import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ncengine.geometry.views import WHOLE_FRAME_UP_TO
from ncfigures import palette
from ncfigures.catalogue import MAX_SCENES
from ncfigures.errors import FigureError, requires_extra
from ncfigures.figure_data import F64, CaptureData, MetricCurves
from ncfigures.figures.seed_statistics import SPLIT_DASHES, SeedStatistics, summarise_seeds
from ncfigures.palette import Dash

if TYPE_CHECKING:
    from jinja2 import Template

FIRST_METRICS = ("nc1", "etf_distance_means", "nc3", "top1")
MAX_COORDINATE_BYTES = 2_000_000
"""Limit of all coordinates before base64, so that the file stays below 3 MB."""
LEVELS = 32767
ARRAYS = ("means", "weights", "features", "cosines_means", "pca")
COORDINATES = ("means", "weights", "features")
"""The arrays whose rounding error is written into the page."""
SPLITS = ("train", "test")
ENTRY_MODULE = "offline/offline-replay.mjs"
_IMPORT = re.compile(r'from "(\.\.?/[a-z/-]+\.mjs)"')


@dataclass(frozen=True, slots=True)
class ReplayGroup:
    """Runs that differ in their seed only: the captures of the first, the metrics of all."""

    label: str
    head: str
    dash: Dash
    run_id: str
    """The first run."""
    class_names: Sequence[str]
    view: str
    view_matrix: F64
    vertices: F64
    captures: Sequence[CaptureData]
    captures_left_out: int
    curves: Sequence[MetricCurves]
    """One for each run."""


@dataclass(frozen=True, slots=True)
class ReplayPage:
    """What a replay has in common with the pages of the service."""

    metric_labels: Mapping[str, str]
    """Labels of metrics by key, in the order of the menu."""
    view_labels: Mapping[str, str]
    """Labels of views by name, in the order of their buttons."""
    constants_element: str
    """The HTML element with the constants that the scripts read."""
    read_module: Callable[[str], str]
    """Returns the text of a JavaScript module by its path below the folder of scripts."""


def render_replay(groups: Sequence[ReplayGroup], page: ReplayPage) -> bytes:
    """Return the HTML file of one group of seeds, or of up to MAX_SCENES to compare."""
    content = _content(groups, page.metric_labels)
    modules = _modules(page.read_module)
    shims = {name: _data_url(_with_bare_imports(name, text)) for name, text in modules.items() if name != ENTRY_MODULE}
    data = json.dumps(content, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    text = _template().render(
        name=content["name"],
        theme_variables=_theme_variables(),
        views=_views(page.view_labels, groups, content["runs"]),
        constants=page.constants_element,
        about=_about(content),
        import_map=json.dumps({"imports": shims}),
        data=data,
        script=_with_bare_imports(ENTRY_MODULE, modules[ENTRY_MODULE]),
    )
    return text.encode()


def _template() -> Template:
    with requires_extra("figures"):
        from jinja2 import Environment, PackageLoader, StrictUndefined
    loader = PackageLoader("ncfigures")
    return Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    ).get_template("replay.html.jinja")


def require_group_count(count: int) -> None:
    """Raise FigureError where there are no groups, or more than fit side by side."""
    if not 0 < count <= MAX_SCENES:
        raise FigureError(f"a replay shows 1 to {MAX_SCENES} runs or groups of seeds side by side, got {count}")


def select_captures(count: int, first: CaptureData, groups: int) -> list[int]:
    """Return the indices of the captures that fit into the file, evenly spaced, with the first and the last."""
    capture_bytes = sum(2 * first.arrays[name].size for name in ARRAYS if name in first.arrays)
    most = max(2, MAX_COORDINATE_BYTES // groups // capture_bytes)
    if count <= most:
        return list(range(count))
    return [int(index) for index in np.linspace(0, count - 1, most).round()]


def _modules(read_module: Callable[[str], str]) -> dict[str, str]:
    """Return the replay's module and all modules that it imports, by their paths below the folder of scripts."""
    modules: dict[str, str] = {}
    wanted = [ENTRY_MODULE]
    while wanted:
        name = wanted.pop()
        if name not in modules:
            modules[name] = read_module(name)
            wanted += [_resolved(name, path) for path in _IMPORT.findall(modules[name])]
    return modules


def _resolved(importer: str, path: str) -> str:
    """Return the name of the module that `importer` imports by a relative path."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(importer), path))


def _with_bare_imports(name: str, text: str) -> str:
    """Return a module's text with relative imports replaced by names: a module inside a page has no folder."""
    return _IMPORT.sub(lambda match: f'from "{_resolved(name, match[1])}"', text).replace("</script", "<\\/script")


def _data_url(text: str) -> str:
    return "data:text/javascript;base64," + base64.b64encode(text.encode()).decode()


def _content(groups: Sequence[ReplayGroup], metric_labels: Mapping[str, str]) -> dict[str, Any]:
    """Return everything that the page shows, ready for JSON."""
    known = {
        key for group in groups for curves in group.curves for split in SPLITS for key in curves.values.get(split, {})
    }
    shown = [key for key in metric_labels if key in known]
    runs = [_run(group) for group in groups]
    splits = SPLITS if len(groups) == 1 else SPLITS[:1]
    return {
        "name": " · ".join(group.label for group in groups),
        "runs": runs,
        "error": max(run["error"] for run in runs),
        "metrics": [{"key": key, "label": metric_labels[key]} for key in shown],
        "first": [key for key in FIRST_METRICS if key in shown],
        "lines": [_line(group, split, shown, several=len(groups) > 1) for group in groups for split in splits],
    }


def _run(group: ReplayGroup) -> dict[str, Any]:
    """Return the captures of a group's first run."""
    captures, classes = group.captures, len(group.class_names)
    names = [name for name in ARRAYS if all(name in capture.arrays for capture in captures)]
    packed = {name.removesuffix("_means"): _quantised(_stacked(captures, name)) for name in names}
    return {
        "id": group.run_id,
        "label": group.label,
        "head": group.head,
        "class_names": list(group.class_names),
        "colours": palette.class_colours(classes),
        "view": group.view,
        "view_matrix": group.view_matrix.tolist(),
        "vertices": group.vertices.tolist(),
        "ideal_deg": math.degrees(math.acos(-1 / (classes - 1))),
        "labels": captures[0].arrays["labels"].tolist(),
        "captures": [
            {
                "epoch": round(capture.epoch, 6),
                "smallest_angle_deg": _json_number(capture.smallest_angle_deg),
                "mean_angle_error_deg": _json_number(capture.mean_angle_error_deg),
                "smallest_pair": list(capture.smallest_pair),
            }
            for capture in captures
        ],
        "left_out": group.captures_left_out,
        "arrays": packed,
        "error": max(array["scale"] for name, array in packed.items() if name in COORDINATES) / 2,
    }


def _line(group: ReplayGroup, split: str, shown: Sequence[str], *, several: bool) -> dict[str, Any]:
    """Return a group's curves: of several seeds the median, minimum and maximum at each epoch that any seed has."""
    statistics: dict[str, SeedStatistics] = {}
    for key in shown:
        having = [curves for curves in group.curves if key in curves.values.get(split, {})]
        if having:
            statistics[key] = summarise_seeds([(curves.epochs, curves.values[split][key]) for curves in having])
    return {
        "label": group.label if several else split,
        "colour": f"head-{palette.head_key(group.head)}" if several else "accent",
        "dash": group.dash if several else SPLIT_DASHES[split],
        "values": {key: _curve(curve) for key, curve in statistics.items()},
    }


def _curve(curve: SeedStatistics) -> dict[str, Any]:
    content = {"epochs": curve.x.astype(int).tolist(), "middle": _six_digits(curve.median)}
    if curve.count > 1:
        content |= {"low": _six_digits(curve.min), "high": _six_digits(curve.max)}
    return content


def _stacked(captures: Sequence[CaptureData], name: str) -> F64:
    return np.stack([capture.arrays[name].astype(np.float64) for capture in captures])


def _quantised(array: F64) -> dict[str, Any]:
    """Return an array (captures, rows, columns) in steps of its largest value over 32767."""
    scale = float(np.abs(array).max()) / LEVELS or 1.0
    whole = np.rint(array / scale).astype("<i2")
    encoded = base64.b64encode(whole.tobytes()).decode()
    return {"data": encoded, "scale": scale, "rows": array.shape[1], "columns": array.shape[2]}


def _six_digits(values: F64) -> list[float | None]:
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values]


def _json_number(value: float) -> float | str:
    """Return a number that JSON can hold, as the service writes it: "NaN", "Infinity" and "-Infinity" are texts."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _about(content: dict[str, Any]) -> str:
    """Return the footer of the page."""
    runs = ", ".join(f"{run['id']} ({run['head']} head)" for run in content["runs"])
    is_single = len(content["runs"]) == 1
    text = f"Run {runs}." if is_single else f"Runs {runs}. Scenes show the first seed of each configuration."
    text += f" Rounding error of coordinates: at most {content['error']:.1e} of the mean norm of the class means."
    left_out = sum(run["left_out"] for run in content["runs"])
    if left_out:
        text += f" {left_out} captures are omitted to limit the file size."
    keys = "Keyboard: space to play or pause, ← → for the previous or next capture, Home and End for the first or last."
    return f"{text} {keys} Drag a scene to rotate it."


def _theme_variables() -> str:
    """Return the colours of both themes as CSS variables."""

    def of(theme: palette.Theme) -> str:
        heads = {f"head-{name}": colour for name, colour in palette.HEAD_COLOURS[theme].items()}
        return "".join(f"--{name}:{colour};" for name, colour in (palette.TOKENS[theme] | heads).items())

    return f":root{{{of('light')}}}@media (prefers-color-scheme: dark){{:root{{{of('dark')}}}}}"


def _views(labels: Mapping[str, str], groups: Sequence[ReplayGroup], runs: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return the labels of the views that all runs have, by name; none above 128 classes."""
    if any(len(group.class_names) > WHOLE_FRAME_UP_TO for group in groups):
        return {}
    return {name: label for name, label in labels.items() if name != "pca" or all("pca" in r["arrays"] for r in runs)}
