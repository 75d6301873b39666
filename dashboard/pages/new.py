"""New run: presets, the form that follows the config's schema, checked as one types, and Launch."""

from __future__ import annotations

import uuid
from typing import Any

import dash_mantine_components as dmc
from dash import ALL, Dash, Input, Output, State, ctx, dcc, html, no_update, set_props

from backend import wire
from backend.client import ApiError, AsyncClient, calls
from dashboard import ids
from dashboard.components import form
from dashboard.components.frame import message, warm_up
from dashboard.components.words import size

Config = dict[str, Any]


def layout(presets: list[wire.PresetWire]) -> Any:
    """Return the page with the first preset chosen."""
    cards = [
        html.Button(
            [html.B(preset.title), html.Span(preset.description), html.Small(f"{preset.config.epochs} epochs")],
            id=ids.preset(preset.name),
            type="button",
            className="card",
        )
        for preset in presets
        if preset.name != "first-light" and preset.group == "quick"
    ]
    groups = {"larger": "Larger", "paper": "The paper's settings", "released-code": "The released code's choices"}
    more = [
        {"group": words, "items": [preset.name for preset in presets if preset.group == group]}
        for group, words in groups.items()
    ]
    launch = html.Aside(
        html.Div(
            [
                html.H2("Before you launch"),
                html.Div(id=ids.FORM_SUMMARY),
                html.Label("Name", className="field-title"),
                dmc.TextInput(id=ids.FORM_NAME, placeholder="named by data and head"),
                dmc.Button("Launch", id=ids.FORM_LAUNCH, fullWidth=True, mt=12),
                html.Div(id=ids.FORM_MESSAGE),
            ],
            className="panel launch",
        )
    )
    return html.Div(
        [
            dcc.Store(id=ids.FORM_PRESET, data="fashion-nearest"),
            dcc.Store(id=ids.FORM_CONFIG),
            dcc.Store(id=ids.FORM_CHECKED),
            dcc.Store(id=ids.FORM_AGAIN),
            html.Div(
                [html.H1("New run"), html.Span("start from a preset, change what you need", className="ink-2")],
                className="page-head",
            ),
            html.Div(cards, className="cards"),
            dmc.Select(
                id=ids.FORM_MORE,
                label="Larger ones, and those of the paper",
                placeholder="choose one",
                data=more,
                searchable=True,
                w=420,
                mb=12,
            ),
            html.Div([html.Fieldset(id=ids.FORM), launch], className="new-grid"),
            warm_up(),
        ],
        **{"data-page": "new"},
    )


def changes(config: Config, preset: Config) -> dict[str, tuple[Any, Any]]:
    """Return the settings in which two configs differ, dotted, as (from, to)."""

    def flat(tree: Config) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in tree.items():
            if isinstance(value, dict):
                found |= {f"{key}.{inner}": item for inner, item in value.items()}
            else:
                found[key] = value
        return found

    before, after = flat(preset), flat(config)
    return {path: (before.get(path), value) for path, value in after.items() if before.get(path) != value}


