"""`collapse store`: show or change which database a data directory belongs to; each change is confirmed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backend.cli.options import Data, Database, Yes, confirm

NEEDS_YES = "this changes which database the directory uses; give --yes to confirm without a terminal"
app = typer.Typer(no_args_is_help=True, help="The database of a data directory: show, attach, restore from a copy.")


@app.command()
def show(data: Data = None, database_url: Database = None) -> None:
    """Show the store ids of directory and database, and how many runs they have in common; change nothing."""
    from backend.settings import database_url_of, resolve_store
    from backend.store.attach import plan_attach

    data_dir, url = resolve_store(data, database_url)
    plan = plan_attach(data_dir, database_url_of(data_dir, url), look_only=True)
    print(*plan.lines(), sep="\n")
    if plan.is_needed:
        raise typer.Exit(1)


@app.command()
def attach(data: Data = None, database_url: Database = None, yes: Yes = False) -> None:
    """Give a data directory and a database one store id, after a move or if one of them has lost it."""
    from backend.settings import database_url_of, resolve_store
    from backend.store.attach import attach as attach_planned
    from backend.store.attach import plan_attach

    data_dir, url = resolve_store(data, database_url)
    _require_no_server(data_dir)
    plan = plan_attach(data_dir, database_url_of(data_dir, url))
    print(*plan.lines(), sep="\n")
    if not plan.is_needed:
        print("They belong together already.")
        return
    confirm("Attach this database to this directory?", yes, NEEDS_YES)
    print(f"attached: both carry store {attach_planned(plan)}")


@app.command()
def restore(
    copy: Annotated[Path, typer.Argument(help="A copy of the SQLite database, such as collapse-rescued-TIME.db.")],
    data: Data = None,
    database_url: Database = None,
    yes: Yes = False,
) -> None:
    """Replace the SQLite database by a copy; the replaced file is kept."""
    from backend.settings import database_url_of, resolve_store
    from backend.store.attach import plan_restore
    from backend.store.attach import restore as restore_planned

    data_dir, url = resolve_store(data, database_url)
    _require_no_server(data_dir)
    plan = plan_restore(data_dir, database_url_of(data_dir, url), copy)
    print(*plan.lines(), sep="\n")
    confirm("Put the copy in the database's place?", yes, NEEDS_YES)
    kept = restore_planned(plan)
    print(f"restored {plan.target}" + (f"; the database that was there is {kept}" if kept else ""))


def _require_no_server(data_dir: Path) -> None:
    from backend.store import data_directory
    from backend.store.errors import Conflict

    holder = data_directory.read_server_lock(data_dir) if data_dir.is_dir() else None
    if holder:
        server = f"the server at {holder.get('url', '?')} (pid {holder.get('pid', '?')})"
        raise Conflict(f"{server} uses {data_dir}; stop it first")
