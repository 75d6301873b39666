"""`collapse`: the table of commands. Each command imports what it needs when it runs, so that `--help` is quick."""

from __future__ import annotations

import os
import sys

import typer

from backend.cli import figures, gc, runs, serve, system, tokens
from backend.cli.store import app as store_app

app = typer.Typer(
    name="collapse",
    help="A live observatory of neural collapse: train, watch the geometry evolve, export figures.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("serve")(serve.serve)
app.command("run")(runs.run)
app.command("runs")(runs.runs)
for action in runs.CONTROLS:
    app.command(action)(runs.control_command(action))
app.command("export")(figures.export)
app.command("replay")(figures.replay)
app.command("film")(figures.film)
app.command("reproduce")(figures.reproduce)
app.command("open")(figures.open_figure)
app.command("presets")(system.presets)
app.command("archive")(runs.archive)
app.command("import")(runs.import_run)
app.command("gc")(gc.gc)
app.add_typer(tokens.app, name="token")
app.command("doctor")(system.doctor)
app.add_typer(store_app, name="store")


def main() -> None:
    """Run the command; expected errors are printed as one line on standard error, without a traceback."""
    from backend.settings import load_named_plugins
    from backend.store.errors import CollapseError

    try:
        load_named_plugins()
        app()
    except CollapseError as error:
        print(f"collapse: {error}", file=sys.stderr)
        sys.exit(2)
    except ValueError as error:
        if "pydantic" not in type(error).__module__:
            print(f"collapse: {error}", file=sys.stderr)
            sys.exit(2)
        from backend.store.validation import field_errors

        for field in field_errors(error.errors()):  # type: ignore[attr-defined]
            print(f"collapse: {field.path + ': ' if field.path else ''}{field.message}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
