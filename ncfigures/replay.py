"""Runs as one HTML file that works offline: scenes, slider, cosines, curves; drawn by the page's own modules, inlined.

Of one run its whole page; of several a comparison: the first run of each entry as a scene, side by side at the same
epoch, curves as the median over an entry's seeds with their range. Coordinates are rounded to 16 bits over their range;
the largest error is written into the page. No request leaves it: a policy inside forbids them.
"""

from __future__ import annotations

import base64
import html
import json
import math
import posixpath
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from backend.api import page_constants, run_views, views, wire
from backend.api.configurations import MAX_SCENES, Configuration, group_by_configuration
from backend.store import artifacts, event_log, runs
from backend.store.database import Store
from backend.store.errors import Invalid, NotFound
from ncengine.geometry.views import WHOLE_FRAME_UP_TO
from ncengine.metrics import METRICS
from ncfigures import palette
from ncfigures.figures.seed_statistics import SPLIT_DASHES, SeedStatistics, numbers, seed_statistics

FIRST = ("nc1", "etf_distance_means", "nc3", "top1")
MOST_BYTES = 2_000_000
"""Of coordinates, before they are written as base64: with the rest the file stays below 3 MB."""
LEVELS = 32767
ARRAYS = ("means", "weights", "features", "cosines_means", "pca")
PLACES = ("means", "weights", "features")
"""The arrays that are coordinates of what is drawn, whose rounding is told."""
SPLITS = ("train", "test")
ENTRY = "offline/offline-replay.mjs"
POLICY = "default-src 'none'; script-src 'unsafe-inline' data:; style-src 'unsafe-inline'; img-src data:"
_IMPORT = re.compile(r'from "(\.\.?/[a-z/-]+\.mjs)"')


