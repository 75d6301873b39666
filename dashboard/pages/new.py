"""New run: presets or another run as the start, the form that follows the config's schema, seeds and grids, Launch.

What is typed is checked as one types, and what it would take of time and memory is said before it is launched.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import dash_mantine_components as dmc
from dash import ALL, Dash, Input, Output, State, ctx, dcc, html, no_update, set_props

from backend.api import wire
from backend.api.configurations import flatten_settings
from backend.client import ApiError, AsyncClient, calls
from dashboard import ids
from dashboard.components import form
from dashboard.components.formatting import duration, size
from dashboard.components.panels import message, warm_up

Config = dict[str, Any]
OF_RUN = "run:"
"""Before a run's id where it, and no preset, is what the form starts from."""


@dataclass(frozen=True, slots=True)
class Start:
    """What the form starts from: a preset by its name, or a run (`run:ID`)."""

    key: str
    title: str
    config: Config

    @property
    def run_id(self) -> str | None:
        return self.key.removeprefix(OF_RUN) if self.key.startswith(OF_RUN) else None


def layout(presets: list[wire.PresetWire], original: wire.RunWire | None = None) -> Any:
    """Return the page with the first preset chosen, or with the settings of another run."""
    start = "fashion-nearest" if original is None else f"{OF_RUN}{original.id}"
    cards = [
        html.Button(
            [html.B(preset.title), html.Span(preset.description), html.Small(f"{preset.config.epochs} epochs")],
            id=ids.preset(preset.name),
            type="button",
            className="card",
            title=preset.description,
        )
        for preset in presets
        if preset.name != "first-light" and preset.group == "quick"
    ]
    groups = {"larger": "Larger", "paper": "The paper's settings", "released-code": "The released code's choices"}
    more = [
        {"group": words, "items": [preset.name for preset in presets if preset.group == group]}
        for group, words in groups.items()
    ]
    said = "start from a preset, change what you need" if original is None else f"clone of {original.name}"
    return html.Div(
        [
            dcc.Store(id=ids.FORM_PRESET, data=start),
            dcc.Store(id=ids.FORM_CONFIG),
            dcc.Store(id=ids.FORM_CHECKED),
            dcc.Store(id=ids.FORM_AGAIN),
            html.Div([html.H1("New run"), html.Span(said, className="ink-2")], className="page-head"),
            html.Div(cards, className="cards"),
            dmc.Select(
                id=ids.FORM_MORE,
                label="Larger ones, and those of the paper",
                placeholder="choose one",
                data=more,
                searchable=True,
                maw=420,
                mb=12,
            ),
            html.Div([html.Fieldset(id=ids.FORM), html.Aside(_launch())], className="new-grid"),
            warm_up(),
        ],
        **{"data-page": "new"},
    )


def _launch() -> Any:
    grid_help = "Every combination is run. One setting a line, such as optimiser.lr=0.05, 0.1"
    return html.Div(
        [
            html.H2("Before you launch"),
            html.Div(id=ids.FORM_SUMMARY, **{"aria-live": "polite"}),
            dmc.TextInput(id=ids.FORM_NAME, label="Name", placeholder="named by data and head"),
            dmc.NumberInput(id=ids.FORM_SEEDS, label="Seeds", value=1, min=1, max=1000, allowDecimal=False),
            html.Div(
                [
                    dmc.Textarea(
                        id=ids.FORM_GRID, label="Grid", placeholder="optimiser.lr=0.05, 0.1", autosize=True, minRows=1
                    ),
                    html.P("", id=ids.FORM_GRID_PROBLEM, className="field-problem", role="alert"),
                    html.P(grid_help, className="field-help"),
                ]
            ),
            dmc.Button("Launch", id=ids.FORM_LAUNCH, fullWidth=True),
            html.Div(id=ids.FORM_MESSAGE),
            html.Div(id=ids.FORM_SAME, className="same"),
        ],
        className="panel launch",
    )


def refused() -> Any:
    """Return the page for those who may only read."""
    words = "The address you came by may only read. Whoever shared it can give you one that may launch runs."
    return html.Div(
        [html.H1("New run"), html.P(words), dcc.Link("All runs", href="/runs", className="link")],
        className="panel empty",
    )


