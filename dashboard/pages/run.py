"""The live page: the frame that assets/js/pages/run-page.mjs fills."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, ctx, dcc, html, no_update

from backend.api import wire
from backend.client import ApiError, AsyncClient, calls
from dashboard import ids
from dashboard.components.explanations import WORDS, why
from dashboard.dialogs import export
from dashboard.plots.charts import READINGS, Group, angles_figure, chart_figure, families, overviews
from dashboard.plots.details import confusion_figure, layers_figure, margins_figure, spectra_figure
from ncfigures.palette import class_colours

CONFIG = {"displayModeBar": False, "responsive": True, "scrollZoom": True}
FLAT_CONFIG = {**CONFIG, "scrollZoom": False}
CHART_PX, ANGLES_PX = 118, 236


class Action(NamedTuple):
    """A button that asks something of the run: the API's name for it, its words, when it shows, what is said then."""

    name: str
    words: str
    when: str
    said: str


ACTIONS = (
    Action("pause", "Pause", "while-active", "Pausing: a checkpoint is saved and the device released."),
    Action("resume", "Resume", "while-paused", "Queued again: it continues where it stopped."),
    Action("cancel", "Cancel", "while-open", "Cancelling: the numbers so far are kept."),
    Action("retry", "Retry", "while-broken", "Queued again: it continues from its newest checkpoint."),
)


def layout(run: wire.RunWire, metrics: list[wire.MetricWire], *, may_change: bool) -> Any:
    """Return the page of a run in any state; without the buttons that change it for those who may only read."""
    head = run.config.head.name
    first = overviews(metrics)
    groups = [*first, *families(metrics)]
    return html.Div(
        [
            dcc.Store(id=ids.RUN_ID, data=run.id),
            _header(run, may_change=may_change),
            html.Div(
                [
                    _scene(run),
                    html.Div(
                        [_readings(metrics), _angles(run), _curves(run, groups, len(first))],
                        className="column",
                    ),
                ],
                className="run-grid",
            ),
            _details(run, may_change=may_change),
            export.modal([run], metrics, "geometry"),
        ],
        id=ids.RUN_PAGE,
        style={"--head": f"var(--head-{head})"},
        **{
            "data-run": run.id,
            "data-epochs": str(run.config.epochs),
            "data-status": run.status,
            "data-demonstration": str(run.demonstration).lower(),
            "data-names": json.dumps(run.class_names),
            "data-colours": json.dumps(class_colours(run.classes)),
            "data-figures": json.dumps(_figures(run)),
            "data-charts": json.dumps(groups),
        },
    )


def missing(run_id: str, words: str) -> Any:
    """Return the page of a run that is not there."""
    return html.Div(
        [html.H1("No such run"), html.P(words), dcc.Link("All runs", href="/runs", className="link")],
        className="panel empty",
        **{"data-missing": run_id},
    )


def _header(run: wire.RunWire, *, may_change: bool) -> Any:
    clone = dcc.Link("Clone", href=f"/new?clone={run.id}", className="button", title="A new run with these settings")
    return html.Div(
        [
            html.H1(run.name, title=f"run {run.id}"),
            html.Span(run.status, className="status", **{"data-part": "status", "aria-live": "polite"}),
            html.Div(html.Div(**{"data-part": "progress"}), className="progress"),
            html.Span("", className="ink-2", **{"data-part": "epoch"}),
            html.Span("", className="bad-words", role="status", **{"data-part": "note"}),
            html.Div(
                [
                    *(
                        html.Button(
                            each.words,
                            type="button",
                            className=f"button {each.when}",
                            **{"data-action": each.name, "data-said": each.said},
                        )
                        for each in (ACTIONS if may_change else ())
                    ),
                    *([clone] if may_change else []),
                    _features_link(run),
                    html.A(
                        "Archive",
                        href=f"/api/v1/runs/{run.id}/archive.zip",
                        download="",
                        title="The whole run as one file, which another Collapse Lab imports",
                        className="button while-still",
                    ),
                    dmc.Button("Export figure", id=ids.EXPORT_OPEN, size="xs"),
                ],
                className="actions",
                **{"data-part": "actions"},
            ),
        ],
        className="run-header",
    )


