"""The export dialog: a preview made by the same code as the file, an interactive version, the file, and the command.

The options are those of `ncfigures.options`; each figure shows the ones that apply to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args
from urllib.parse import urlencode

import dash_mantine_components as dmc
from dash import ALL, ClientsideFunction, Dash, Input, Output, State, ctx, dcc, html, no_update

from backend.api import page_constants, wire
from backend.api.run_groups import group_by_configuration
from backend.client import ApiError, AsyncClient, RetryWait, calls
from dashboard import ids
from ncfigures.catalogue import (
    COMMON_OPTIONS,
    FIGURES,
    LAYERS,
    MAX_SCENES,
    MEDIA_TYPES,
    OPTIONS,
    VENUES,
    ColourVision,
    FigureName,
)
from ncfigures.errors import FigureError
from ncfigures.latex import format_latex_snippet
from ncfigures.options import FigureOptions, format_export_command, format_film_command, parse_options

FORMATS = [name for name in MEDIA_TYPES if name != "json"]
TEXT_FORMATS = ("csv", "tex", "md", "pgf")
"""Formats whose file is shown as text."""
MAX_TEXT_CHARACTERS = 6000
"""Characters of such a file that are shown."""
BOTH_SPLITS = "train,test"
SIMULATIONS: dict[ColourVision, str] = {
    "colour": "None",
    "grey": "Grey",
    "protanopia": "Protan",
    "deuteranopia": "Deutan",
    "tritanopia": "Tritan",
}
LABELLED = (dmc.Select, dmc.MultiSelect, dmc.NumberInput, dmc.TextInput)
"""Components that have a label of their own."""


def modal(runs: Sequence[wire.RunWire], metrics: list[wire.MetricWire], figure: str) -> Any:
    """Return the dialog for the figures of runs, closed; it opens with `figure`."""
    figures = [{"value": name, "label": kind.title} for name, kind in FIGURES.items()]
    group = runs[0].group if len(runs) == 1 else None
    scopes = [{"value": "own", "label": "This run" if len(runs) == 1 else f"These {len(runs)} runs"}]
    scopes += [{"value": "group", "label": f"Group {group}"}] if group else []
    formats = [{"value": name, "label": name.upper()} for name in FORMATS]
    choices = html.Div(
        [
            dmc.Select(
                id=ids.EXPORT_FIGURE, label="Figure", size="xs", data=figures, value=figure, allowDeselect=False
            ),
            html.Div(_field("Runs", _segments(ids.EXPORT_SCOPE, scopes, "own")), hidden=group is None),
            *_controls(metrics),
            _field("Format", _segments(ids.EXPORT_FORMAT, formats, "pdf")),
            html.A("Download", id=ids.EXPORT_SAVE, className="save", href="#", download=""),
            *([_offline(runs)] if len(group_by_configuration(runs)) <= MAX_SCENES else []),
        ],
        className="export-options",
    )
    modes = [{"value": "preview", "label": "Preview"}, {"value": "interactive", "label": "Interactive"}]
    preview = html.Div(
        [
            _segments(ids.EXPORT_MODE, modes, "preview"),
            html.Div(
                html.Img(id=ids.EXPORT_PREVIEW, alt="Preview of the figure"),
                id=ids.EXPORT_PREVIEW_BOX,
                className="preview",
            ),
            html.Div(
                dcc.Graph(id=ids.EXPORT_INTERACTIVE, config={"displaylogo": False}),
                id=ids.EXPORT_INTERACTIVE_BOX,
                hidden=True,
            ),
            html.P("", id=ids.EXPORT_NOTICES, className="notice", role="status"),
            _waiting(),
            _text("Caption", ids.EXPORT_CAPTION, "caption"),
            _text("LaTeX", ids.EXPORT_SNIPPET, "command"),
            _text("Command line", ids.EXPORT_COMMAND, "command"),
        ]
    )
    return html.Div(
        [
            dcc.Store(id=ids.EXPORT_VIEW_STATE),
            dcc.Store(id=ids.EXPORT_RUNS, data={"own": [run.id for run in runs], "group": group}),
            dmc.Modal(
                [_head(), html.Div([preview, choices], className="export")],
                id=ids.EXPORT_MODAL,
                withCloseButton=False,  # Mantine's own header would be a second banner of the page
                size=1060,
                opened=False,
                transitionProps={"duration": 0},
            ),
        ]
    )


def _head() -> Any:
    close = html.Button("×", id=ids.EXPORT_CLOSE, type="button", className="quiet", **{"aria-label": "Close"})
    return html.Div([html.H2("Export figure"), close], className="panel-head export-head")


def _waiting() -> Any:
    """Return the text shown while the server is busy, and the interval after which the figure is requested again."""
    cancel = html.Button("Cancel", id=ids.EXPORT_CANCEL, type="button", className="quiet")
    line = html.Span("", id=ids.EXPORT_WAITING_TEXT, role="status")
    retry = dcc.Interval(id=ids.EXPORT_RETRY, disabled=True)
    return html.Div([html.Div([line, cancel], id=ids.EXPORT_WAITING, className="row", hidden=True), retry])


def _offline(runs: Sequence[wire.RunWire]) -> Any:
    href = f"/api/v1/replay.html?runs={','.join(run.id for run in runs)}"
    title = "Download the captures and metrics as one HTML page that works offline"
    return html.A("Offline replay", href=href, title=title, className="link", download="")


def _field(title: str, control: Any) -> Any:
    return html.Div([html.Label(title, className="field-title"), control], className="field")


def _segments(name: Any, data: list[Any], value: str) -> Any:
    return dmc.SegmentedControl(id=name, data=data, value=value, size="xs", className="wrapped")


def _text(title: str, name: str, class_name: str) -> Any:
    """Return a text with a button that copies it."""
    head = html.Div(
        [html.P(title, className="field-title"), dcc.Clipboard(target_id=name, title="Copy")], className="row"
    )
    return html.Div([head, html.Pre("", id=name, className=class_name, tabIndex="0")])


def _controls(metrics: list[wire.MetricWire]) -> list[Any]:
    """Return a field for each option, in a box that is hidden if the option does not apply to the figure."""
    fields: dict[str, Any] = {}

    def add(name: str, title: str, kind: Any, **more: Any) -> None:
        if kind in LABELLED:
            fields[name] = kind(id={"export": name}, label=title, size="xs", **more)
        else:
            fields[name] = _field(title, kind(id={"export": name}, **more))

    venues = [{"value": name, "label": venue.title} for name, venue in VENUES.items()]
    add("venue", "Venue", dmc.Select, data=venues, value="icml", allowDeselect=False)
    known = [{"value": metric.key, "label": metric.label} for metric in metrics]
    add("keys", "Metrics", dmc.MultiSelect, data=known, value=[], searchable=True, placeholder="Default")
    add("split", "Split", _choice, data=[("", "Default"), ("train", "Train"), ("test", "Test"), (BOTH_SPLITS, "Both")])
    add("scale", "Scale", _choice, data=[("auto", "Auto"), ("linear", "Linear"), ("log", "Log")])
    add("threshold", "Threshold", dmc.NumberInput, placeholder="Default")
    add("epochs", "Epochs", dmc.TextInput, placeholder="1,5,20", debounce=400)
    add("unit", "Unit", _choice, data=[("", "As shown"), ("cos", "Cosine"), ("angle", "Angle")])
    labels = {layer.id: layer.label for layer in page_constants.LAYERS}
    chips = dmc.Group([dmc.Chip(labels[layer], value=layer, size="xs") for layer in LAYERS], gap=4)
    add("layers", "Elements", dmc.ChipGroup, children=chips, multiple=True, value=list(LAYERS))
    add("panels", "Panels", dmc.TextInput, value="geometry,angles,curves:nc1,margins", debounce=400)
    add("serif", "Font", _choice, data=[("true", "Serif"), ("false", "Sans-serif")])
    add("legend", "Legend", _choice, data=[("true", "Shown"), ("false", "Hidden")])
    add("axes", "Axes", _choice, data=[("open", "Open"), ("boxed", "Boxed"), ("grid", "Grid")])
    add(
        "sight",
        "Colour-vision simulation",
        _choice,
        data=[(name, SIMULATIONS[name]) for name in get_args(ColourVision)],
    )
    add("dpi", "DPI (PNG)", dmc.NumberInput, value=300, min=50, max=1200)
    add("width", "Width, inches", dmc.NumberInput, placeholder="Default", min=1, max=12, decimalScale=3)
    return [html.Div(field, id={"export-box": name}, title=OPTIONS[name]) for name, field in fields.items()]


def _choice(id: Any, data: list[tuple[str, str]]) -> Any:
    return _segments(id, [{"value": value, "label": label} for value, label in data], data[0][0])


def collect_options(view_state: dict[str, Any], figure: FigureName, given: dict[str, Any]) -> FigureOptions:
    """Return a figure's options from the page's view and the dialog's fields, as far as they apply to the figure."""
    kind = FIGURES[figure]
    chosen: dict[str, Any] = {}
    for name in ("epoch", "view", "classes", "camera", "unit"):
        if name in kind.options and view_state.get(name) not in (None, ""):
            chosen[name] = view_state[name]
    for name, value in given.items():
        if name not in kind.options and name not in COMMON_OPTIONS:
            continue
        text = ",".join(value) if isinstance(value, list) else value
        if text not in (None, ""):
            chosen[name] = text
    if chosen.get("layers") == ",".join(LAYERS):
        del chosen["layers"]
    if "epochs" in chosen:
        chosen.pop("epoch", None)
    return parse_options(chosen)


