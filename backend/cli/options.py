"""Options that several commands have; and a figure's options as flags, from one description with API and dialog."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from backend.store.errors import Invalid
from ncfigures.catalogue import OPTIONS

Data = Annotated[
    Path | None,
    typer.Option(
        "--data", envvar="COLLAPSE_DATA", help="Data directory (default: the platform's user data directory)."
    ),
]
Database = Annotated[
    str | None, typer.Option("--database-url", envvar="COLLAPSE_DATABASE_URL", help="Database (default: SQLite there).")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]
SWITCHES = {"serif": "--serif/--sans", "legend": "--legend/--no-legend"}


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with a flag for each of a figure's options; it gets those that were given, as `options`."""
    hints = get_type_hints(command, include_extras=True)
    own = [
        parameter.replace(annotation=hints[name])
        for name, parameter in inspect.signature(command).parameters.items()
        if name != "options"
    ]
    flags = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[kind | None, typer.Option(SWITCHES.get(name, f"--{name}"), help=help_)],
        )
        for name, (kind, help_) in OPTIONS.items()
    ]

    def run(**given: Any) -> None:
        options = {flag.name: given.pop(flag.name) for flag in flags}
        command({name: value for name, value in options.items() if value is not None}, **given)

    keyword = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    run.__signature__ = inspect.Signature([*keyword, *flags])  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in [*keyword, *flags]}
    run.__doc__ = command.__doc__
    return run


def confirm(question: str, yes: bool, otherwise: str) -> None:
    """Ask, unless `--yes` was given; raises Abort where the answer is no, Invalid(`otherwise`) where nobody can answer.

    Nobody can where the standard input is no terminal, as in a script.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise Invalid(otherwise)
    typer.confirm(question, abort=True)


def require_free(path: Path, yes: bool) -> None:
    """Ask before a command writes over a file that is there already."""
    if path.exists():
        refusal = f"{path} is there already; say --yes to write over it, or name another file with -o"
        confirm(f"{path} is there already; write over it?", yes, refusal)
