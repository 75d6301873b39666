"""A run as one HTML file that works offline: scene, slider, cosines, curves; drawn by the page's own modules, inlined.

Coordinates are rounded to 16 bits over their range; the largest error is written into the page. No request leaves it:
a policy inside forbids them.
"""

from __future__ import annotations

import base64
import html
import json
import math
import re
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from backend import palette, views, wire
from backend.errors import NotFound
from backend.store import artifacts, event_log, runs
from backend.store.database import Store
from ncengine.metrics import METRICS

FIRST = ("nc1", "etf_distance_means", "nc3", "top1")
MOST_BYTES = 2_000_000
"""Of coordinates, before they are written as base64: with the rest the file stays below 3 MB."""
LEVELS = 32767
ENTRY = "replay-file.mjs"
POLICY = "default-src 'none'; script-src 'unsafe-inline' data:; style-src 'unsafe-inline'; img-src data:"
_IMPORT = re.compile(r'from "\./([a-z-]+\.mjs)"')


def replay(store: Store, run_id: str) -> bytes:
    """Return the file; raises NotFound where the run has no capture yet."""
    told = _told(store, run_id)
    name = html.escape(str(told["name"]))
    modules = _modules()
    shims = {module: _data_url(_bare(text)) for module, text in modules.items() if module != ENTRY}
    data = json.dumps(told, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    many = len(told["class_names"]) > 128
    page = PAGE.format(
        policy=POLICY,
        name=name,
        style=STYLE + _variables(),
        views="" if many else VIEWS,
        about=html.escape(_about(told)),
        imports=json.dumps({"imports": shims}),
        data=data,
        script=_bare(modules[ENTRY]),
    )
    return page.encode()


def _modules() -> dict[str, str]:
    """Return the text of the replay's module and of all that it imports; found by name, as the pages are."""
    folder = files("dashboard") / "assets" / "modules"
    found: dict[str, str] = {}
    wanted = [ENTRY]
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = (folder / name).read_text(encoding="utf-8")
            wanted += _IMPORT.findall(found[name])
    return found


def _bare(text: str) -> str:
    """Return a module's text with imports by name alone: a module inside a page has no folder."""
    return _IMPORT.sub(r'from "\1"', text).replace("</script", "<\\/script")


def _data_url(text: str) -> str:
    return "data:text/javascript;base64," + base64.b64encode(text.encode()).decode()


def _told(store: Store, run_id: str) -> dict[str, Any]:
    """Return all that the page shows, as JSON has it."""
    run = views.run_wire(runs.get(store, run_id))
    started = event_log.newest(store, run_id, "RunStarted")
    steps = artifacts.steps(store, run_id, "geometry")
    if started is None or not steps:
        raise NotFound(f"run {run_id} has no geometry yet: a replay needs at least one capture")
    per_epoch = started.payload["steps_per_epoch"]
    kept = _thinned(store, run_id, steps, per_epoch)
    held = [views.geometry(store, run_id, step / per_epoch) for step in kept]
    arrays = {name: _stacked(held, name) for name in ("means", "weights", "features", "cosines_means")}
    packed = {name.removesuffix("_means"): _quantised(array) for name, array in arrays.items()}
    series = views.series(store, run_id, None, 2000)
    shown = [key for key in METRICS if any(key in series.values.get(split, {}) for split in ("train", "test"))]
    return {
        "id": run.id,
        "name": run.name,
        "class_names": run.class_names,
        "colours": palette.class_colours(run.classes),
        "head": run.config.head.name,
        **{key: started.payload[key] for key in ("view", "view_matrix", "vertices")},
        "ideal_deg": math.degrees(math.acos(-1 / (run.classes - 1))),
        "labels": wire.from_typed(held[0].arrays["labels"]).tolist(),
        "captures": [
            {
                "epoch": round(capture.epoch, 6),
                "angle": capture.facts["smallest_angle_deg"],
                "off": capture.facts["mean_angle_error_deg"],
                "pair": list(capture.facts["smallest_pair"]),
            }
            for capture in held
        ],
        "left_out": len(steps) - len(kept),
        "arrays": packed,
        "error": max(array["scale"] for name, array in packed.items() if name != "cosines") / 2,
        "metrics": [{"key": key, "label": METRICS[key].label} for key in shown],
        "first": [key for key in FIRST if key in shown],
        "series": {
            "epochs": series.epochs,
            "values": {
                split: {key: [_finite(value) for value in values] for key, values in known.items() if key in shown}
                for split, known in series.values.items()
                if split in ("train", "test")
            },
        },
    }


def _thinned(store: Store, run_id: str, steps: list[int], per_epoch: int) -> list[int]:
    """Return the captures that fit, evenly, the first and the last among them."""
    first = views.geometry(store, run_id, steps[0] / per_epoch)
    names = ("means", "weights", "features", "cosines_means")
    each = sum(2 * wire.from_typed(first.arrays[name]).size for name in names)
    most = max(2, MOST_BYTES // each)
    if len(steps) <= most:
        return steps
    return [steps[index] for index in np.linspace(0, len(steps) - 1, most).round().astype(int)]


def _stacked(held: list[wire.Geometry], name: str) -> npt.NDArray[np.float64]:
    return np.stack([wire.from_typed(capture.arrays[name]).astype(np.float64) for capture in held])


def _quantised(array: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Return an array (captures, rows, columns) in steps of its largest value over 32767."""
    scale = float(np.abs(array).max()) / LEVELS or 1.0
    whole = np.rint(array / scale).astype("<i2")
    encoded = base64.b64encode(whole.tobytes()).decode()
    return {"data": encoded, "scale": scale, "rows": array.shape[1], "columns": array.shape[2]}


def _finite(value: Any) -> float | None:
    number = math.nan if value is None else float(value)
    return float(f"{number:.6g}") if math.isfinite(number) else None


def _about(told: dict[str, Any]) -> str:
    """Return what is said at the foot of the page."""
    words = (
        f"Run {told['id']}, {told['head']} head. Coordinates are rounded; the largest error is {told['error']:.1e} of"
    )
    words += " the class means' mean norm."
    if told["left_out"]:
        words += f" {told['left_out']} captures in between are left out, so that the file stays small."
    return words + " Keys: space plays, arrows step, home and end jump; drag turns the picture."


def _variables() -> str:
    """Return the colours of both themes as CSS variables."""

    def of(theme: palette.Theme) -> str:
        return "".join(f"--{name}:{colour};" for name, colour in palette.TOKENS[theme].items())

    return f":root{{{of('light')}}}@media (prefers-color-scheme: dark){{:root{{{of('dark')}}}}}"


VIEWS = (
    '<div role="group" aria-label="View">'
    '<button type="button" data-view="spherical" aria-pressed="true">Spherical</button>'
    '<button type="button" data-view="tetrahedron" aria-pressed="false">4 classes</button>'
    '<button type="button" data-view="tour" aria-pressed="false">Tour</button></div>'
)
STYLE = """
*{box-sizing:border-box}
body{margin:0;padding:14px 20px;background:var(--background);color:var(--ink);font:14px/1.45 system-ui,sans-serif;
font-feature-settings:"tnum"}
h1{font-size:18px;margin:0 0 10px}
main{display:grid;grid-template-columns:minmax(0,57fr) minmax(0,43fr);gap:12px}
section{background:var(--panel);border:1px solid var(--line);border-radius:8px;padding:12px}
.scene{position:relative;height:520px;touch-action:none}
.scene canvas{width:100%;height:100%;display:block}
.bar{display:flex;gap:10px;align-items:center;flex-wrap:wrap}
.bar input{flex:1;min-width:120px;accent-color:var(--accent)}
button,select{font:inherit;color:inherit;background:var(--background);border:1px solid var(--line);
border-radius:6px;padding:3px 9px}
button[aria-pressed=true]{background:var(--accent);color:var(--panel)}
:focus-visible{outline:2px solid var(--accent);outline-offset:1px}
.heat{display:block;width:100%;max-width:260px;margin:0 auto 8px}
.charts{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:8px}
figure{margin:0}
figure svg{width:100%;display:block}figure::after{content:attr(data-said);font-size:12px;color:var(--ink-2)}
figure select{width:100%;font-size:12px}
.axis{fill:none;stroke:var(--ink-3);stroke-width:.7}.line{fill:none;stroke:var(--accent);stroke-width:1.6}
.line.test{stroke-dasharray:2 3}.cursor{stroke:var(--ink-3);stroke-width:1}
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
<div class="scene" data-part="scene"></div>
<div class="bar"><button type="button" data-part="play" aria-label="Play">▶</button>
<button type="button" data-part="speed" title="Speed">1×</button>
<input type="range" min="0" value="0" data-part="slider" aria-label="Capture"><span data-part="epoch"></span></div>
</section>
<section>
<canvas class="heat" width="300" height="300" data-part="heat" role="img"></canvas>
<p data-part="sentence"></p>
<div class="charts" data-part="charts"></div>
</section>
</main>
<footer><p>{about}</p></footer>
<script type="application/json" id="replay-data">{data}</script>
<script type="module">{script}</script>
</body>
</html>
"""
