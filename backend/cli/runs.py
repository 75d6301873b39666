"""Commands that start, list, control, export and import runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.options import Mirror, Yes, require_free
from backend.cli.services import ServiceOptions, with_service

if TYPE_CHECKING:
    from backend.api.wire import RunWire
    from backend.store.run_status import RunAction
    from ncengine.config import RunConfig

RunIds = Annotated[list[str], typer.Argument(metavar="RUN...")]
CONTROLS: dict[RunAction, str] = {
    "cancel": "Cancel runs; their measurements so far are kept.",
    "pause": "Pause runs: save a checkpoint and free their device.",
    "resume": "Queue paused runs again; a server starts them.",
    "retry": "Queue failed or cancelled runs again from their newest checkpoint; a server starts them.",
}
"""Commands that apply a bulk action to runs, with their help."""


@with_service
def run(
    what: Annotated[str, typer.Argument(help="A preset's name, or a JSON file with a config.", metavar="PRESET|FILE")],
    service: ServiceOptions,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="Change a setting: optimiser.lr=0.1", metavar="NAME=VALUE")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Number of seeds, run as a group.")] = 1,
    grid: Annotated[
        list[str] | None,
        typer.Option("--grid", help="Several values of a setting: optimiser.lr=0.05,0.1", metavar="NAME=A,B"),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run.")] = None,
    mirror: Mirror = None,
) -> None:
    """Train, with progress in the terminal, and live in the browser if a server uses the same data directory."""
    from backend.cli.console import train
    from backend.jobs import sweep

    config = load_config(what, setting or [])
    values = {
        path: [_parse_value(each) for each in text.split(",")]
        for path, text in (_parse_assignment(assignment, "--grid") for assignment in grid or [])
    }
    configs = sweep.expand_grid(config, values, seeds)
    label = name or (what if not Path(what).is_file() else Path(what).stem)
    with service.open(create=True) as opened:
        has_failed = train(opened, configs, label, label if len(configs) > 1 else None, mirror)
    if has_failed:
        raise typer.Exit(1)


def load_config(what: str, assignments: list[str]) -> RunConfig:
    """Return the config of a preset or a JSON file, with `--set` assignments applied."""
    from backend.store.errors import Invalid, did_you_mean
    from backend.store.validation import override_settings
    from ncengine.config import RunConfig
    from ncengine.preset_configs import PRESETS

    if what in PRESETS:
        config = PRESETS[what]()
    elif Path(what).is_file():
        config = RunConfig.model_validate_json(Path(what).read_text())
    else:
        suggestion = did_you_mean(what, PRESETS)
        raise Invalid(f"{what!r} is neither a preset nor a file{suggestion}; `collapse presets` lists all presets")
    overrides: dict[str, object] = {
        path: _parse_value(text) for path, text in (_parse_assignment(each, "--set") for each in assignments)
    }
    return override_settings(config, overrides) if overrides else config


def _parse_assignment(text: str, option: str) -> tuple[str, str]:
    from backend.store.errors import Invalid

    path, separator, value = text.partition("=")
    if not separator or not path:
        raise Invalid(f"{option} takes NAME=VALUE such as optimiser.lr=0.1, got {text!r}")
    return path, value


def _parse_value(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


@with_service
def runs(
    service: ServiceOptions,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,
    status: Annotated[str | None, typer.Option(help="Only runs with this status.")] = None,
    q: Annotated[str, typer.Option("--filter", "-q", help="Such as 'head:nearest-etf nc1<0.05'.")] = "",
    sort: Annotated[str, typer.Option(help="Field to sort by; a leading - sorts in descending order.")] = "-created",
    limit: Annotated[int, typer.Option(min=1, max=500, help="Maximum number of runs.")] = 100,
) -> None:
    """List runs, newest first."""
    from backend.store.errors import Invalid
    from backend.store.run_status import STATUSES

    if status is not None and status not in STATUSES:
        raise Invalid(f"--status must be one of {', '.join(STATUSES)}, got {status!r}")
    with service.open() as opened:
        items = opened.list_runs(status=status, q=q, sort=sort, limit=limit)
    if as_json:
        print(json.dumps([item.model_dump(mode="json") for item in items], indent=2))
    else:
        _print_table([RUN_COLUMNS, *(_run_cells(item) for item in items)])


RUN_COLUMNS = ["id", "status", "name", "head", "data", "seed", "epoch", "NC1", "NC3", "train", "test", "created"]


def _run_cells(run: RunWire) -> list[str]:
    train, test = run.summary.get("train", {}), run.summary.get("test", {})
    return [
        run.id,
        run.status,
        run.name,
        run.config.head.name,
        run.config.data.name,
        str(run.config.seed),
        f"{run.epoch}/{run.config.epochs}",
        *(f"{float(train[key]):.3g}" if key in train else "" for key in ("nc1", "nc3")),
        *(f"{float(split['top1']):.1%}" if "top1" in split else "" for split in (train, test)),
        run.created_at[:16].replace("T", " "),
    ]


def _print_table(rows: list[list[str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def control_command(action: RunAction) -> Callable[..., None]:
    """Return the command that applies a bulk action to runs named by id."""

    @with_service
    def command(run_ids: RunIds, service: ServiceOptions) -> None:
        with service.open() as opened:
            results = opened.bulk_action(action, run_ids)
        for result in results:
            print(f"{result.id}: {'asked' if result.done else result.detail}")
        sys.stdout.flush()
        if not all(result.done for result in results):
            raise typer.Exit(1)

    command.__doc__ = CONTROLS[action]
    return command


@with_service
def archive(
    run_id: Annotated[str, typer.Argument(metavar="RUN")],
    service: ServiceOptions,
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write, such as run.zip.")],
    yes: Yes = False,
) -> None:
    """Write an ended or paused run as one file for `collapse import`."""
    from backend.cli.console import write_chunks

    require_free(output, yes)
    with service.open() as opened, opened.export_archive(run_id) as chunks:
        write_chunks(output, chunks)


@with_service
def import_run(
    file: Annotated[Path, typer.Argument(help="An archive of `collapse archive` or of a server.", exists=True)],
    service: ServiceOptions,
) -> None:
    """Import an archived run; an invalid archive changes nothing."""
    from backend.cli.console import read_chunks

    with service.open(create=True) as opened:
        run_id, is_new = opened.import_archive(file, read_chunks(file))
    print(f"run {run_id}" + ("" if is_new else " (it was here already)"))
