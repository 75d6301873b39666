"""Runs as one HTML file that works offline: scenes, slider, cosines, curves; drawn by the page's own modules, inlined.

One run is shown whole; several are compared: the first run of each group of seeds as a scene, side by side at the same
epoch, curves as the median over a group's seeds with their range. Coordinates are rounded to 16 bits over their range;
the largest error is written into the page. A content security policy forbids all requests.
"""

from __future__ import annotations

import base64
import html
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ncengine.geometry.views import WHOLE_FRAME_UP_TO
from ncfigures import palette
from ncfigures.catalogue import MAX_SCENES
from ncfigures.errors import FigureError
from ncfigures.figure_data import F64, CaptureData, MetricCurves
from ncfigures.figures.seed_statistics import SPLIT_DASHES, SeedStatistics, seed_statistics
from ncfigures.palette import Dash

FIRST_METRICS = ("nc1", "etf_distance_means", "nc3", "top1")
MAX_COORDINATE_BYTES = 2_000_000
"""Of all coordinates before base64; with the rest the file stays below 3 MB."""
LEVELS = 32767
ARRAYS = ("means", "weights", "features", "cosines_means", "pca")
COORDINATES = ("means", "weights", "features")
"""The arrays whose rounding error is written into the page."""
SPLITS = ("train", "test")
ENTRY_MODULE = "replay-file.mjs"
POLICY = "default-src 'none'; script-src 'unsafe-inline' data:; style-src 'unsafe-inline'; img-src data:"
_IMPORT = re.compile(r'from "\./([a-z-]+\.mjs)"')


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
    """One a run."""


