"""Commands about the installation: presets and diagnostics."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from backend.cli.services import ServiceOptions, open_store_service, with_service


@with_service
def presets(
    service: ServiceOptions,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of a config.")] = False,
) -> None:
    """List presets."""
    with service.open() as opened:
        if schema:
            print(json.dumps(opened.config_schema(), indent=2))
            return
        group = None
        for preset in opened.list_presets():
            if preset.group != group:
                group = preset.group
                print(f"{group}:")
            print(f"  {preset.name:40} {preset.description}")


@with_service
def doctor(
    service: ServiceOptions,
    check: Annotated[
        bool, typer.Option("--check", help="Check every run, event and file of the data directory.")
    ] = False,
) -> None:
    """Check what works on this machine and how to fix the rest; with --check, whether the store is intact."""
    if check:
        _check_store(service)
        return
    with service.open() as opened:
        results = opened.run_checks()
    for result in results:
        mark = "ok" if result.ok else "TO DO" if result.required else "—"
        print(f"{mark:5}  {result.what}: {result.found}")
        if result.remedy:
            print(f"       {result.remedy}")
    if not all(result.ok for result in results if result.required):
        raise typer.Exit(1)


def _check_store(service: ServiceOptions) -> None:
    from backend.cli.console import check_store
    from backend.store.errors import Invalid

    if service.server:
        raise Invalid("--check reads the files of a data directory; run it on the server's machine, without --server")
    with open_store_service(service.data, service.database_url) as opened:
        is_intact = check_store(opened.store)
    if not is_intact:
        raise typer.Exit(1)