def build_urls(runs: Sequence[str], figure: str, format_: str, options: FigureOptions) -> tuple[str, str]:
    """Return the addresses of the preview and of the file."""
    query = {"runs": ",".join(runs), **options.non_default()}
    base = f"/api/v1/figures/{figure}"
    return f"{base}.svg?{urlencode(query)}", f"{base}.{format_}?{urlencode({**query, 'download': 'true'})}"


async def _render(
    client: AsyncClient,
    view_state: dict[str, Any],
    figure: FigureName,
    format_: str,
    runs: list[str],
    given: dict[str, Any],
) -> tuple[Any, ...]:
    """Return the addresses of preview and file, label, command, caption, snippet, notices, interactive figure."""
    try:
        options = collect_options(view_state, figure, given)
        interactive = await client(calls.plot(",".join(runs), figure, **options.non_default()))
        file = calls.figure(",".join(runs), figure, format_, **options.non_default())
        text = (await client(file)).decode() if format_ in TEXT_FORMATS else ""
    except FigureError as error:
        return (*(no_update,) * 6, str(error), no_update)
    except ApiError as error:
        if RetryWait.of(error.problem) is not None:
            raise
        return ("", "#", no_update, "", "", "", str(error), no_update)
    # The latest epoch is resolved to a number: file, preview and command stay the same while the run continues.
    options = FigureOptions.model_validate(interactive["layout"]["meta"]["provenance"]["options"])
    preview, save = build_urls(runs, figure, format_, options)
    output = f"{figure}.{format_}"
    commands = [format_export_command(runs, figure, format_, options, output)]
    commands += [format_film_command(runs, options)] if figure == "geometry" else []
    meta = interactive["layout"]["meta"]
    caption, notices = meta["caption"], ". ".join(meta["notices"])
    shown = text[:MAX_TEXT_CHARACTERS] if text else format_latex_snippet(output, caption, options.venue, figure)
    return (
        preview,
        save,
        f"Download {format_.upper()}",
        "\n".join(commands),
        caption,
        shown,
        notices,
        interactive,
    )


