"""The export dialog: a preview made by the same code as the file, its interactive twin, the file, and the command.

What can be chosen is what `ncfigures.options` describes; the dialog shows the options of the chosen figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args
from urllib.parse import urlencode

import dash_mantine_components as dmc
from dash import ALL, ClientsideFunction, Dash, Input, Output, State, ctx, dcc, html, no_update

from backend.api import wire
from backend.api.configurations import MAX_SCENES, group_by_configuration
from backend.client import ApiError, AsyncClient, RetryWait, calls
from backend.store.errors import Invalid
from dashboard import ids
from ncfigures.catalogue import COMMON_OPTIONS, FIGURES, LAYERS, MEDIA_TYPES, OPTIONS, VENUES, ColourVision, FigureName
from ncfigures.options import FigureOptions, export_command, film_command, latex_snippet, parse_options

FORMATS = [name for name in MEDIA_TYPES if name != "json"]
TEXTS = ("csv", "tex", "md", "pgf")
"""Formats whose file is shown as it is."""
MOST_CHARACTERS = 6000
"""Of such a file, on the page."""
BOTH = "train,test"
SIGHTS = {"protanopia": "protan", "deuteranopia": "deutan", "tritanopia": "tritan"}
TYPED = (dmc.Select, dmc.MultiSelect, dmc.NumberInput, dmc.TextInput)
"""Fields that bring a label along."""


def modal(runs: Sequence[wire.RunWire], metrics: list[wire.MetricWire], figure: str) -> Any:
    """Return the dialog of a run's figures, or of several runs', closed; it opens with `figure`."""
    named = [{"value": name, "label": kind.title} for name, kind in FIGURES.items()]
    group = runs[0].group if len(runs) == 1 else None
    of = [{"value": "own", "label": "this run" if len(runs) == 1 else f"these {len(runs)} runs"}]
    of += [{"value": "group", "label": f"its group {group}"}] if group else []
    choices = html.Div(
        [
            dmc.Select(id=ids.EXPORT_FIGURE, label="Figure", size="xs", data=named, value=figure, allowDeselect=False),
            html.Div(_field("Of", _segments(ids.EXPORT_OF, of, "own")), hidden=group is None),
            *_controls(metrics),
            _field("Format", _segments(ids.EXPORT_FORMAT, [{"value": f, "label": f.upper()} for f in FORMATS], "pdf")),
            html.A("Save", id=ids.EXPORT_SAVE, className="save", href="#", download=""),
            *([_offline(runs)] if len(group_by_configuration(runs)) <= MAX_SCENES else []),
        ],
        className="export-options",
    )
    shown = [{"value": "print", "label": "As printed"}, {"value": "twin", "label": "Interactive"}]
    preview = html.Div(
        [
            _segments(ids.EXPORT_SHOWN, shown, "print"),
            html.Div(
                html.Img(id=ids.EXPORT_PREVIEW, alt="Preview of the figure"), id=ids.EXPORT_PRINT, className="preview"
            ),
            html.Div(dcc.Graph(id=ids.EXPORT_TWIN, config={"displaylogo": False}), id=ids.EXPORT_TWIN_BOX, hidden=True),
            html.P("", id=ids.EXPORT_NOTICES, className="notice", role="status"),
            _waiting(),
            _text("Caption", ids.EXPORT_CAPTION, "caption"),
            _text("In the paper", ids.EXPORT_SNIPPET, "command"),
            _text("From a terminal", ids.EXPORT_COMMAND, "command"),
        ]
    )
    return html.Div(
        [
            dcc.Store(id=ids.EXPORT_MOMENT),
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
    """Return the line that stands while the server has too much to do, and what asks it again."""
    cancel = html.Button("Cancel", id=ids.EXPORT_CANCEL, type="button", className="quiet")
    line = html.Span("", id=ids.EXPORT_WAITING_LINE, role="status")
    retry = dcc.Interval(id=ids.EXPORT_RETRY, disabled=True)
    return html.Div([html.Div([line, cancel], id=ids.EXPORT_WAITING, className="row", hidden=True), retry])


def _offline(runs: Sequence[wire.RunWire]) -> Any:
    words = "The whole run" if len(runs) == 1 else "These runs side by side"
    href = f"/api/v1/replay.html?runs={','.join(run.id for run in runs)}"
    return html.A(f"{words} as one page that works offline", href=href, className="link", download="")


def _field(title: str, control: Any) -> Any:
    return html.Div([html.Label(title, className="field-title"), control], className="field")


def _segments(name: Any, data: list[Any], value: str) -> Any:
    return dmc.SegmentedControl(id=name, data=data, value=value, size="xs", className="wrapped")


def _text(title: str, name: str, look: str) -> Any:
    """Return a text that is copied with one click."""
    head = html.Div(
        [html.P(title, className="field-title"), dcc.Clipboard(target_id=name, title="Copy")], className="row"
    )
    return html.Div([head, html.Pre("", id=name, className=look, tabIndex="0")])


def _controls(metrics: list[wire.MetricWire]) -> list[Any]:
    """Return a field for each option, in a box that is hidden where the figure does not have it."""
    made: dict[str, Any] = {}

    def add(name: str, title: str, kind: Any, **more: Any) -> None:
        if kind in TYPED:
            made[name] = kind(id={"export": name}, label=title, size="xs", **more)
        else:
            made[name] = _field(title, kind(id={"export": name}, **more))

    venues = [{"value": name, "label": venue.title} for name, venue in VENUES.items()]
    add("venue", "Venue", dmc.Select, data=venues, value="icml", allowDeselect=False)
    known = [{"value": metric.key, "label": metric.label} for metric in metrics]
    add("keys", "Metrics", dmc.MultiSelect, data=known, value=[], searchable=True, placeholder="the figure's own")
    add("split", "Split", _chosen, data=[("", "usual"), ("train", "train"), ("test", "test"), (BOTH, "both")])
    add("scale", "Scale", _chosen, data=[("auto", "auto"), ("linear", "linear"), ("log", "log")])
    add("threshold", "Collapsed from", dmc.NumberInput, placeholder="the metric's own")
    add("epochs", "Epochs side by side", dmc.TextInput, placeholder="1,5,20", debounce=400)
    add("unit", "Unit", _chosen, data=[("", "as shown"), ("cos", "cos"), ("angle", "angle")])
    chips = dmc.Group([dmc.Chip(layer, value=layer, size="xs") for layer in LAYERS], gap=4)
    add("layers", "Show", dmc.ChipGroup, children=chips, multiple=True, value=list(LAYERS))
    add("panels", "Panels", dmc.TextInput, value="geometry,angles,curves:nc1,margins", debounce=400)
    add("serif", "Type", _chosen, data=[("true", "serif"), ("false", "sans")])
    add("legend", "Legend", _chosen, data=[("true", "shown"), ("false", "hidden")])
    add("axes", "Axes", _chosen, data=[("open", "open"), ("boxed", "boxed"), ("grid", "grid")])
    sights = [(each, SIGHTS.get(each, each)) for each in get_args(ColourVision)]
    add("sight", "As seen in", _chosen, data=sights)
    add("dpi", "Dots an inch, PNG", dmc.NumberInput, value=300, min=50, max=1200)
    add("width", "Width in inches", dmc.NumberInput, placeholder="the venue's", min=1, max=12, decimalScale=3)
    return [html.Div(field, id={"export-box": name}, title=OPTIONS[name][1]) for name, field in made.items()]


def _chosen(id: Any, data: list[tuple[str, str]]) -> Any:
    return _segments(id, [{"value": value, "label": words} for value, words in data], data[0][0])


def options_of(moment: dict[str, Any], figure: FigureName, given: dict[str, Any]) -> FigureOptions:
    """Return a figure's options: what the page shows, and what the dialog sets."""
    kind = FIGURES[figure]
    found: dict[str, Any] = {}
    for name in ("epoch", "view", "classes", "camera", "unit"):
        if name in kind.options and moment.get(name) not in (None, ""):
            found[name] = moment[name]
    for name, value in given.items():
        if name not in kind.options and name not in COMMON_OPTIONS:
            continue
        text = ",".join(value) if isinstance(value, list) else value
        if text not in (None, ""):
            found[name] = text
    if found.get("layers") == ",".join(LAYERS):
        del found["layers"]
    if "epochs" in found:
        found.pop("epoch", None)
    return parse_options(found)