def replay(store: Store, run_ids: Sequence[str]) -> bytes:
    """Return the file of one run, or of several to compare.

    Raises NotFound where a run has no capture yet, Invalid for more entries than stand side by side.
    """
    told = _told(store, run_ids)
    name = html.escape(str(told["name"]))
    modules = _modules()
    shims = {name: _data_url(_bare(name, text)) for name, text in modules.items() if name != ENTRY}
    data = json.dumps(told, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    page = PAGE.format(
        policy=POLICY,
        name=name,
        style=STYLE + _variables(),
        views="" if any(len(run["class_names"]) > WHOLE_FRAME_UP_TO for run in told["runs"]) else _views(told),
        about=html.escape(_about(told)),
        imports=json.dumps({"imports": shims}),
        constants=page_constants.script_element(),
        data=data,
        script=_bare(ENTRY, modules[ENTRY]),
    )
    return page.encode()


def _modules() -> dict[str, str]:
    """Return the replay's module and all modules that it imports, by their paths below the folder of scripts."""
    folder = files("dashboard") / "assets" / "js"
    found: dict[str, str] = {}
    wanted = [ENTRY]
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = (folder / name).read_text(encoding="utf-8")
            wanted += [_resolved(name, path) for path in _IMPORT.findall(found[name])]
    return found


def _resolved(importer: str, path: str) -> str:
    """Return the name of the module that `importer` imports by a relative path."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(importer), path))


def _bare(name: str, text: str) -> str:
    """Return a module's text with relative imports replaced by names: a module inside a page has no folder."""
    return _IMPORT.sub(lambda found: f'from "{_resolved(name, found[1])}"', text).replace("</script", "<\\/script")


def _data_url(text: str) -> str:
    return "data:text/javascript;base64," + base64.b64encode(text.encode()).decode()


def _told(store: Store, run_ids: Sequence[str]) -> dict[str, Any]:
    """Return all that the page shows, as JSON has it."""
    compared = group_by_configuration(run_views.run_wire(runs.get(store, run_id)) for run_id in dict.fromkeys(run_ids))
    if not 0 < len(compared) <= MAX_SCENES:
        raise Invalid(f"a replay shows 1 to {MAX_SCENES} runs or groups of seeds side by side, got {len(compared)}")
    series = [[views.series(store, run.id, None, 2000) for run in entry.runs] for entry in compared]
    known = {key for held in series for each in held for split in SPLITS for key in each.values.get(split, {})}
    shown = [key for key in METRICS if key in known]
    told = [_run(store, entry, MOST_BYTES // len(compared)) for entry in compared]
    splits = SPLITS if len(compared) == 1 else SPLITS[:1]
    return {
        "name": " · ".join(entry.label for entry in compared),
        "runs": told,
        "error": max(run["error"] for run in told),
        "metrics": [{"key": key, "label": METRICS[key].label} for key in shown],
        "first": [key for key in FIRST if key in shown],
        "lines": [
            _line(entry, held, split, shown, several=len(compared) > 1)
            for entry, held in zip(compared, series, strict=True)
            for split in splits
        ],
    }


def _run(store: Store, entry: Configuration, most_bytes: int) -> dict[str, Any]:
    """Return the captures of an entry's first run."""
    run = entry.runs[0]
    started = event_log.newest_event(store, run.id, "RunStarted")
    steps = artifacts.steps(store, run.id, "geometry")
    if started is None or not steps:
        raise NotFound(f"run {run.id} has no geometry yet: a replay needs at least one capture")
    per_epoch = started.payload["steps_per_epoch"]
    kept = _thinned(store, run.id, steps, per_epoch, most_bytes)
    held = [views.geometry(store, run.id, step / per_epoch) for step in kept]
    names = [name for name in ARRAYS if all(name in capture.arrays for capture in held)]
    packed = {name.removesuffix("_means"): _quantised(_stacked(held, name)) for name in names}
    return {
        "id": run.id,
        "label": entry.label,
        "head": entry.head,
        "class_names": run.class_names,
        "colours": palette.class_colours(run.classes),
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
        "error": max(array["scale"] for name, array in packed.items() if name in PLACES) / 2,
    }


def _line(
    entry: Configuration, held: list[wire.MetricSeries], split: str, shown: list[str], *, several: bool
) -> dict[str, Any]:
    """Return an entry's curves: of several seeds the median, the least and the largest at each epoch that any has."""
    found: dict[str, Any] = {
        "label": entry.label if several else split,
        "colour": f"head-{entry.head}" if several else "accent",
        "dash": entry.dash if several else SPLIT_DASHES[split],
    }
    curves: dict[str, SeedStatistics] = {}
    for key in shown:
        having = [each for each in held if key in each.values.get(split, {})]
        if having:
            curves[key] = seed_statistics([(each.epochs, numbers(each.values[split][key])) for each in having])
    found["values"] = {
        key: {
            "epochs": curve.x.astype(int).tolist(),
            "middle": [_finite(value) for value in curve.median],
            **(
                {"low": [_finite(v) for v in curve.min], "high": [_finite(v) for v in curve.max]}
                if curve.count > 1
                else {}
            ),
        }
        for key, curve in curves.items()
    }
    return found


def _thinned(store: Store, run_id: str, steps: list[int], per_epoch: int, most_bytes: int) -> list[int]:
    """Return the captures that fit, evenly, the first and the last among them."""
    first = views.geometry(store, run_id, steps[0] / per_epoch)
    each = sum(2 * wire.from_typed(first.arrays[name]).size for name in ARRAYS if name in first.arrays)
    most = max(2, most_bytes // each)
    if len(steps) <= most:
        return steps
    return [steps[index] for index in np.linspace(0, len(steps) - 1, most).round().astype(int)]


def _stacked(held: list[wire.GeometryWire], name: str) -> npt.NDArray[np.float64]:
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
    held = "; ".join(f"{run['id']}, {run['head']} head" for run in told["runs"])
    words = f"Run {held}." if len(told["runs"]) == 1 else f"Runs {held}; scenes show the first seed of each."
    words += f" Coordinates are rounded; the largest error is {told['error']:.1e} of the class means' mean norm."
    left_out = sum(run["left_out"] for run in told["runs"])
    if left_out:
        words += f" {left_out} captures in between are left out, so that the file stays small."
    return words + " Keys: space plays, arrows step, home and end jump; drag turns the picture."


def _variables() -> str:
    """Return the colours of both themes as CSS variables."""

    def of(theme: palette.Theme) -> str:
        heads = {f"head-{name}": colour for name, colour in palette.HEADS[theme].items()}
        return "".join(f"--{name}:{colour};" for name, colour in (palette.TOKENS[theme] | heads).items())

    return f":root{{{of('light')}}}@media (prefers-color-scheme: dark){{:root{{{of('dark')}}}}}"


def _views(told: dict[str, Any]) -> str:
    """Return the buttons of the views that all runs have."""
    shown = {"spherical": "Spherical"} | {view.id: view.label for view in page_constants.VIEWS}
    if not all("pca" in run["arrays"] for run in told["runs"]):
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
.charts svg{width:100%;display:block}.charts figure::after{content:attr(data-values);font-size:12px;color:var(--ink-2)}
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
{constants}
<script type="application/json" id="replay-data">{data}</script>
<script type="module">{script}</script>
</body>
</html>
"""
