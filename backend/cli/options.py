"""Options that several commands share, and decorators that add them to a command's signature."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from backend.store.errors import Invalid
from ncfigures.catalogue import OPTIONS

if TYPE_CHECKING:
    from backend.client.service import Service
    from backend.client.store_service import StoreService

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


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """Which server or data directory a command works on."""

    data: Path | None
    database_url: str | None
    server: str | None
    token: str | None

    def open(self, *, create: bool = False) -> AbstractContextManager[Service]:
        """Return the service of the server or of the data directory; `create` makes a new store if there is none."""
        from backend.client.service import open_service

        return open_service(
            server=self.server,
            token=self.token,
            data=self.data,
            database_url=self.database_url,
            create=create,
            verify=os.environ.get("COLLAPSE_CERTIFICATE") or True,
            on_wait=lambda wait: print(wait, file=sys.stderr),
        )


def open_store_service(data: Path | None, database_url: str | None, *, create: bool = False) -> StoreService:
    """Return the service of a data directory, for commands that need its store."""
    from backend.client.store_service import StoreService
    from backend.settings import resolve_store

    return StoreService(*resolve_store(data, database_url), create=create)


def with_service(command: Callable[..., None]) -> Callable[..., None]:
    """Add --data, --database-url, --server and --token; the command gets them as `service: ServiceOptions`."""
    annotations = {"data": Data, "database_url": Database, "server": ServerUrl, "token": Token}
    flags = [_flag(name, annotation) for name, annotation in annotations.items()]
    return _with_flags(command, "service", flags, lambda values: ServiceOptions(**values))


def with_figure_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add a flag for each figure option; the command gets those that were given as `options`, a dictionary."""
    flags = [
        _flag(name, Annotated[kind | None, typer.Option(SWITCHES.get(name, f"--{name}"), help=help_)])
        for name, (kind, help_) in OPTIONS.items()
    ]
    return _with_flags(
        command, "options", flags, lambda values: {name: value for name, value in values.items() if value is not None}
    )


def _flag(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _with_flags(
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
