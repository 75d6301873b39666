"""Options that several commands share, and decorators that add them to a command's signature."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable
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
    str | None,
    typer.Option(
        "--database-url", envvar="COLLAPSE_DATABASE_URL", help="Database (default: SQLite in the data directory)."
    ),
]
ServerUrl = Annotated[
    str | None,
    typer.Option("--server", envvar="COLLAPSE_SERVER", help="Work through the server at this URL."),
]
Token = Annotated[str | None, typer.Option("--token", envvar="COLLAPSE_TOKEN", help="The server's token.")]
Mirror = Annotated[
    str | None,
    typer.Option("--mirror", envvar="COLLAPSE_MIRROR", help="Download data sets from this address."),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
SWITCHES = {"serif": "--serif/--sans", "legend": "--legend/--no-legend"}


def with_figure_options(command: Callable[..., None], names: Iterable[str] = OPTIONS) -> Callable[..., None]:
    """Add a flag for each figure option; the command gets those that were given as `options`, a dictionary.

    Values are text: `FigureOptions`, which loads with the command, has their types and limits.
    """
    flags = []
    for name in names:
        option = typer.Option(SWITCHES.get(name, f"--{name}"), help=OPTIONS[name])
        flags.append(optional_flag(name, Annotated[(bool if name in SWITCHES else str) | None, option]))
    return with_flags(
        command, "options", flags, lambda values: {name: value for name, value in values.items() if value is not None}
    )


def optional_flag(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def with_flags(
    command: Callable[..., None],
    parameter: str,
    flags: list[inspect.Parameter],
    pack: Callable[[dict[str, Any]], Any],
) -> Callable[..., None]:
    """Replace one parameter of a command by flags, whose values `pack` turns into the parameter's value."""
    hints = get_type_hints(command, include_extras=True)
    own = [
        declared.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, declared in inspect.signature(command).parameters.items()
        if name != parameter
    ]

    def run(**given: Any) -> None:
        values = {flag.name: given.pop(flag.name) for flag in flags}
        command(**{parameter: pack(values)}, **given)

    run.__signature__ = inspect.Signature([*own, *flags])  # type: ignore[attr-defined]
    run.__annotations__ = {declared.name: declared.annotation for declared in [*own, *flags]}
    run.__doc__ = command.__doc__
    return run


def confirm(question: str, yes: bool, otherwise: str) -> None:
    """Ask on a terminal unless `yes`; raises Abort if refused, Invalid(`otherwise`) without a terminal."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Invalid(otherwise)
    typer.confirm(question, abort=True)


def require_free(path: Path, yes: bool) -> None:
    """Ask before overwriting an existing file."""
    if path.exists():
        refusal = f"{path} is there already; say --yes to write over it, or name another file with -o"
        confirm(f"{path} is there already; write over it?", yes, refusal)