def addresses(runs: Sequence[str], figure: str, format_: str, options: FigureOptions) -> tuple[str, str]:
    """Return where the preview and the file are."""
    query = {"runs": ",".join(runs), **options.non_default()}
    base = f"/api/v1/figures/{figure}"
    return f"{base}.svg?{urlencode(query)}", f"{base}.{format_}?{urlencode({**query, 'download': 'true'})}"


async def _followed(
    client: AsyncClient,
    moment: dict[str, Any],
    figure: FigureName,
    format_: str,
    runs: list[str],
    given: dict[str, Any],
) -> tuple[Any, ...]:
    """Return the preview's address, the file's, its name, the command, caption, LaTeX snippet, notices and the twin."""
    try:
        options = options_of(moment, figure, given)
        twin = await client(calls.plot(",".join(runs), figure, **options.non_default()))
        file = calls.figure(",".join(runs), figure, format_, **options.non_default())
        text = (await client(file)).decode() if format_ in TEXTS else ""
    except Invalid as error:
        return (*(no_update,) * 6, str(error), no_update)
    except ApiError as error:
        if RetryWait.of(error.problem) is not None:
            raise
        return ("", "#", no_update, "", "", "", str(error), no_update)
    # What was "the newest" is a number now: file, preview and command stay the same while the run goes on.
    options = FigureOptions.model_validate(twin["layout"]["meta"]["provenance"]["options"])
    preview, save = addresses(runs, figure, format_, options)
    output = f"{figure}.{format_}"
    commands = [export_command(runs, figure, format_, options, output)]
    commands += [film_command(runs, options)] if figure == "geometry" else []
    told = twin["layout"]["meta"]
    caption, notices = told["caption"], ". ".join(told["notices"])
    shown = text[:MOST_CHARACTERS] if text else latex_snippet(output, caption, options.venue, figure)
    return (
        preview,
        save,
        f"Save {format_.upper()}",
        "\n".join(commands),
        caption,
        shown,
        notices,
        twin,
    )


