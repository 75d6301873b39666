"""Commands that export a run as an archive and import one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backend.cli.options import Yes, require_free
from backend.cli.services import ServiceOptions, with_service


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
