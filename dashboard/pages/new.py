"""New run: a preset or another run as the start, a form that follows the config's schema, seeds and grids, Launch.

The form is checked while one types, and its expected time and memory are shown before the launch.
"""

from __future__ import annotations

import uuid
from typing import Any

import dash_mantine_components as dmc
from dash import ALL, Dash, Input, Output, State, ctx, dcc, html, no_update, set_props

from backend.api import wire
from backend.client import ApiError, AsyncClient, calls
from dashboard import ids
from dashboard.components import form
from dashboard.components.panels import message, plotly_preload
from dashboard.pages import launch
from dashboard.pages.launch import RUN_PREFIX, Config

DEFAULT_PRESET = "fashion-nearest"
DEMONSTRATION = "first-light"
"""The preset that the list of runs offers by itself."""
PRESET_GROUPS = {"larger": "Larger", "paper": "Paper", "released-code": "Reference implementation"}
"""Titles of the groups of presets that have no card."""
GRID_HELP = "Every combination is run. One setting on each line, such as optimiser.lr=0.05, 0.1"

# The form's fields by what they hold; callbacks read all of them at once.
BASE = Input({"form": "base", "path": ALL}, "data")
VALUES = Input({"form": "value", "path": ALL}, "value")
SWITCHES = Input({"form": "value", "path": ALL}, "checked")
FIELD_IDS = State({"form": "value", "path": ALL}, "id")


def _as_state(dependency: Input) -> State:
    return State(dependency.component_id, dependency.component_property)


def layout(presets: list[wire.PresetWire], original: wire.RunWire | None = None) -> Any:
    """Return the page with the default preset, or with the settings of another run."""
    start = DEFAULT_PRESET if original is None else f"{RUN_PREFIX}{original.id}"
    cards = [_card(preset) for preset in presets if preset.name != DEMONSTRATION and preset.group == "quick"]
    more = [
        {"group": title, "items": [preset.name for preset in presets if preset.group == group]}
        for group, title in PRESET_GROUPS.items()
    ]
    subtitle = "Select a preset and change its settings" if original is None else f"Clone of {original.name}"
    return html.Div(
        [
            dcc.Store(id=ids.FORM_PRESET, data=start),
            dcc.Store(id=ids.FORM_CONFIG),
            dcc.Store(id=ids.FORM_CHECKED),
            dcc.Store(id=ids.FORM_RECHECK),
            html.Div([html.H1("New run"), html.Span(subtitle, className="ink-2")], className="page-head"),
            html.Div(cards, className="cards"),
            dmc.Select(
                id=ids.FORM_MORE_PRESETS,
                label="More presets",
                placeholder="Select a preset",
                data=more,
                searchable=True,
                maw=420,
                mb=12,
            ),
            html.Div([html.Fieldset(id=ids.FORM), html.Aside(_launch_panel())], className="new-grid"),
            plotly_preload(),
        ],
        **{"data-page": "new"},
    )


def _card(preset: wire.PresetWire) -> Any:
    return html.Button(
        [html.B(preset.title), html.Span(preset.description), html.Small(f"{preset.config.epochs} epochs")],
        id=ids.preset(preset.name),
        type="button",
        className="card",
        title=preset.description,
    )


def _launch_panel() -> Any:
    grid = [
        dmc.Textarea(id=ids.FORM_GRID, label="Grid", placeholder="optimiser.lr=0.05, 0.1", autosize=True, minRows=1),
        html.P("", id=ids.FORM_GRID_PROBLEM, className="field-problem", role="alert"),
        html.P(GRID_HELP, className="field-help"),
    ]
    return html.Div(
        [
            html.H2("Summary"),
            html.Div(id=ids.FORM_SUMMARY, **{"aria-live": "polite"}),
            dmc.TextInput(id=ids.FORM_NAME, label="Name", placeholder="Generated"),
            dmc.NumberInput(id=ids.FORM_SEEDS, label="Seeds", value=1, min=1, max=1000, allowDecimal=False),
            html.Div(grid),
            dmc.Button("Launch", id=ids.FORM_LAUNCH, fullWidth=True),
            html.Div(id=ids.FORM_MESSAGE),
            html.Div(id=ids.FORM_EQUIVALENT, className="same"),
        ],
        className="panel launch",
    )


def read_only() -> Any:
    """Return the page for those whose token does not permit to launch runs."""
    text = "Your access token does not permit launching runs. Ask its creator for one with the scope Launch."
    return html.Div(
        [html.H1("Read-only access"), html.P(text), dcc.Link("All runs", href="/runs", className="link")],
        className="panel empty",
    )


def _field_values(fields: list[dict[str, str]], values: list[Any], switches: list[bool | None]) -> dict[str, Any]:
    """Return the form's values by path: a switch's state, or a value."""
    return {f["path"]: v if s is None else s for f, v, s in zip(fields, values, switches, strict=True)}


async def _render_form(client: AsyncClient, config: Config) -> list[Any]:
    """Return the form of a config, with a store of the config that the fields' values are applied to."""
    schema, data, system = await client(calls.schema()), await client(calls.data()), await client(calls.system())
    known = data.get(config["data"]["name"])
    base = dcc.Store(id={"form": "base", "path": "config"}, data=config)
    return [*form.render(schema, config, known["class_names"] if known else [], system.devices), base]


def register(app: Dash, client: AsyncClient) -> None:
    """Register the page's callbacks."""
    _register_start(app)
    _register_form(app, client)
    _register_check(app, client)
    _register_recheck(app)
    _register_launch(app, client)