def _features_link(run: wire.RunWire) -> Any:
    """Return the download of what the run keeps of its features, where it keeps some."""
    if run.config.measure.keep_features == "none":
        return None
    href = f"/api/v1/runs/{run.id}/features.npz"
    words = "The penultimate features and labels of the newest capture, for NumPy"
    return html.A("Features .npz", href=href, download="", title=words, className="button", **{"data-part": "features"})


def _pressed(words: str, on: bool, *, title: str | None = None, **data: str) -> Any:
    return html.Button(
        words,
        type="button",
        title=title,
        **{f"data-{key}": value for key, value in data.items()},
        **{"aria-pressed": str(on).lower()},
    )


LAYERS = ("features", "trails", "classifier", "names", "arrows", "mistakes", "turn")
USUAL = LAYERS[:4]
TURNING_CLASSES = 30
"""Above, the frames of captures are too large to be sent for a picture of how they turn."""
LAYER_WORDS = {
    "features": "Training samples, a fixed sample of each class",
    "trails": "Where the class means were in the captures before",
    "classifier": "The classifier's rows, as diamonds",
    "names": "Names of the classes",
    "arrows": "From each class mean to its vertex of the nearest ETF",
    "mistakes": "A cross on each training sample that is classified wrongly, in the colour of that other class",
    "turn": "Where the nearest ETF itself was in the captures before, as dashed lines to its vertices",
}
MODES = (
    (
        "tetrahedron",
        "4 classes",
        "Four classes' vertices at the corners of a tetrahedron: nothing between them is lost",
    ),
    ("pca", "PCA", "Along the three leading principal directions of the class means"),
    ("tour", "Tour", "A slow random rotation through all dimensions of the ETF's frame"),
)
TRAVELLING_CLASSES = 128
"""Above, coordinates travel in three dimensions: there is nothing to tour."""


def modes(run: wire.RunWire) -> list[tuple[str, str, str]]:
    """Return the pictures that a run can be seen in: value, words, explanation. The first is the run's own view."""
    own = {2: "Line", 3: "Triangle", 4: "Tetrahedron"}.get(run.classes, "Spherical")
    exact = "Exact: nothing is projected away" if run.classes <= 4 else "All vertices on a sphere, spread evenly"
    found = [("", own, exact)]
    if run.classes > 4:
        found += [mode for mode in MODES if mode[0] != "tour" or run.classes <= TRAVELLING_CLASSES]
    found.append(("angles", "Angles", "Cosines or angles between all class means, large"))
    if run.config.measure.layers:
        found.append(("layers", "Layers", "Collapse in the hidden layers that were measured"))
    return found


def _scene(run: wire.RunWire) -> Any:
    layers = [layer for layer in LAYERS if layer != "turn" or run.classes <= TURNING_CLASSES]
    chips = {layer: _pressed(layer, layer in USUAL, layer=layer, title=LAYER_WORDS[layer]) for layer in layers}
    usual, rare = ([chip for layer, chip in chips.items() if (layer in USUAL) is part] for part in (True, False))
    views = [_pressed(words, mode == "", mode=mode, title=why) for mode, words, why in modes(run)]
    canvas = html.Div(
        [
            html.Div(className="tip", hidden=True, **{"data-part": "tip"}),
            html.Div(className="four", **{"data-part": "four"}),
            html.Div(rare, className="chips on-scene"),
        ],
        className="scene",
        **{"data-part": "canvas"},
    )
    return html.Section(
        [
            html.Div(
                [html.Div(views, className="segments modes"), html.Div(usual, className="chips"), why("scene")],
                className="panel-head",
            ),
            canvas,
            _large(ids.LARGE_ANGLES_GRAPH, angles_figure(run.class_names, run.id), "large-angles"),
            _large(ids.LAYERS_GRAPH, layers_figure(run.id), "large-layers"),
            html.Div(_legend(run), className="legend", **{"data-part": "legend"}),
            html.Div(
                [
                    html.Button("▶", type="button", className="play", title="Play (space)", **{"data-part": "play"}),
                    html.Button("1×", type="button", className="quiet", title="Speed", **{"data-part": "speed"}),
                    html.Button(
                        "loop", type="button", className="quiet", **{"data-part": "loop", "aria-pressed": "false"}
                    ),
                    html.Div(**{"data-part": "slider"}, className="slider"),
                    html.Span("", className="shown", **{"data-part": "shown-epoch"}),
                    html.Button("follows the run", type="button", className="pill", **{"data-part": "follow"}),
                    html.Span("", className="bad-words", role="alert", **{"data-part": "replay-note"}),
                ],
                className="replay",
            ),
        ],
        className="panel scene-panel",
        **{"data-part": "scene", "data-shows": "scene", "data-view": ""},
    )