def changes(config: Config, before: Config) -> dict[str, tuple[Any, Any]]:
    """Return the settings in which a config differs from the one before, dotted, as (from, to)."""
    old, new = flatten_settings(before), flatten_settings(config)
    return {path: (old.get(path), value) for path, value in new.items() if old.get(path) != value}


def setting(value: Any) -> str:
    """Return a value as `--set` takes it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value).replace(" ", "")


def parsed_grid(text: str | None) -> dict[str, list[Any]]:
    """Return the values by setting that a grid's lines give; raises ValueError for a line that gives none."""
    found: dict[str, list[Any]] = {}
    for line in filter(None, (each.strip() for each in (text or "").splitlines())):
        path, sign, values = line.partition("=")
        held = [_read(value.strip()) for value in values.split(",") if value.strip()]
        if not sign or not path.strip() or not held:
            raise ValueError(f"a line is a setting and its values, such as optimiser.lr=0.05, 0.1; got {line!r}")
        found[path.strip()] = held
    return found


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def command(start: Start, different: dict[str, tuple[Any, Any]], grid: dict[str, list[Any]], seeds: int) -> str:
    """Return the command that launches the same from a terminal."""
    parts = [f"collapse run {start.key if start.run_id is None else 'config.json'}"]
    if start.run_id is None:
        parts += [f"--set {path}={setting(to)}" for path, (_, to) in different.items()]
    parts += [f"--grid {path}={','.join(setting(value) for value in values)}" for path, values in grid.items()]
    parts += [f"--seeds {seeds}"] if seeds > 1 else []
    return " \\\n  ".join(parts)


def summary(check: wire.ConfigCheck, estimate: wire.LaunchEstimate | None) -> Any:
    """Return what is worth knowing before a launch: how large it is, how long it takes, when it starts."""
    if check.errors:
        return [html.P("Some settings do not fit; the form says which.", className="bad-words")]
    facts = ["{classes} classes, {train:,} training samples, {steps:,} steps".format(**check.facts)]
    lines: list[Any] = [html.P(facts[0])]
    captures, each = check.facts["kept_captures"], check.facts["kept_bytes_each"]
    if captures:
        words = f"Features kept: {captures:,} captures of up to {size(each)}, {size(captures * each)} in all"
        lines.append(html.P(words, **{"data-part": "kept-features"}))
    return lines if estimate is None else [*lines, *_expected(estimate)]


def _expected(estimate: wire.LaunchEstimate) -> list[Any]:
    many = f"{estimate.runs:,} run{'' if estimate.runs == 1 else 's'}"
    waits = f"after {estimate.ahead} that wait or run" if estimate.ahead >= estimate.slots else "now"
    starts = html.P(["Starts ", html.B(waits)])
    if estimate.wall_seconds is None:
        words = "No run like this was measured on this machine yet: its first epochs will tell how long it takes."
        return [html.P(html.B(many)), html.P(words, **{"data-part": "estimate"}), starts]
    lines = [html.P([f"{many}, about ", html.B(duration(estimate.wall_seconds))], **{"data-part": "estimate"})]
    if estimate.memory_bytes:
        lines.append(html.P(["Memory about ", html.B(size(estimate.memory_bytes)), " each"]))
    runs = f"{estimate.measured_runs} run{'' if estimate.measured_runs == 1 else 's'}"
    source = f"As {runs} {estimate.alike} took on this machine."
    if estimate.unknown:
        source += f" Of {estimate.unknown} runs nothing is known; they come on top."
    return [*lines, starts, html.P(source, className="field-help")]


