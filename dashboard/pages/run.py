"""The live page: the frame that assets/modules/run-page.mjs fills."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, dcc, html, no_update

from backend import wire
from backend.client import ApiError, AsyncClient, Call, calls
from backend.palette import class_colours
from dashboard import ids
from dashboard.components.frame import message
from dashboard.figures.charts import READINGS, Group, angles_figure, chart_figure, families, overviews
from dashboard.figures.scene import TRACES, scene_figure
from dashboard.pages import export

CONFIG = {"displayModeBar": False, "responsive": True, "scrollZoom": True}
FLAT_CONFIG = {**CONFIG, "scrollZoom": False}
CHART_PX, ANGLES_PX = 118, 236


class Action(NamedTuple):
    """A button that asks something of the run: its id and words, when it shows, what it calls, what is said then."""

    id: str
    words: str
    when: str
    call: Callable[[str], Call[wire.RunWire]]
    said: str


ACTIONS = (
    Action(ids.PAUSE, "Pause", "while-active", calls.pause, "Pausing: a checkpoint is saved and the device released."),
    Action(ids.RESUME, "Resume", "while-paused", calls.resume, "Queued again: it continues where it stopped."),
    Action(ids.CANCEL, "Cancel", "while-open", calls.cancel, "Cancelling: the numbers so far are kept."),
    Action(ids.RETRY, "Retry", "while-broken", calls.retry, "Queued again: it continues from its newest checkpoint."),
)


def layout(run: wire.RunWire, metrics: list[wire.MetricWire], *, may_change: bool) -> Any:
    """Return the page of a run in any state; without the buttons that change it for those who may only read."""
    head = run.config.head.name
    first = overviews(metrics)
    groups = [*first, *families(metrics)]
    return html.Div(
        [
            dcc.Store(id=ids.RUN_ID, data=run.id),
            _header(run, ACTIONS if may_change else ()),
            html.Div(id=ids.RUN_MESSAGE),
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
            export.modal(run, metrics),
        ],
        id=ids.RUN_PAGE,
        style={"--head": f"var(--head-{head})"},
        **{
            "data-run": run.id,
            "data-epochs": str(run.config.epochs),
            "data-status": run.status,
            "data-traces": json.dumps({name: index for index, name in enumerate(TRACES)}),
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


def _header(run: wire.RunWire, actions: Sequence[Action]) -> Any:
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
                        dmc.Button(each.words, id=each.id, variant="default", size="xs", className=each.when)
                        for each in actions
                    ),
                    _features_link(run),
                    html.A(
                        "Archive",
                        href=f"/api/v1/runs/{run.id}/archive.zip",
                        download="",
                        title="The whole run as one file, which another Collapse Lab imports",
                        className="link while-still",
                    ),
                    dmc.Button("Export figure", id=ids.EXPORT_OPEN, size="xs"),
                ],
                className="actions",
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
    return html.A("Features .npz", href=href, download="", title=words, className="link", **{"data-part": "features"})


def _pressed(words: str, on: bool, **data: str) -> Any:
    return html.Button(
        words,
        type="button",
        **{f"data-{key}": value for key, value in data.items()},
        **{"aria-pressed": str(on).lower()},
    )


def _scene(run: wire.RunWire) -> Any:
    layers = ("features", "trails", "classifier", "names")
    colours = class_colours(run.classes)
    legend = [
        html.Span([html.I(style={"background": colour}), name])
        for name, colour in zip(run.class_names, colours, strict=True)
    ]
    words = {2: "Line", 3: "Triangle", 4: "Tetrahedron"}.get(run.classes, "Spherical")
    return html.Section(
        [
            html.Div(
                [
                    html.Span(words, className="view-name", title="How the ETF's frame is seen in three dimensions"),
                    html.Div([_pressed(layer, True, layer=layer) for layer in layers], className="chips"),
                ],
                className="panel-head",
            ),
            dcc.Graph(
                id=ids.SCENE_GRAPH,
                figure=scene_figure(run.class_names, run.id),
                config=CONFIG,
                className="scene",
                responsive=True,
            ),
            html.Div(legend if run.classes <= 30 else f"{run.classes} classes", className="legend"),
            html.Div(
                [
                    html.Button("▶", type="button", className="play", title="Play (space)", **{"data-part": "play"}),
                    html.Div(**{"data-part": "slider"}, className="slider"),
                    html.Span("", className="shown", **{"data-part": "shown-epoch"}),
                    html.Button("follows the run", type="button", className="pill", **{"data-part": "follow"}),
                    html.Span("", className="bad-words", role="alert", **{"data-part": "replay-note"}),
                ],
                className="replay",
            ),
        ],
        className="panel scene-panel",
        **{"data-part": "scene"},
    )


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
    key = html.Span("— train  ··· test  - - ideal  | terminal phase", className="ink-2 key")
    return html.Section(
        [
            html.Div([html.Div(pressed, className="segments"), more, key], className="panel-head"),
            html.Div(cells, className="charts"),
        ],
        className="panel",
        **{"data-part": "curves"},
    )


def register(app: Dash, client: AsyncClient) -> None:
    """Pause, resume, cancel, retry."""
    for action in ACTIONS:
        _register(app, client, action)
    export.register(app)


def _register(app: Dash, client: AsyncClient, action: Action) -> None:
    @app.callback(
        Output(ids.RUN_MESSAGE, "children", allow_duplicate=True),
        Input(action.id, "n_clicks"),
        State(ids.RUN_ID, "data"),
        prevent_initial_call=True,
    )
    async def ask(clicks: int | None, run_id: str) -> Any:
        if not clicks:
            return no_update
        try:
            await client(action.call(run_id))
        except ApiError as error:
            return message(str(error), bad=True)
        return message(action.said)