async def _selected_runs(client: AsyncClient, runs: dict[str, Any], scope: str) -> list[str]:
    if scope == "own" or not runs["group"]:
        return list(runs["own"])
    page = await client(calls.runs(q=f'group:"{runs["group"]}"', limit=page_constants.MAX_COMPARED_RUNS))
    return [run.id for run in page.items if run.epoch > 0]


def are_hidden(figure: FigureName, format_: str, names: Sequence[str]) -> list[bool]:
    """Return for each option whether its box is hidden."""
    applying = {*FIGURES[figure].options, *COMMON_OPTIONS}
    return [name not in applying or (name == "dpi" and format_ != "png") for name in names]


def register(app: Dash, client: AsyncClient) -> None:
    """Register the callbacks that open the dialog and update it with the options."""
    app.clientside_callback(
        ClientsideFunction("collapse", "openExport"),
        Output(ids.EXPORT_MODAL, "opened"),
        Output(ids.EXPORT_VIEW_STATE, "data"),
        Input(ids.EXPORT_OPEN, "n_clicks"),
        Input(ids.EXPORT_CLOSE, "n_clicks"),
        prevent_initial_call=True,
    )
    _register_figure(app, client)
    _register_visibility(app)


def _register_figure(app: Dash, client: AsyncClient) -> None:
    @app.callback(
        *(Output(name, prop) for name, prop in OUTPUTS),
        Input(ids.EXPORT_VIEW_STATE, "data"),
        Input(ids.EXPORT_FIGURE, "value"),
        Input(ids.EXPORT_FORMAT, "value"),
        Input(ids.EXPORT_SCOPE, "value"),
        Input({"export": ALL}, "value"),
        Input(ids.EXPORT_RETRY, "n_intervals"),
        Input(ids.EXPORT_CANCEL, "n_clicks"),
        State({"export": ALL}, "id"),
        State(ids.EXPORT_RUNS, "data"),
        prevent_initial_call=True,
    )
    async def update(
        view_state: dict[str, Any] | None,
        figure: FigureName,
        format_: str,
        scope: str,
        values: list[Any],
        _intervals: int | None,
        _cancelled: int | None,
        names: list[Any],
        runs: Any,
    ) -> Any:
        if view_state is None:
            return (no_update,) * len(OUTPUTS)
        if ctx.triggered_id == ids.EXPORT_CANCEL:
            return (*UNCHANGED, *waiting_outputs("Cancelled. Change an option to try again."))
        chosen = await _selected_runs(client, runs, scope)
        given = {name["export"]: value for name, value in zip(names, values, strict=True)}
        try:
            return (*await _render(client, view_state, figure, format_, chosen, given), *waiting_outputs(None))
        except ApiError as error:
            wait = RetryWait.of(error.problem)
            return (*UNCHANGED, *waiting_outputs(str(error) if wait is None else str(wait), wait))