def same(start: Start, config: Config, different: dict[str, tuple[Any, Any]], line: str) -> Any:
    """Return the same launch as a command and as a config file, and what was changed from the start."""
    file = json.dumps(config, indent=2)
    parts: list[Any] = [
        html.Div([html.Span("The same from a terminal", className="field-title"), _copy(ids.FORM_COMMAND)]),
        html.Pre(line, className="command", id=ids.FORM_COMMAND),
        html.Details(
            [
                html.Summary("the config as a file"),
                html.Div(
                    [
                        _copy(ids.FORM_FILE),
                        html.A(
                            "config.json",
                            href="data:application/json;charset=utf-8," + quote(file),
                            download="config.json",
                            className="link",
                        ),
                    ],
                    className="row",
                ),
                html.Pre(file, className="command file", id=ids.FORM_FILE),
            ]
        ),
    ]
    if different:
        rows = [
            html.P([path, "  ", html.B(f"{setting(old)} → {setting(new)}")]) for path, (old, new) in different.items()
        ]
        words = f"Changed from {'the preset' if start.run_id is None else start.title}"
        parts += [html.P(words, className="field-title"), html.Div(rows, className="changes")]
    return parts


def _copy(target: str) -> Any:
    return dcc.Clipboard(target_id=target, title="Copy", className="copy")


def _held(fields: list[dict[str, str]], values: list[Any], switches: list[bool | None]) -> dict[str, Any]:
    """Return what the form's fields hold, by path: a switch's state, or a value."""
    return {f["path"]: v if s is None else s for f, v, s in zip(fields, values, switches, strict=True)}


def register(app: Dash, client: AsyncClient) -> None:
    """The form's life: choose a start or a part's kind, check what is typed, launch."""

    async def start_of(key: str) -> Start:
        if key.startswith(OF_RUN):
            run = await client(calls.run(key.removeprefix(OF_RUN)))
            return Start(key, run.name, run.config.model_dump(mode="json"))
        (preset,) = [each for each in await client(calls.presets()) if each.name == key]
        return Start(key, preset.title, preset.config.model_dump(mode="json"))

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
        key: str,
        kinds: list[str],
        parts: list[dict[str, str]],
        bases: list[Config],
        values: list[Any],
        switches: list[bool | None],
        fields: list[dict[str, str]],
    ) -> Any:
        if not bases or ctx.triggered_id == ids.FORM_PRESET:
            return await _drawn(client, (await start_of(key)).config)
        # From what is drawn and typed, not from the last check, which may still be under way.
        chosen = {part["path"]: kind for part, kind in zip(parts, kinds, strict=True)}
        typed = form.assembled(bases[0], _held(fields, values, switches))
        schema = await client(calls.schema())
        redrawn = form.changed(schema, typed, chosen)
        return no_update if redrawn is None else await _drawn(client, redrawn)

    @app.callback(
        Output(ids.FORM_CONFIG, "data"),
        Output(ids.FORM_CHECKED, "data"),
        Output({"form": "problem", "path": ALL}, "children"),
        Output(ids.FORM_SUMMARY, "children"),
        Output(ids.FORM_SAME, "children"),
        Output(ids.FORM_GRID_PROBLEM, "children"),
        Output(ids.FORM_LAUNCH, "disabled"),
        Output(ids.FORM_LAUNCH, "children"),
        Output(ids.FORM_MESSAGE, "children"),
        Input({"form": "base", "path": ALL}, "data"),
        Input({"form": "value", "path": ALL}, "value"),
        Input({"form": "value", "path": ALL}, "checked"),
        Input(ids.FORM_AGAIN, "data"),
        Input(ids.FORM_SEEDS, "value"),
        Input(ids.FORM_GRID, "value"),
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
        seeds: Any,
        grid_text: str | None,
        fields: list[dict[str, str]],
        problems: list[dict[str, str]],
        key: str,
    ) -> Any:
        if not bases:
            return no_update, no_update, [no_update] * len(problems), *[no_update] * 6
        typed = form.assembled(bases[0], _held(fields, values, switches))
        checked = {"config": typed, "seeds": seeds, "grid": grid_text}
        paths = [problem["path"] for problem in problems]
        config, *rest = await _checked(client, await start_of(key), typed, seeds, grid_text, paths)
        return config, checked, *rest

    @app.callback(
        Input(ids.FORM_CHECKED, "data"),
        State({"form": "base", "path": ALL}, "data"),
        State({"form": "value", "path": ALL}, "value"),
        State({"form": "value", "path": ALL}, "checked"),
        State({"form": "value", "path": ALL}, "id"),
        State(ids.FORM_SEEDS, "value"),
        State(ids.FORM_GRID, "value"),
        prevent_initial_call=True,
    )
    def overtaken(
        checked: Config,
        bases: list[Config],
        values: list[Any],
        switches: list[bool | None],
        fields: list[dict[str, str]],
        seeds: Any,
        grid: str | None,
    ) -> None:
        """Check again where the answer is to what stood there before something else was typed."""
        config = form.assembled(bases[0], _held(fields, values, switches)) if bases else None
        if bases and {"config": config, "seeds": seeds, "grid": grid} != checked:
            set_props(ids.FORM_AGAIN, {"data": uuid.uuid4().hex})

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
        running=[(Output(ids.FORM_LAUNCH, "loading"), True, False)],  # also keeps a second click from a second run
    )
    async def launch(clicks: int | None, config: Config, name: str | None, key: str, seeds: Any, grid: Any) -> Any:
        if not clicks:
            return no_update, no_update, no_update
        try:
            path, search = await _launched(client, await start_of(key), config, name or None, seeds or 1, grid)
        except (ApiError, ValueError) as error:
            return no_update, no_update, message(str(error), bad=True)
        return path, search, no_update


