"""What the page "New run" shows beside its form and does with it: summary, equivalent command, checks, launch."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote

from dash import dcc, html

from backend.api import wire
from backend.client import ApiError, AsyncClient, calls
from dashboard import ids
from dashboard.components.formatting import format_bytes, format_count, format_duration
from dashboard.components.panels import message
from ncengine.config.differences import flatten_settings

Config = dict[str, Any]
Changes = dict[str, tuple[Any, Any]]
"""Settings by dotted path, as (from, to)."""
Grid = dict[str, list[Any]]
"""Values by dotted path; every combination is a run."""
RUN_PREFIX = "run:"
"""Prefix of a start's key if it is a run and no preset."""


@dataclass(frozen=True, slots=True)
class Start:
    """What the form starts from: a preset (its name is the key) or a run (`run:ID`)."""

    key: str
    title: str
    config: Config

    @property
    def run_id(self) -> str | None:
        """The run's id, or None for a preset."""
        return self.key.removeprefix(RUN_PREFIX) if self.key.startswith(RUN_PREFIX) else None


async def load_start(client: AsyncClient, key: str) -> Start:
    """Return the preset or run of a key."""
    if key.startswith(RUN_PREFIX):
        run = await client(calls.run(key.removeprefix(RUN_PREFIX)))
        return Start(key, run.name, run.config.model_dump(mode="json"))
    (preset,) = [each for each in await client(calls.presets()) if each.name == key]
    return Start(key, preset.title, preset.config.model_dump(mode="json"))


def diff_settings(config: Config, before: Config) -> Changes:
    """Return the settings in which a config differs from `before`."""
    old, new = flatten_settings(before), flatten_settings(config)
    return {path: (old.get(path), value) for path, value in new.items() if old.get(path) != value}


def format_setting(value: Any) -> str:
    """Return a value as `--set` takes it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value).replace(" ", "")


def parse_grid(text: str | None) -> Grid:
    """Return the grid of a text with one setting on each line. Raises ValueError for any other line."""
    grid: Grid = {}
    for line in filter(None, (each.strip() for each in (text or "").splitlines())):
        path, sign, values = line.partition("=")
        parsed = [_parse_json(value.strip()) for value in values.split(",") if value.strip()]
        if not sign or not path.strip() or not parsed:
            raise ValueError(f"a line must be a setting and its values, such as optimiser.lr=0.05, 0.1; got {line!r}")
        grid[path.strip()] = parsed
    return grid


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def format_command(start: Start, different: Changes, grid: Grid, seeds: int) -> str:
    """Return the command line that launches the same runs."""
    parts = [f"collapse run {start.key if start.run_id is None else 'config.json'}"]
    if start.run_id is None:
        parts += [f"--set {path}={format_setting(to)}" for path, (_, to) in different.items()]
    parts += [f"--grid {path}={','.join(format_setting(value) for value in values)}" for path, values in grid.items()]
    parts += [f"--seeds {seeds}"] if seeds > 1 else []
    return " \\\n  ".join(parts)


# ── summary ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def summary_view(check: wire.ConfigCheck, estimate: wire.LaunchEstimate | None) -> Any:
    """Return the size of a launch, its expected time and memory, and when it starts."""
    if check.errors:
        return [html.P("Fix the highlighted fields", className="error-text")]
    size = "{classes} classes, {train:,} training samples, {steps:,} steps".format(**check.facts)
    lines: list[Any] = [html.P(size)]
    captures, each_bytes = check.facts["kept_captures"], check.facts["kept_bytes_each"]
    if captures:
        total = format_bytes(captures * each_bytes)
        text = f"Features kept: {captures:,} captures of up to {format_bytes(each_bytes)}, {total} in total"
        lines.append(html.P(text, **{"data-part": "kept-features"}))
    return lines if estimate is None else [*lines, *_estimate_view(estimate)]


def _estimate_view(estimate: wire.LaunchEstimate) -> list[Any]:
    runs = format_count(estimate.runs, "run")
    is_queued = estimate.ahead >= estimate.slots
    queue = html.P(["Queue: ", html.B(f"{estimate.ahead:,} ahead")] if is_queued else ["Starts ", html.B("now")])
    if estimate.wall_seconds is None:
        text = "No estimate: no similar run was measured on this machine. Its first epochs show how long it takes."
        return [html.P(html.B(runs)), html.P(text, **{"data-part": "estimate"}), queue]
    duration = html.B(format_duration(max(1, estimate.wall_seconds)))
    lines = [html.P([f"{runs}, about ", duration], **{"data-part": "estimate"})]
    if estimate.memory_bytes:
        lines.append(html.P(["Memory: about ", html.B(format_bytes(estimate.memory_bytes)), " per run"]))
    source = f"Estimated from {format_count(estimate.measured_runs, 'run')} {estimate.alike} on this machine."
    if estimate.unknown:
        source += f" The time of {format_count(estimate.unknown, 'run')} is unknown and not included."
    return [*lines, queue, html.P(source, className="field-help")]


def equivalent_view(start: Start, config: Config, different: Changes, command_line: str) -> Any:
    """Return the launch as a command line and as a config, and the changes from the start."""
    text = json.dumps(config, indent=2)
    href = "data:application/json;charset=utf-8," + quote(text)
    file = html.A("config.json", href=href, download="config.json", className="link")
    parts: list[Any] = [
        html.Div([html.Span("Command line", className="field-title"), _copy_button(ids.FORM_COMMAND)]),
        html.Pre(command_line, className="command", id=ids.FORM_COMMAND),
        html.Details(
            [
                html.Summary("Config (JSON)"),
                html.Div([_copy_button(ids.FORM_FILE), file], className="row"),
                html.Pre(text, className="command file", id=ids.FORM_FILE),
            ]
        ),
    ]
    if different:
        rows = [
            html.P([path, "  ", html.B(f"{format_setting(old)} → {format_setting(new)}")])
            for path, (old, new) in different.items()
        ]
        title = f"Changes from {'the preset' if start.run_id is None else start.title}"
        parts += [html.P(title, className="field-title"), html.Div(rows, className="changes")]
    return parts


def _copy_button(target: str) -> Any:
    return dcc.Clipboard(target_id=target, title="Copy", className="copy")


# ── check and launch ──────────────────────────────────────────────────────────────────────────────────────────────────


class Checked(NamedTuple):
    """The result of checking a form, in the order of its callback's outputs."""

    config: Config
    field_errors: list[str]
    summary: Any
    equivalent: Any
    grid_error: str
    is_invalid: bool
    launch_label: str
    messages: list[Any]