def _large(graph: str, figure: dict[str, Any], name: str) -> Any:
    inner = dcc.Graph(id=graph, figure=figure, config=FLAT_CONFIG, responsive=True, style={"height": "100%"})
    return html.Div(inner, className=f"scene {name}")


def _legend(run: wire.RunWire) -> Any:
    """Return a button for each class that can be told by its colour; more are found by a search."""
    if run.classes > 30:
        names = [html.Option(name, value=name) for name in run.class_names]
        return [
            html.Datalist(names, id=ids.CLASS_NAMES),
            html.Div(**{"data-part": "class-search", "data-list": ids.CLASS_NAMES}),
            html.Span(f"{run.classes} classes", className="ink-2"),
        ]
    return [
        html.Button(
            [html.I(style={"background": colour}), name],
            type="button",
            title="Click to let this class stand out everywhere",
            **{"data-class": str(label), "aria-pressed": "false"},
        )
        for label, (name, colour) in enumerate(zip(run.class_names, class_colours(run.classes), strict=True))
    ]


TABS = (
    ("classes", "Classes"),
    ("confusion", "Confusion"),
    ("margins", "Margins"),
    ("spectra", "Spectra"),
    ("log", "Log"),
    ("attempts", "Attempts"),
    ("files", "Files"),
    ("notes", "Notes"),
    ("config", "Config"),
)


def _figures(run: wire.RunWire) -> dict[str, Any]:
    """Return the figures that the tabs fill, without their data."""
    return {
        "confusion": confusion_figure(run.class_names),
        "margins": margins_figure(run.classes),
        "spectra": spectra_figure(run.classes),
    }


def _details(run: wire.RunWire, *, may_change: bool) -> Any:
    """Return the tabs below the first screen."""
    tabs = [_pressed(words, index == 0, tab=tab) for index, (tab, words) in enumerate(TABS)]
    details = {"role": "region", "aria-label": "Details", "aria-live": "polite"}
    config = html.Pre(json.dumps(run.config.model_dump(mode="json"), indent=2), className="log")
    return html.Section(
        [
            html.Div(
                [
                    html.Div(tabs, className="segments"),
                    *(html.Div(why(tab), hidden=True, **{"data-why": tab}) for tab, _ in TABS if tab in WORDS),
                ],
                className="panel-head",
            ),
            html.Div(className="details-body", tabIndex="0", **{"data-part": "details-body"}, **details),
            html.Div(_notes(run, may_change), className="details-body", hidden=True, **{"data-static": "notes"}),
            html.Div(
                config, className="details-body", hidden=True, tabIndex="0", role="region", **{"data-static": "config"}
            ),
        ],
        className="panel details",
        **{"data-part": "details", "data-first": TABS[0][0]},
    )


def _notes(run: wire.RunWire, may_change: bool) -> Any:
    """Return name, tags, group and notes: to change, or for those who only read to read."""
    read = dcc.Markdown(run.notes, id=ids.RUN_NOTES_READ, className="markdown")
    if not may_change:
        facts = html.P(f"{run.name} · group {run.group or 'none'} · tags {', '.join(run.tags) or 'none'}")
        return [facts, read]
    fields = [
        dmc.TextInput(id=ids.RUN_NAME, label="Name", value=run.name, debounce=600),
        dmc.TagsInput(id=ids.RUN_TAGS, label="Tags", value=run.tags, placeholder="a word, then Enter"),
        dmc.TextInput(id=ids.RUN_GROUP, label="Group", value=run.group or "", debounce=600),
        dmc.Textarea(
            id=ids.RUN_NOTES,
            label="Notes, in Markdown",
            value=run.notes,
            placeholder="What was this run for? What did it show?",
            autosize=True,
            minRows=5,
            debounce=600,
        ),
        html.P("", id=ids.RUN_NOTES_SAVED, className="field-help", role="status"),
    ]
    return html.Div([html.Div(fields, className="notes-fields"), read], className="notes")