async def _drawn(client: AsyncClient, config: Config) -> list[Any]:
    """Return the form of a config, and the config that what is typed is put upon."""
    schema, data, system = await client(calls.schema()), await client(calls.data()), await client(calls.system())
    known = data.get(config["data"]["name"])
    base = dcc.Store(id={"form": "base", "path": "config"}, data=config)
    return [*form.render(schema, config, known["class_names"] if known else [], system.devices), base]


async def _checked(
    client: AsyncClient, start: Start, config: Config, seeds: Any, grid_text: str | None, paths: list[str]
) -> tuple[Config, list[str], Any, Any, str, bool, str, list[Any]]:
    """Return of what is typed: the config, what is wrong at each of `paths`, what it makes, whether it may start."""
    found = await client(calls.check(config))
    if found.config is not None:  # numbers as numbers; what own files hold is looked up again at launch
        config = found.config.model_dump(mode="json")
        config["data"] |= {"found": None} if "found" in config["data"] else {}
    errors = {error.path: error.message for error in found.errors}
    count = seeds if isinstance(seeds, int) and seeds > 0 else 1
    grid, wrong, estimate = await _planned(client, None if errors else config, grid_text, count)
    different = changes(config, start.config)
    runs = 1 if estimate is None else estimate.runs
    return (
        config,
        [errors.get(path, "") for path in paths],
        summary(found, estimate),
        same(start, config, different, command(start, different, grid, count)),
        wrong,
        bool(errors or wrong),
        "Launch" if runs == 1 else f"Launch {runs:,} runs",
        [message(text, bad=True) for path, text in errors.items() if path not in paths],
    )


async def _planned(
    client: AsyncClient, config: Config | None, grid_text: str | None, seeds: int
) -> tuple[dict[str, list[Any]], str, wire.LaunchEstimate | None]:
    """Return the grid that is typed, what is wrong with it, and what the runs would take where nothing is."""
    try:
        grid = parsed_grid(grid_text)
    except ValueError as error:
        return {}, str(error), None
    if config is None:
        return grid, "", None
    try:
        return grid, "", await client(calls.estimate(config, grid=grid, seeds=seeds))
    except ApiError as error:
        return grid, str(error), None


async def _launched(
    client: AsyncClient, start: Start, config: Config, name: str | None, seeds: int, grid_text: str | None
) -> tuple[str, str]:
    """Queue what was asked for; return the address of its page: the run's, or the list of the sweep's runs."""
    if not config:
        raise ValueError("The settings are still being checked; launch again in a moment.")
    grid = parsed_grid(grid_text)
    if grid or seeds > 1:
        group = f"{name or start.title} {uuid.uuid4().hex[:4]}"
        await client(calls.sweep(config, group, grid=grid, seeds=seeds, name=name))
        return "/runs", f'?q=group:"{group}"'
    if start.run_id is not None:
        different = {path: to for path, (_, to) in changes(config, start.config).items() if path != "data.found"}
        return f"/runs/{(await client(calls.clone(start.run_id, different, name=name))).id}", ""
    return f"/runs/{(await client(calls.launch(config, name=name))).id}", ""
