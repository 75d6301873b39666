"""The page of a run: the layout that assets/js/pages/run-page.mjs fills."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, ctx, dcc, html, no_update

from backend.api import wire
from backend.api.page_constants import LAYERS, MAX_FRAME_CLASSES, MAX_ROTATION_CLASSES, VIEWS, Layer
from backend.client import ApiError, AsyncClient, calls
from dashboard import ids
from dashboard.components.panels import CHART_CONFIG, EXPLANATIONS, chart_grid, explanation, notice, toggle
from dashboard.dialogs import export
from dashboard.plots.charts import READINGS, Group, angles_figure, chart_figure, family_groups, overview_groups
from dashboard.plots.details import confusion_figure, layers_figure, margins_figure, spectra_figure
from ncfigures.palette import COLOURED_CLASSES, class_colours, head_key

CHART_HEIGHT_PX, HEATMAP_HEIGHT_PX = 118, 236


class Action(NamedTuple):
    """A button that changes a run: the API's action, label, CSS class of the statuses that show it, message."""

    name: str
    label: str
    shown_class: str
    message: str


ACTIONS = (
    Action("pause", "Pause", "while-active", "Pausing. A checkpoint is saved and the device is released."),
    Action("resume", "Resume", "while-paused", "Queued. The run continues where it was paused."),
    Action("cancel", "Cancel", "while-open", "Cancelling. Metrics and captures so far are kept."),
    Action("retry", "Retry", "while-broken", "Queued. The run continues from its latest checkpoint."),
)