def _register_start(app: Dash) -> None:
    @app.callback(
        Output(ids.FORM_PRESET, "data"),
        Output({"preset": ALL}, "className"),
        Output(ids.FORM_MORE_PRESETS, "value"),
        Input({"preset": ALL}, "n_clicks"),
        Input(ids.FORM_MORE_PRESETS, "value"),
        State(ids.FORM_PRESET, "data"),
        State({"preset": ALL}, "id"),
    )
    def choose_start(clicks: list[int | None], more: str | None, chosen: str, cards: list[dict[str, str]]) -> Any:
        if isinstance(ctx.triggered_id, dict) and any(clicks):
            chosen, more = ctx.triggered_id["preset"], None
        elif ctx.triggered_id == ids.FORM_MORE_PRESETS and more is not None:
            chosen = more
        return chosen, ["card chosen" if card["preset"] == chosen else "card" for card in cards], more


def _register_form(app: Dash, client: AsyncClient) -> None:
    @app.callback(
        Output(ids.FORM, "children"),
        Input(ids.FORM_PRESET, "data"),
        Input({"form": "part", "path": ALL}, "value"),
        State({"form": "part", "path": ALL}, "id"),
        _as_state(BASE),
        _as_state(VALUES),
        _as_state(SWITCHES),
        FIELD_IDS,
        running=[(Output(ids.FORM, "disabled"), True, False)],  # input would be lost when the form is replaced
    )
    async def update_form(
        key: str,
        kinds: list[str],
        parts: list[dict[str, str]],
        bases: list[Config],
        values: list[Any],
        switches: list[bool | None],
        fields: list[dict[str, str]],
    ) -> Any:
        if not bases or ctx.triggered_id == ids.FORM_PRESET:
            return await _render_form(client, (await launch.load_start(client, key)).config)
        # From the form's values, not from the last check, which may still be running.
        choices = {part["path"]: kind for part, kind in zip(parts, kinds, strict=True)}
        config = form.assemble(bases[0], _field_values(fields, values, switches))
        schema = await client(calls.schema())
        updated = form.with_choices(schema, config, choices)
        return no_update if updated is None else await _render_form(client, updated)


def _register_check(app: Dash, client: AsyncClient) -> None:
    @app.callback(
        Output(ids.FORM_CHECKED, "data"),
        Output(ids.FORM_CONFIG, "data"),
        Output({"form": "problem", "path": ALL}, "children"),
        Output(ids.FORM_SUMMARY, "children"),
        Output(ids.FORM_EQUIVALENT, "children"),
        Output(ids.FORM_GRID_PROBLEM, "children"),
        Output(ids.FORM_LAUNCH, "disabled"),
        Output(ids.FORM_LAUNCH, "children"),
        Output(ids.FORM_MESSAGE, "children"),
        BASE,
        VALUES,
        SWITCHES,
        Input(ids.FORM_RECHECK, "data"),
        Input(ids.FORM_SEEDS, "value"),
        Input(ids.FORM_GRID, "value"),
        FIELD_IDS,
        State({"form": "problem", "path": ALL}, "id"),
        State(ids.FORM_PRESET, "data"),
        prevent_initial_call=True,
    )
    async def check(
        bases: list[Config],
        values: list[Any],
        switches: list[bool | None],
        _recheck: str | None,
        seeds: Any,
        grid: str | None,
        fields: list[dict[str, str]],
        problems: list[dict[str, str]],
        key: str,
    ) -> Any:
        if not bases:
            return no_update, no_update, [no_update] * len(problems), *[no_update] * 6
        config = form.assemble(bases[0], _field_values(fields, values, switches))
        paths = [problem["path"] for problem in problems]
        result = await launch.check(client, await launch.load_start(client, key), config, seeds, grid, paths)
        return {"config": config, "seeds": seeds, "grid": grid}, *result


def _register_recheck(app: Dash) -> None:
    @app.callback(
        Input(ids.FORM_CHECKED, "data"),
        _as_state(BASE),
        _as_state(VALUES),
        _as_state(SWITCHES),
        FIELD_IDS,
        State(ids.FORM_SEEDS, "value"),
        State(ids.FORM_GRID, "value"),
        prevent_initial_call=True,
    )
    def recheck(
        checked: Config,
        bases: list[Config],
        values: list[Any],
        switches: list[bool | None],
        fields: list[dict[str, str]],
        seeds: Any,
        grid: str | None,
    ) -> None:
        """Check again if the form has changed since the check that has just ended."""
        config = form.assemble(bases[0], _field_values(fields, values, switches)) if bases else None
        if bases and {"config": config, "seeds": seeds, "grid": grid} != checked:
            set_props(ids.FORM_RECHECK, {"data": uuid.uuid4().hex})


def _register_launch(app: Dash, client: AsyncClient) -> None:
    @app.callback(
        Output(ids.URL, "pathname", allow_duplicate=True),
        Output(ids.URL, "search", allow_duplicate=True),
        Output(ids.FORM_MESSAGE, "children", allow_duplicate=True),
        Input(ids.FORM_LAUNCH, "n_clicks"),
        State(ids.FORM_CONFIG, "data"),
        State(ids.FORM_NAME, "value"),
        State(ids.FORM_PRESET, "data"),
        State(ids.FORM_SEEDS, "value"),
        State(ids.FORM_GRID, "value"),
        prevent_initial_call=True,
        running=[(Output(ids.FORM_LAUNCH, "loading"), True, False)],  # a second click would launch a second run
    )
    async def start(clicks: int | None, config: Config, name: str | None, key: str, seeds: Any, grid: Any) -> Any:
        if not clicks:
            return no_update, no_update, no_update
        try:
            start_from = await launch.load_start(client, key)
            path, search = await launch.launch(client, start_from, config, name or None, seeds or 1, grid)
        except (ApiError, ValueError) as error:
            return no_update, no_update, message(str(error), is_error=True)
        return path, search, no_update