def _register_visibility(app: Dash) -> None:
    @app.callback(
        Output({"export-box": ALL}, "hidden"),
        Input(ids.EXPORT_FIGURE, "value"),
        Input(ids.EXPORT_FORMAT, "value"),
        State({"export-box": ALL}, "id"),
    )
    def hide_options(figure: FigureName, format_: str, names: list[Any]) -> list[bool]:
        return are_hidden(figure, format_, [name["export-box"] for name in names])

    @app.callback(
        Output(ids.EXPORT_PREVIEW_BOX, "hidden"),
        Output(ids.EXPORT_INTERACTIVE_BOX, "hidden"),
        Input(ids.EXPORT_MODE, "value"),
    )
    def choose_mode(mode: str) -> tuple[bool, bool]:
        return mode == "interactive", mode != "interactive"


OUTPUTS = (
    (ids.EXPORT_PREVIEW, "src"),
    (ids.EXPORT_SAVE, "href"),
    (ids.EXPORT_SAVE, "children"),
    (ids.EXPORT_COMMAND, "children"),
    (ids.EXPORT_CAPTION, "children"),
    (ids.EXPORT_SNIPPET, "children"),
    (ids.EXPORT_NOTICES, "children"),
    (ids.EXPORT_INTERACTIVE, "figure"),
    (ids.EXPORT_WAITING_TEXT, "children"),
    (ids.EXPORT_WAITING, "hidden"),
    (ids.EXPORT_CANCEL, "hidden"),
    (ids.EXPORT_RETRY, "disabled"),
    (ids.EXPORT_RETRY, "interval"),
)
UNCHANGED = (no_update,) * 8
"""The figure's outputs, unchanged."""


def waiting_outputs(text: str | None, wait: RetryWait | None = None) -> tuple[Any, ...]:
    """Return the waiting text, what of it is hidden, and when the figure is requested again."""
    interval_ms = no_update if wait is None else int(1000 * wait.retry_after_s)
    return text or "", text is None, wait is None, wait is None, interval_ms