async def _chosen_runs(client: AsyncClient, runs: dict[str, Any], of: str) -> list[str]:
    if of == "own" or not runs["group"]:
        return list(runs["own"])
    found = await client(calls.runs(q=f'group:"{runs["group"]}"', limit=200))
    return [run.id for run in found.items if run.epoch > 0]


def hidden_options(figure: FigureName, format_: str, names: Sequence[str]) -> list[bool]:
    """Return of each option whether its box is hidden."""
    used = {*FIGURES[figure].options, *COMMON_OPTIONS}
    return [name not in used or (name == "dpi" and format_ != "png") for name in names]


def register(app: Dash, client: AsyncClient) -> None:
    """Open with the page's moment; preview, link and command follow the options."""
    app.clientside_callback(
        ClientsideFunction("collapse", "openExport"),
        Output(ids.EXPORT_MODAL, "opened"),
        Output(ids.EXPORT_MOMENT, "data"),
        Input(ids.EXPORT_OPEN, "n_clicks"),
        Input(ids.EXPORT_CLOSE, "n_clicks"),
        prevent_initial_call=True,
    )

    @app.callback(
        *(Output(name, prop) for name, prop in SHOWN),
        Input(ids.EXPORT_MOMENT, "data"),
        Input(ids.EXPORT_FIGURE, "value"),
        Input(ids.EXPORT_FORMAT, "value"),
        Input(ids.EXPORT_OF, "value"),
        Input({"export": ALL}, "value"),
        Input(ids.EXPORT_RETRY, "n_intervals"),
        Input(ids.EXPORT_CANCEL, "n_clicks"),
        State({"export": ALL}, "id"),
        State(ids.EXPORT_RUNS, "data"),
        prevent_initial_call=True,
    )
    async def follow(
        moment: dict[str, Any] | None,
        figure: FigureName,
        format_: str,
        of: str,
        values: list[Any],
        _intervals: int | None,
        _cancelled: int | None,
        names: list[Any],
        runs: Any,
    ) -> Any:
        if moment is None:
            return (no_update,) * len(SHOWN)
        if ctx.triggered_id == ids.EXPORT_CANCEL:
            return (*UNCHANGED, *waiting("Cancelled. Change the figure or an option to ask again."))
        chosen = await _chosen_runs(client, runs, of)
        given = {name["export"]: value for name, value in zip(names, values, strict=True)}
        try:
            return (*await _followed(client, moment, figure, format_, chosen, given), *waiting(None))
        except ApiError as error:
            wait = RetryWait.of(error.problem)
            return (*UNCHANGED, *waiting(str(error) if wait is None else str(wait), wait))

    @app.callback(
        Output({"export-box": ALL}, "hidden"),
        Input(ids.EXPORT_FIGURE, "value"),
        Input(ids.EXPORT_FORMAT, "value"),
        State({"export-box": ALL}, "id"),
    )
    def show_what_is_heeded(figure: FigureName, format_: str, names: list[Any]) -> list[bool]:
        return hidden_options(figure, format_, [name["export-box"] for name in names])

    @app.callback(
        Output(ids.EXPORT_PRINT, "hidden"), Output(ids.EXPORT_TWIN_BOX, "hidden"), Input(ids.EXPORT_SHOWN, "value")
    )
    def show_one(shown: str) -> tuple[bool, bool]:
        return shown == "twin", shown != "twin"


SHOWN = (
    (ids.EXPORT_PREVIEW, "src"),
    (ids.EXPORT_SAVE, "href"),
    (ids.EXPORT_SAVE, "children"),
    (ids.EXPORT_COMMAND, "children"),
    (ids.EXPORT_CAPTION, "children"),
    (ids.EXPORT_SNIPPET, "children"),
    (ids.EXPORT_NOTICES, "children"),
    (ids.EXPORT_TWIN, "figure"),
    (ids.EXPORT_WAITING_LINE, "children"),
    (ids.EXPORT_WAITING, "hidden"),
    (ids.EXPORT_CANCEL, "hidden"),
    (ids.EXPORT_RETRY, "disabled"),
    (ids.EXPORT_RETRY, "interval"),
)
UNCHANGED = (no_update,) * 8
"""What is shown of a figure stays as it is."""


def waiting(line: str | None, wait: RetryWait | None = None) -> tuple[Any, ...]:
    """Return the line and whether it is hidden, the button to cancel, and when the server is asked again."""
    interval_ms = no_update if wait is None else int(1000 * wait.retry_after_s)
    return line or "", line is None, wait is None, wait is None, interval_ms