def _readings(metrics: list[wire.MetricWire]) -> Any:
    known = {metric.key: metric for metric in metrics}
    tiles = []
    for key in READINGS:
        flag = {"data-percent": "1"} if known[key].share else {}
        value = html.Strong("", **{"data-value": "1"})
        note = html.Small("", **{"data-note": "1"})
        words = f"{known[key].formula}. {known[key].reading}"
        tiles.append(html.Div([html.Span(known[key].label, title=words), value, note], **{"data-reading": key}, **flag))
    return html.Section(tiles, className="panel readings", **{"data-part": "readings"})


def _angles(run: wire.RunWire) -> Any:
    return html.Section(
        [
            html.Div(
                [
                    html.H2("Cosines between class means"),
                    html.Div(
                        [_pressed("cos", True, unit="cos"), _pressed("angle", False, unit="angle")],
                        className="segments",
                    ),
                    why("angles"),
                ],
                className="panel-head",
            ),
            html.Div(
                [
                    dcc.Graph(
                        id=ids.ANGLES_GRAPH,
                        figure=angles_figure(run.class_names, run.id),
                        config=FLAT_CONFIG,
                        className="angles",
                        style={"height": ANGLES_PX},
                        responsive=True,
                    ),
                    html.Div(className="sentence", **{"data-part": "sentence"}),
                ],
                className="angles-body",
            ),
        ],
        className="panel angles-panel",
        **{"data-part": "angles"},
    )


def _curves(run: wire.RunWire, groups: list[Group], buttons: int) -> Any:
    """Return the charts: a few groups as buttons, and every metric of the catalogue, by family, in a list."""
    pressed = [_pressed(group["name"], index == 0, group=str(index)) for index, group in enumerate(groups[:buttons])]
    more = html.Div(**{"data-part": "more-metrics", "data-first": str(buttons)}, className="more")
    cells = [
        html.Div(
            [
                html.H3(chart["title"], title=chart.get("help", ""), **{"data-chart-title": str(index)}),
                dcc.Graph(
                    id=ids.chart(index),
                    figure=chart_figure(run.config.epochs, run.id),
                    config=FLAT_CONFIG,
                    style={"height": CHART_PX},
                    responsive=True,
                ),
            ]
        )
        for index, chart in enumerate(groups[0]["charts"])
    ]
    key = html.Span("— train ··· test - - ideal | terminal", className="ink-2 key")
    return html.Section(
        [
            html.Div(
                [
                    html.Div(pressed, className="segments"),
                    more,
                    key,
                    why("curves", html.Dl(**{"data-part": "curves-why"})),
                ],
                className="panel-head",
            ),
            html.Div(cells, className="charts"),
        ],
        className="panel",
        **{"data-part": "curves"},
    )


def register(app: Dash, client: AsyncClient) -> None:
    """What is written of a run is kept while it is written."""

    @app.callback(
        Output(ids.RUN_NOTES_READ, "children"),
        Output(ids.RUN_NOTES_SAVED, "children"),
        Input(ids.RUN_NAME, "value"),
        Input(ids.RUN_TAGS, "value"),
        Input(ids.RUN_GROUP, "value"),
        Input(ids.RUN_NOTES, "value"),
        State(ids.RUN_ID, "data"),
        prevent_initial_call=True,
    )
    async def keep(name: str, tags: list[str], group: str, notes: str, run_id: str) -> Any:
        if not any(each["prop_id"].startswith("run-") for each in ctx.triggered):
            return no_update, no_update
        try:
            run = await client(calls.change(run_id, name=name, tags=tags or [], group=group or None, notes=notes or ""))
        except ApiError as error:
            return no_update, f"Not saved: {error}"
        return run.notes, "Saved."
