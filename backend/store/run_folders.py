"""Registry of the folders `runs/ID` by data directory: where the files of a run are, and what clean-up may touch.

A folder is registered before anything is written into it. Files without a row in a registered folder were written by
this store; files in other folders may not have been.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from backend.store.clock import now
from backend.store.database import Store
from backend.store.models import run_folder


def register(store: Store, run_id: str) -> None:
    """Register the folder of a run in this data directory, unless it is registered."""
    if is_registered(store, run_id):
        return
    try:
        with store.writing() as connection:
            row = {"run_id": run_id, "directory_id": store.directory_id, "registered_at": now()}
            connection.execute(run_folder.insert().values(**row))
    except sa.exc.IntegrityError:
        # Two attempts or programs registered it at the same moment, and the other one was first.
        if not is_registered(store, run_id):
            raise


def is_registered(store: Store, run_id: str) -> bool:
    """Return whether this data directory has the run's folder."""
    with store.reading() as connection:
        return is_registered_in(connection, store, run_id)


def is_registered_in(connection: Connection, store: Store, run_id: str) -> bool:
    """Return whether this data directory has the run's folder, as the caller's transaction sees it."""
    return connection.execute(_own(store).where(run_folder.c.run_id == run_id)).first() is not None


def is_elsewhere(store: Store, run_id: str) -> bool:
    """Return whether the run's folder is registered only for other data directories."""
    query = sa.select(run_folder.c.directory_id).where(run_folder.c.run_id == run_id)
    with store.reading() as connection:
        ids = set(connection.execute(query).scalars())
    return bool(ids) and store.directory_id not in ids


def list_ids(store: Store, *, before: str | None = None) -> frozenset[str]:
    """Return the ids of the runs whose folders this data directory has; with `before`, registered earlier than that."""
    query = _own(store) if before is None else _own(store).where(run_folder.c.registered_at < before)
    with store.reading() as connection:
        return frozenset(row.run_id for row in connection.execute(query))


def unregister(store: Store, run_id: str) -> None:
    """Remove the registration of a folder that was removed from this data directory."""
    with store.writing() as connection:
        local = (run_folder.c.run_id == run_id, run_folder.c.directory_id == store.directory_id)
        connection.execute(run_folder.delete().where(*local))


def _own(store: Store) -> sa.Select[tuple[str]]:
    return sa.select(run_folder.c.run_id).where(run_folder.c.directory_id == store.directory_id)