def layout(run: wire.RunWire, metrics: list[wire.MetricWire], *, may_change: bool) -> Any:
    """Return the page of a run in any status; buttons that change it are left out unless `may_change`."""
    head = run.config.head.name
    overview = overview_groups(metrics)
    groups = [*overview, *family_groups(metrics)]
    return html.Div(
        [
            dcc.Store(id=ids.RUN_ID, data=run.id),
            _header(run, may_change=may_change),
            html.Div(
                [
                    _scene(run),
                    html.Div(
                        [_readings(metrics), _angles(run), _curves(run, groups, len(overview))],
                        className="column",
                    ),
                ],
                className="run-grid",
            ),
            _details(run, may_change=may_change),
            export.modal([run], metrics, "geometry"),
        ],
        id=ids.RUN_PAGE,
        style={"--head": f"var(--head-{head_key(head)})"},
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


def not_found(run_id: str, reason: str) -> Any:
    """Return the page of a run that does not exist."""
    return notice("Run not found", reason, **{"data-missing": run_id})


def _header(run: wire.RunWire, *, may_change: bool) -> Any:
    clone = dcc.Link("Clone", href=f"/new?clone={run.id}", className="button", title="New run with these settings")
    return html.Div(
        [
            html.H1(run.name, title=f"run {run.id}"),
            html.Span(run.status, className="status", **{"data-part": "status", "aria-live": "polite"}),
            html.Div(html.Div(**{"data-part": "progress"}), className="progress"),
            html.Span("", className="ink-2", **{"data-part": "epoch"}),
            html.Span("", className="error-text", role="status", **{"data-part": "note"}),
            html.Div(
                [
                    *(
                        html.Button(
                            action.label,
                            type="button",
                            className=f"button {action.shown_class}",
                            **{"data-action": action.name, "data-message": action.message},
                        )
                        for action in (ACTIONS if may_change else ())
                    ),
                    *([clone] if may_change else []),
                    _features_link(run),
                    html.A(
                        "Archive",
                        href=f"/api/v1/runs/{run.id}/archive.zip",
                        download="",
                        title="Download the run as one file, which another Collapse Lab can import",
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
    """Return the link that downloads the run's kept features, or None if it keeps none."""
    if run.config.measure.keep_features == "none":
        return None
    href = f"/api/v1/runs/{run.id}/features.npz"
    title = "Download penultimate features and labels of the latest capture, for NumPy"
    return html.A(
        "Features (.npz)", href=href, download="", title=title, className="button", **{"data-part": "features"}
    )


class Mode(NamedTuple):
    """What the large panel shows: an id in addresses (empty for the run's own view), its label and description."""

    id: str
    label: str
    description: str


def list_modes(run: wire.RunWire) -> list[Mode]:
    """Return the modes of a run's large panel. The first is the run's own view."""
    own = {2: "Line", 3: "Triangle", 4: "Tetrahedron"}.get(run.classes, "Spherical")
    is_exact = run.classes <= 4
    modes = [Mode("", own, "Exact, without projection" if is_exact else "All vertices on a sphere, spread evenly")]
    if not is_exact:
        # With more classes coordinates are sent in three dimensions: there is nothing to rotate through.
        has_tour = run.classes <= MAX_FRAME_CLASSES
        modes += [Mode(*view) for view in VIEWS if has_tour or view.id != "tour"]
    modes.append(Mode("angles", "Angles", "Cosines or angles between all class means"))
    if run.config.measure.layers:
        modes.append(Mode("layers", "Layers", "Metrics of the measured hidden layers"))
    return modes


def _layer_toggle(layer: Layer) -> Any:
    return toggle(layer.label, layer.visible, layer=layer.id, title=f"{layer.description} ({layer.shortcut})")


def _scene(run: wire.RunWire) -> Any:
    layers = [layer for layer in LAYERS if layer.id != "turn" or run.classes <= MAX_ROTATION_CLASSES]
    views = [toggle(mode.label, mode.id == "", mode=mode.id, title=mode.description) for mode in list_modes(run)]
    canvas = html.Div(
        [
            html.Div(className="tooltip", hidden=True, **{"data-part": "tooltip"}),
            html.Div(className="tetrahedron-classes", **{"data-part": "tetrahedron-classes"}),
        ],
        className="scene",
        **{"data-part": "canvas"},
    )
    return html.Section(
        [
            html.Div(
                [html.Div(views, className="segments modes"), explanation("scene")],
                className="panel-head",
            ),
            html.Div([_layer_toggle(layer) for layer in layers], className="chips layers"),
            canvas,
            _large(ids.LARGE_ANGLES_GRAPH, angles_figure(run.class_names, run.id), "large-angles"),
            _large(ids.LAYERS_GRAPH, layers_figure(run.id), "large-layers"),
            html.Div(_legend(run), className="legend", **{"data-part": "legend"}),
            html.Div(
                [
                    html.Button("▶", type="button", className="play", title="Play (space)", **{"data-part": "play"}),
                    html.Button(
                        "1×", type="button", className="quiet", title="Playback speed", **{"data-part": "speed"}
                    ),
                    html.Button(
                        "Loop", type="button", className="quiet", **{"data-part": "loop", "aria-pressed": "false"}
                    ),
                    html.Div(**{"data-part": "slider"}, className="slider"),
                    html.Span("", className="shown", **{"data-part": "shown-epoch"}),
                    html.Button("Live", type="button", className="pill", **{"data-part": "latest"}),
                    html.Span("", className="error-text", role="alert", **{"data-part": "replay-note"}),
                ],
                className="replay",
            ),
        ],
        className="panel scene-panel",
        **{"data-part": "scene", "data-shows": "scene", "data-view": ""},
    )


def _large(graph: str, figure: dict[str, Any], name: str) -> Any:
    inner = dcc.Graph(id=graph, figure=figure, config=CHART_CONFIG, responsive=True, style={"height": "100%"})
    return html.Div(inner, className=f"scene {name}")


def _legend(run: wire.RunWire) -> Any:
    """Return a button for each class, or a search where classes are too many to have colours."""
    if run.classes > COLOURED_CLASSES:
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
            title="Highlight class",
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
    """Return the figures of the tabs, without data."""
    return {
        "confusion": confusion_figure(run.class_names),
        "margins": margins_figure(run.classes),
        "spectra": spectra_figure(run.classes),
    }


def _details(run: wire.RunWire, *, may_change: bool) -> Any:
    """Return the tabs below the scene."""
    tabs = [toggle(label, index == 0, tab=tab) for index, (tab, label) in enumerate(TABS)]
    explanations = [
        html.Div(explanation(tab), hidden=True, **{"data-explains": tab}) for tab, _ in TABS if tab in EXPLANATIONS
    ]
    details = {"role": "region", "aria-label": "Details", "aria-live": "polite"}
    config = html.Pre(json.dumps(run.config.model_dump(mode="json"), indent=2), className="log")
    return html.Section(
        [
            html.Div(
                [
                    html.Div(tabs, className="segments"),
                    *explanations,
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
    """Return name, tags, group and notes, as fields if `may_change`."""
    rendered = dcc.Markdown(run.notes, id=ids.RUN_NOTES_READ, className="markdown")
    if not may_change:
        facts = html.P(f"{run.name} · group {run.group or 'none'} · tags {', '.join(run.tags) or 'none'}")
        return [facts, rendered]
    fields = [
        dmc.TextInput(id=ids.RUN_NAME, label="Name", value=run.name, debounce=600),
        dmc.TagsInput(id=ids.RUN_TAGS, label="Tags", value=run.tags, placeholder="Add tag"),
        dmc.TextInput(id=ids.RUN_GROUP, label="Group", value=run.group or "", debounce=600),
        dmc.Textarea(
            id=ids.RUN_NOTES,
            label="Notes (Markdown)",
            value=run.notes,
            placeholder="Purpose and findings of this run",
            autosize=True,
            minRows=5,
            debounce=600,
        ),
        html.P("", id=ids.RUN_NOTES_SAVED, className="field-help", role="status"),
    ]
    return html.Div([html.Div(fields, className="notes-fields"), rendered], className="notes")


def _readings(metrics: list[wire.MetricWire]) -> Any:
    known = {metric.key: metric for metric in metrics}
    tiles = []
    for key in READINGS:
        flag = {"data-percent": "1"} if known[key].share else {}
        value = html.Strong("", **{"data-value": "1"})
        note = html.Small("", **{"data-note": "1"})
        title = f"{known[key].formula}. {known[key].reading}"
        tiles.append(html.Div([html.Span(known[key].label, title=title), value, note], **{"data-reading": key}, **flag))
    return html.Section(tiles, className="panel readings", **{"data-part": "readings"})


def _angles(run: wire.RunWire) -> Any:
    return html.Section(
        [
            html.Div(
                [
                    html.H2("Cosines between class means"),
                    html.Div(
                        [toggle("Cosine", True, unit="cos"), toggle("Angle", False, unit="angle")],
                        className="segments",
                    ),
                    explanation("angles"),
                ],
                className="panel-head",
            ),
            html.Div(
                [
                    dcc.Graph(
                        id=ids.ANGLES_GRAPH,
                        figure=angles_figure(run.class_names, run.id),
                        config=CHART_CONFIG,
                        className="angles",
                        style={"height": HEATMAP_HEIGHT_PX},
                        responsive=True,
                    ),
                    html.Div(className="angle-statistics", **{"data-part": "angle-statistics"}),
                ],
                className="angles-body",
            ),
        ],
        className="panel angles-panel",
        **{"data-part": "angles"},
    )


def _curves(run: wire.RunWire, groups: list[Group], buttons: int) -> Any:
    """Return the charts; the first `buttons` groups have a button, all others are in a list."""
    pressed = [toggle(group["title"], index == 0, group=str(index)) for index, group in enumerate(groups[:buttons])]
    more = html.Div(**{"data-part": "more-metrics", "data-first": str(buttons)}, className="more")
    figure = chart_figure(run.config.epochs, run.id)
    legend = html.P("— train ··· test - - ideal | terminal phase", className="ink-2 chart-legend")
    return html.Section(
        [
            html.Div(
                [
                    html.Div(pressed, className="segments"),
                    more,
                    explanation("curves", html.Dl(**{"data-part": "curves-explanation"})),
                ],
                className="panel-head",
            ),
            chart_grid(groups[0]["charts"], ids.chart, figure, CHART_HEIGHT_PX),
            legend,
        ],
        className="panel",
        **{"data-part": "curves"},
    )


def register(app: Dash, client: AsyncClient) -> None:
    """Register the callback that saves name, tags, group and notes while they are typed."""

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
    async def save(name: str, tags: list[str], group: str, notes: str, run_id: str) -> Any:
        if not any(each["prop_id"].startswith("run-") for each in ctx.triggered):
            return no_update, no_update
        try:
            run = await client(calls.change(run_id, name=name, tags=tags or [], group=group or None, notes=notes or ""))
        except ApiError as error:
            return no_update, f"Not saved: {error}"
        return run.notes, "Saved"