def render_replay(
    groups: Sequence[ReplayGroup], metric_labels: Mapping[str, str], read_module: Callable[[str], str]
) -> bytes:
    """Return the HTML file of one group of seeds, or of several to compare.

    Args:
        groups: what is shown, at most MAX_SCENES.
        metric_labels: labels of metrics by key, in the order of the page's menu.
        read_module: returns the text of a JavaScript module of the pages by its file name.
    """
    content = _content(groups, metric_labels)
    name = html.escape(str(content["name"]))
    modules = _modules(read_module)
    shims = {module: _data_url(_with_bare_imports(text)) for module, text in modules.items() if module != ENTRY_MODULE}
    data = json.dumps(content, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    page = PAGE.format(
        policy=POLICY,
        name=name,
        style=STYLE + _variables(),
        views="" if any(len(group.class_names) > WHOLE_FRAME_UP_TO for group in groups) else _views(content),
        about=html.escape(_about(content)),
        imports=json.dumps({"imports": shims}),
        data=data,
        script=_with_bare_imports(modules[ENTRY_MODULE]),
    )
    return page.encode()


def require_group_count(count: int) -> None:
    """Raise FigureError where there are no groups, or more than fit side by side."""
    if not 0 < count <= MAX_SCENES:
        raise FigureError(f"a replay shows 1 to {MAX_SCENES} runs or groups of seeds side by side, got {count}")


def captures_that_fit(count: int, first: CaptureData, groups: int) -> list[int]:
    """Return the indices of the captures that fit into the file, evenly spaced, with the first and the last."""
    capture_bytes = sum(2 * first.arrays[name].size for name in ARRAYS if name in first.arrays)
    most = max(2, MAX_COORDINATE_BYTES // groups // capture_bytes)
    if count <= most:
        return list(range(count))
    return [int(index) for index in np.linspace(0, count - 1, most).round()]


def _modules(read_module: Callable[[str], str]) -> dict[str, str]:
    """Return the text of the replay's module and of all modules that it imports."""
    found: dict[str, str] = {}
    wanted = [ENTRY_MODULE]
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = read_module(name)
            wanted += _IMPORT.findall(found[name])
    return found


def _with_bare_imports(text: str) -> str:
    """Return a module's text with imports by name alone: a module inside a page has no folder."""
    return _IMPORT.sub(r'from "\1"', text).replace("</script", "<\\/script")


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
                "angle": _json_number(capture.smallest_angle_deg),
                "off": _json_number(capture.mean_angle_error_deg),
                "pair": list(capture.smallest_pair),
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
            statistics[key] = seed_statistics([(curves.epochs, curves.values[split][key]) for curves in having])
    return {
        "label": group.label if several else split,
        "colour": f"head-{group.head}" if several else "accent",
        "dash": group.dash if several else SPLIT_DASHES[split],
        "values": {key: _curve(curve) for key, curve in statistics.items()},
    }


def _curve(curve: SeedStatistics) -> dict[str, Any]:
    found = {"epochs": curve.x.astype(int).tolist(), "middle": _six_digits(curve.median)}
    if curve.count > 1:
        found |= {"low": _six_digits(curve.min), "high": _six_digits(curve.max)}
    return found


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
    runs = "; ".join(f"{run['id']}, {run['head']} head" for run in content["runs"])
    words = f"Run {runs}." if len(content["runs"]) == 1 else f"Runs {runs}; scenes show the first seed of each."
    words += f" Coordinates are rounded; the largest error is {content['error']:.1e} of the class means' mean norm."
    left_out = sum(run["left_out"] for run in content["runs"])
    if left_out:
        words += f" {left_out} captures in between are left out, so that the file stays small."
    return words + " Keys: space plays, arrows step, home and end jump; drag turns the picture."


def _variables() -> str:
    """Return the colours of both themes as CSS variables."""

    def of(theme: palette.Theme) -> str:
        heads = {f"head-{name}": colour for name, colour in palette.HEADS[theme].items()}
        return "".join(f"--{name}:{colour};" for name, colour in (palette.TOKENS[theme] | heads).items())

    return f":root{{{of('light')}}}@media (prefers-color-scheme: dark){{:root{{{of('dark')}}}}}"


def _views(content: dict[str, Any]) -> str:
    """Return the buttons of the views that all runs have."""
    shown = {"spherical": "Spherical", "tetrahedron": "4 classes", "pca": "PCA", "tour": "Tour"}
    if not all("pca" in run["arrays"] for run in content["runs"]):
        del shown["pca"]
    buttons = [
        f'<button type="button" data-view="{name}" aria-pressed="{str(name == "spherical").lower()}">{words}</button>'
        for name, words in shown.items()
    ]
    return f'<div role="group" aria-label="View">{"".join(buttons)}</div>'


STYLE = """
*{box-sizing:border-box}
body{margin:0;padding:14px 20px;background:var(--background);color:var(--ink);font:14px/1.45 system-ui,sans-serif;
font-feature-settings:"tnum"}
h1{font-size:18px;margin:0 0 10px}
main{display:grid;grid-template-columns:minmax(0,57fr) minmax(0,43fr);gap:12px}
section{background:var(--panel);border:1px solid var(--line);border-radius:8px;padding:12px}
.scenes{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,300px),1fr));gap:8px}
article{margin:0}h2{font-size:14px;margin:6px 0 0}
.scene{position:relative;height:520px;touch-action:none}
.several .scene{height:330px}
.scene canvas{width:100%;height:100%;display:block}
.bar{display:flex;gap:10px;align-items:center;flex-wrap:wrap}
.bar input{flex:1;min-width:120px;accent-color:var(--accent)}
button,select{font:inherit;color:inherit;background:var(--background);border:1px solid var(--line);
border-radius:6px;padding:3px 9px}
button[aria-pressed=true]{background:var(--accent);color:var(--panel)}
:focus-visible{outline:2px solid var(--accent);outline-offset:1px}
.heats{display:flex;flex-wrap:wrap;gap:8px;justify-content:center}
.heats figure{width:min(100%,260px)}.several .heats figure{width:150px;text-align:center;font-size:12px}
.heat{display:block;width:100%}
.keys{display:flex;flex-wrap:wrap;gap:2px 14px;font-size:12px;margin:6px 0}
.keys svg{width:26px;height:8px;vertical-align:middle;margin-right:5px}
.charts{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:8px}
figure{margin:0}
.charts svg{width:100%;display:block}.charts figure::after{content:attr(data-said);font-size:12px;color:var(--ink-2)}
figure select{width:100%;font-size:12px}
.axis{fill:none;stroke:var(--ink-3);stroke-width:.7}.line{fill:none;stroke-width:1.6}.band{opacity:.18}
.dash{stroke-dasharray:6 3}.dot{stroke-dasharray:2 3}.dashdot{stroke-dasharray:6 2 1 2}
.cursor{stroke:var(--ink-3);stroke-width:1}
.tick{font-size:10px;fill:var(--ink-2)}.end{text-anchor:end}
p{margin:6px 0;color:var(--ink-2);font-size:13px}
@media (max-width:900px){main{grid-template-columns:minmax(0,1fr)}.scene{height:380px}}
"""
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name}: replay</title>
<style>{style}</style>
<script type="importmap">{imports}</script>
</head>
<body>
<header><h1>{name}</h1></header>
<main>
<section>
<div class="bar">{views}<span data-part="hover" role="status"></span></div>
<div class="scenes" data-part="scenes"></div>
<div class="bar"><button type="button" data-part="play" aria-label="Play">▶</button>
<button type="button" data-part="speed" title="Speed">1×</button>
<input type="range" min="0" value="0" data-part="slider" aria-label="Capture"><span data-part="epoch"></span></div>
</section>
<section>
<div class="heats" data-part="heats"></div>
<div class="keys" data-part="keys"></div>
<div class="charts" data-part="charts"></div>
</section>
</main>
<footer><p>{about}</p></footer>
<script type="application/json" id="replay-data">{data}</script>
<script type="module">{script}</script>
</body>
</html>
"""