def setting(value: Any) -> str:
    """Return a value as `--set` takes it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value).replace(" ", "")


def summary(check: wire.ConfigCheck, config: Config, preset: wire.PresetWire) -> Any:
    """Return what is worth knowing before a launch: size, command, differences from the preset."""
    different = changes(config, preset.config.model_dump(mode="json"))
    command = f"collapse run {preset.name}" + "".join(
        f" \\\n  --set {path}={setting(to)}" for path, (_, to) in different.items()
    )
    facts: list[Any] = []
    if not check.errors:
        facts.append(html.P("{classes} classes, {train:,} training samples, {steps:,} steps".format(**check.facts)))
        captures, each = check.facts["kept_captures"], check.facts["kept_bytes_each"]
        if captures:
            facts.append(
                html.P(
                    f"Features kept: {captures:,} captures of up to {size(each)}, {size(captures * each)} in all",
                    **{"data-part": "kept-features"},
                )
            )
    facts += [html.P("The same from a terminal", className="field-title"), html.Pre(command, className="command")]
    if different:
        rows = [
            html.P([path, "  ", html.B(f"{setting(old)} → {setting(new)}")]) for path, (old, new) in different.items()
        ]
        facts += [html.P("Changed from the preset", className="field-title"), html.Div(rows, className="changes")]
    return facts


def _held(fields: list[dict[str, str]], values: list[Any], switches: list[bool | None]) -> dict[str, Any]:
    """Return what the form's fields hold, by path: a switch's state, or a value."""
    return {f["path"]: v if s is None else s for f, v, s in zip(fields, values, switches, strict=True)}


def register(app: Dash, client: AsyncClient) -> None:
    """The form's life: choose a preset or a part's kind, check what is typed, launch."""

    async def presets() -> dict[str, wire.PresetWire]:
        return {preset.name: preset for preset in await client(calls.presets())}

    @app.callback(
        Output(ids.FORM_PRESET, "data"),
        Output({"preset": ALL}, "className"),
        Output(ids.FORM_MORE, "value"),
        Input({"preset": ALL}, "n_clicks"),
        Input(ids.FORM_MORE, "value"),
        State(ids.FORM_PRESET, "data"),
        State({"preset": ALL}, "id"),
    )
    def choose(_clicks: list[int | None], more: str | None, chosen: str, cards: list[dict[str, str]]) -> Any:
        if isinstance(ctx.triggered_id, dict) and any(_clicks):
            chosen, more = ctx.triggered_id["preset"], None
        elif ctx.triggered_id == ids.FORM_MORE and more is not None:
            chosen = more
        return chosen, ["card chosen" if card["preset"] == chosen else "card" for card in cards], more

    @app.callback(
        Output(ids.FORM, "children"),
        Input(ids.FORM_PRESET, "data"),
        Input({"form": "part", "path": ALL}, "value"),
        State({"form": "part", "path": ALL}, "id"),
        State({"form": "base", "path": ALL}, "data"),
        State({"form": "value", "path": ALL}, "value"),
        State({"form": "value", "path": ALL}, "checked"),
        State({"form": "value", "path": ALL}, "id"),
        running=[(Output(ids.FORM, "disabled"), True, False)],  # what is typed meanwhile would be drawn over
    )
    async def draw(
        name: str,
        kinds: list[str],
        parts: list[dict[str, str]],
        bases: list[Config],
        values: list[Any],
        switches: list[bool | None],
        fields: list[dict[str, str]],
    ) -> Any:
        schema, data, system = await client(calls.schema()), await client(calls.data()), await client(calls.system())
        if not bases or ctx.triggered_id == ids.FORM_PRESET:
            config = (await presets())[name].config.model_dump(mode="json")
        else:
            # From what is drawn and typed, not from the last check, which may still be under way.
            chosen = {part["path"]: kind for part, kind in zip(parts, kinds, strict=True)}
            redrawn = form.changed(schema, form.assembled(bases[0], _held(fields, values, switches)), chosen)
            if redrawn is None:
                return no_update
            config = redrawn
        known = data.get(config["data"]["name"])
        names = known["class_names"] if known else []
        base = dcc.Store(id={"form": "base", "path": "config"}, data=config)
        return [*form.render(schema, config, names, system.devices), base]

    @app.callback(
        Output(ids.FORM_CONFIG, "data"),
        Output(ids.FORM_CHECKED, "data"),
        Output({"form": "problem", "path": ALL}, "children"),
        Output(ids.FORM_SUMMARY, "children"),
        Output(ids.FORM_LAUNCH, "disabled"),
        Output(ids.FORM_MESSAGE, "children"),
        Input({"form": "base", "path": ALL}, "data"),
        Input({"form": "value", "path": ALL}, "value"),
        Input({"form": "value", "path": ALL}, "checked"),
        Input(ids.FORM_AGAIN, "data"),
        State({"form": "value", "path": ALL}, "id"),
        State({"form": "problem", "path": ALL}, "id"),
        State(ids.FORM_PRESET, "data"),
        prevent_initial_call=True,
    )
    async def check(
        bases: list[Config],
        values: list[Any],
        switches: list[bool | None],
        _again: str | None,
        fields: list[dict[str, str]],
        problems: list[dict[str, str]],
        preset: str,
    ) -> Any:
        if not bases:
            return no_update, no_update, [no_update] * len(problems), no_update, no_update, no_update
        config = checked = form.assembled(bases[0], _held(fields, values, switches))
        found = await client(calls.check(config))
        if found.config is not None:  # numbers as numbers; what own files hold is looked up again at launch
            config = found.config.model_dump(mode="json")
            config["data"] |= {"found": None} if "found" in config["data"] else {}
        errors = {error.path: error.message for error in found.errors}
        elsewhere = [text for path, text in errors.items() if path not in {p["path"] for p in problems}]
        lines = [errors.get(problem["path"], "") for problem in problems]
        news = [message(text, bad=True) for text in elsewhere]
        return config, checked, lines, summary(found, config, (await presets())[preset]), bool(errors), news

    @app.callback(
        Input(ids.FORM_CHECKED, "data"),
        State({"form": "base", "path": ALL}, "data"),
        State({"form": "value", "path": ALL}, "value"),
        State({"form": "value", "path": ALL}, "checked"),
        State({"form": "value", "path": ALL}, "id"),
        prevent_initial_call=True,
    )
    def overtaken(
        checked: Config,
        bases: list[Config],
        values: list[Any],
        switches: list[bool | None],
        fields: list[dict[str, str]],
    ) -> None:
        """Check again where the answer is to what stood there before something else was typed."""
        if bases and form.assembled(bases[0], _held(fields, values, switches)) != checked:
            set_props(ids.FORM_AGAIN, {"data": uuid.uuid4().hex})

    @app.callback(
        Output(ids.URL, "pathname", allow_duplicate=True),
        Output(ids.FORM_MESSAGE, "children", allow_duplicate=True),
        Input(ids.FORM_LAUNCH, "n_clicks"),
        State(ids.FORM_CONFIG, "data"),
        State(ids.FORM_NAME, "value"),
        prevent_initial_call=True,
        running=[(Output(ids.FORM_LAUNCH, "loading"), True, False)],  # also keeps a second click from a second run
    )
    async def launch(clicks: int | None, config: Config, name: str | None) -> Any:
        if not clicks:
            return no_update, no_update
        try:
            run = await client(calls.launch(config, name=name or None))
        except ApiError as error:
            return no_update, message(str(error), bad=True)
        return f"/runs/{run.id}", no_update
