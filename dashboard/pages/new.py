"""New run: a preset or another run as the start, a form that follows the config's schema, seeds and grids, Launch.

The form is checked while one types, and its expected time and memory are shown before the launch.
"""

from __future__ import annotations

import uuid
from typing import Any, TypedDict

import dash_mantine_components as dmc
from dash import ALL, Dash, Input, Output, State, ctx, dcc, html, no_update, set_props

from backend.api import wire
from backend.client import ApiError, AsyncClient, calls
from dashboard import ids
from dashboard.components import form
from dashboard.components.panels import message, notice, page_head, plotly_preload
from dashboard.pages import launch
from dashboard.pages.launch import RUN_PREFIX, Config

DEFAULT_PRESET = "fashion-nearest"
DEMONSTRATION = "first-light"
"""The preset that the list of runs offers by itself."""
PRESET_GROUPS = {"larger": "Larger", "paper": "Paper", "released-code": "Reference implementation"}
"""Titles of the groups of presets that have no card."""
GRID_HELP = "Every combination is run. One setting on each line, such as optimiser.lr=0.05, 0.1"

# The fields of the form, all of which callbacks read at once: the config that the form was made from, values, switches.
FORM_PARTS = {"bases": ("base", "data"), "values": ("value", "value"), "switches": ("value", "checked")}
FIELD_IDS = State({"form": "value", "path": ALL}, "id")
FORM_INPUTS = {
    **{name: Input({"form": form, "path": ALL}, prop) for name, (form, prop) in FORM_PARTS.items()},
    "fields": FIELD_IDS,
}
FORM_STATES = {
    **{name: State({"form": form, "path": ALL}, prop) for name, (form, prop) in FORM_PARTS.items()},
    "fields": FIELD_IDS,
}


class FormState(TypedDict):
    """What the form's components hold; `fields` are the ids of `values` and `switches`."""

    bases: list[Config]
    values: list[Any]
    switches: list[bool | None]
    fields: list[dict[str, str]]


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
            page_head("New run", html.Span(subtitle, className="ink-2")),
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
            html.Div(id=ids.FORM_EQUIVALENT, className="equivalent"),
        ],
        className="panel launch",
    )


def read_only() -> Any:
    """Return the page for those whose token does not permit to launch runs."""
    text = "Your access token does not permit launching runs. Ask its creator for one with the scope Launch."
    return notice("Read-only access", text)


def _read_form(state: FormState) -> Config | None:
    """Return the config that the form holds; None while there is no form."""
    if not state["bases"]:
        return None
    fields = zip(state["fields"], state["values"], state["switches"], strict=True)
    values = {field["path"]: value if switch is None else switch for field, value, switch in fields}
    return form.assemble(state["bases"][0], values)


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
        output=Output(ids.FORM, "children"),
        inputs={
            "key": Input(ids.FORM_PRESET, "data"),
            "kinds": Input({"form": "part", "path": ALL}, "value"),
            "parts": State({"form": "part", "path": ALL}, "id"),
            "state": FORM_STATES,
        },
        running=[(Output(ids.FORM, "disabled"), True, False)],  # input would be lost when the form is replaced
    )
    async def update_form(key: str, kinds: list[str], parts: list[dict[str, str]], state: FormState) -> Any:
        # From the form's values, not from the last check, which may still be running.
        config = _read_form(state)
        if config is None or ctx.triggered_id == ids.FORM_PRESET:
            return await _render_form(client, (await launch.load_start(client, key)).config)
        choices = {part["path"]: kind for part, kind in zip(parts, kinds, strict=True)}
        schema = await client(calls.schema())
        updated = form.apply_choices(schema, config, choices)
        return no_update if updated is None else await _render_form(client, updated)


def _register_check(app: Dash, client: AsyncClient) -> None:
    @app.callback(
        output=[
            Output(ids.FORM_CHECKED, "data"),
            Output(ids.FORM_CONFIG, "data"),
            Output({"form": "problem", "path": ALL}, "children"),
            Output(ids.FORM_SUMMARY, "children"),
            Output(ids.FORM_EQUIVALENT, "children"),
            Output(ids.FORM_GRID_PROBLEM, "children"),
            Output(ids.FORM_LAUNCH, "disabled"),
            Output(ids.FORM_LAUNCH, "children"),
            Output(ids.FORM_MESSAGE, "children"),
        ],
        inputs={
            "state": FORM_INPUTS,
            "seeds": Input(ids.FORM_SEEDS, "value"),
            "grid": Input(ids.FORM_GRID, "value"),
            "_recheck": Input(ids.FORM_RECHECK, "data"),
            "problems": State({"form": "problem", "path": ALL}, "id"),
            "key": State(ids.FORM_PRESET, "data"),
        },
        prevent_initial_call=True,
    )
    async def check(
        state: FormState, seeds: Any, grid: str | None, _recheck: str | None, problems: list[dict[str, str]], key: str
    ) -> Any:
        config = _read_form(state)
        if config is None:
            return no_update, no_update, [no_update] * len(problems), *[no_update] * 6
        paths = [problem["path"] for problem in problems]
        result = await launch.check(client, await launch.load_start(client, key), config, seeds, grid, paths)
        return {"config": config, "seeds": seeds, "grid": grid}, *result


def _register_recheck(app: Dash) -> None:
    @app.callback(
        inputs={
            "checked": Input(ids.FORM_CHECKED, "data"),
            "state": FORM_STATES,
            "seeds": State(ids.FORM_SEEDS, "value"),
            "grid": State(ids.FORM_GRID, "value"),
        },
        prevent_initial_call=True,
    )
    def recheck(checked: Config, state: FormState, seeds: Any, grid: str | None) -> None:
        """Check again if the form has changed since the check that has just ended."""
        config = _read_form(state)
        if config is not None and {"config": config, "seeds": seeds, "grid": grid} != checked:
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