async def check(
    client: AsyncClient, start: Start, config: Config, seeds: Any, grid_text: str | None, paths: Sequence[str]
) -> Checked:
    """Check a config, its grid and seeds; `paths` are the fields that can show an error."""
    result = await client(calls.check(config))
    if result.config is not None:  # with numbers parsed; what own files contain is looked up again at launch
        config = result.config.model_dump(mode="json")
        config["data"] |= {"found": None} if "found" in config["data"] else {}
    errors = {error.path: error.message for error in result.errors}
    seed_count = seeds if isinstance(seeds, int) and seeds > 0 else 1
    grid, grid_error, estimate = await _estimate(client, None if errors else config, grid_text, seed_count)
    different = diff_settings(config, start.config)
    runs = 1 if estimate is None else estimate.runs
    return Checked(
        config=config,
        field_errors=[errors.get(path, "") for path in paths],
        summary=summary_view(result, estimate),
        equivalent=equivalent_view(start, config, different, format_command(start, different, grid, seed_count)),
        grid_error=grid_error,
        is_invalid=bool(errors or grid_error),
        launch_label="Launch" if runs == 1 else f"Launch {format_count(runs, 'run')}",
        messages=[message(text, is_error=True) for path, text in errors.items() if path not in paths],
    )


async def _estimate(
    client: AsyncClient, config: Config | None, grid_text: str | None, seeds: int
) -> tuple[Grid, str, wire.LaunchEstimate | None]:
    """Return the grid, its error, and the estimate of its runs if there is none."""
    try:
        grid = parse_grid(grid_text)
    except ValueError as error:
        return {}, str(error), None
    if config is None:
        return grid, "", None
    try:
        return grid, "", await client(calls.estimate(config, grid=grid, seeds=seeds))
    except ApiError as error:
        return grid, str(error), None


async def launch(
    client: AsyncClient, start: Start, config: Config, name: str | None, seeds: int, grid_text: str | None
) -> tuple[str, str]:
    """Queue the runs; return path and query of the page to go to: the run's, or the list of the sweep's runs."""
    if not config:
        raise ValueError("The settings are still being checked. Launch again in a moment.")
    grid = parse_grid(grid_text)
    if grid or seeds > 1:
        group = f"{name or start.title} {uuid.uuid4().hex[:4]}"
        await client(calls.sweep(config, group, grid=grid, seeds=seeds, name=name))
        return "/runs", f'?q=group:"{group}"'
    if start.run_id is not None:
        overrides = {path: to for path, (_, to) in diff_settings(config, start.config).items() if path != "data.found"}
        return f"/runs/{(await client(calls.clone(start.run_id, overrides, name=name))).id}", ""
    return f"/runs/{(await client(calls.launch(config, name=name))).id}", ""
