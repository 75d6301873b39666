"""Giving a data directory and a database the same store id, or a copy of the database its place: both show first.

`plan_attach` and `plan_restore` change nothing and return what would be done; `attach` and `restore` do it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from backend.settings import sqlite_url
from backend.store.data_directory import (
    StoreMarker,
    hold_migration_lock,
    list_run_folders,
    new_id,
    read_marker,
    write_marker,
)
from backend.store.database import make_engine
from backend.store.errors import Unusable
from backend.store.identity import (
    RunInventory,
    database_name,
    describe_difference,
    lock_store,
    record_identity,
    register_folders,
    sqlite_file,
    take_inventory,
)
from backend.store.migrate import HEAD_REVISION, migrate, revision_of
from backend.store.models import directory, run, store
from backend.store.sqlite_copy import copy_sqlite, unused_path
from ncengine import durable


@dataclass(frozen=True, slots=True)
class AttachPlan:
    """A directory and a database that may get one store id."""

    data_dir: Path
    url: str
    database: str
    marker: StoreMarker | None
    store_id: str | None
    """The id that the database has."""
    held: RunInventory

    @property
    def is_needed(self) -> bool:
        """Whether the two do not carry the same id yet."""
        return self.marker is None or self.store_id is None or self.marker.store != self.store_id

    def lines(self) -> list[str]:
        """Return what both hold, for people."""
        return [
            f"directory  {self.data_dir}: store {self.marker.store if self.marker else 'none'}, "
            f"{len(self.held.folders)} folders of runs",
            f"database   {self.database}: store {self.store_id or 'none'}, {len(self.held.runs)} runs",
            f"together   {describe_difference(self.held)}",
        ]


def plan_attach(data_dir: Path, url: str, *, look_only: bool = False) -> AttachPlan:
    """Return what attaching the database at `url` to a directory means.

    An older database is brought to this version's schema, after a copy. Raises Unusable where one of them is not there,
    and, with `look_only`, where the database is older.
    """
    data_dir = data_dir.expanduser().absolute()
    if not data_dir.is_dir():
        raise Unusable(f"there is no data directory {data_dir}; name the one that holds the runs with --data")
    with _opened(url) as engine:
        revision = revision_of(engine, data_dir)
        if revision is None:
            raise Unusable(f"the database {database_name(engine.url)} is empty; name the one that holds the runs")
        if look_only and revision != HEAD_REVISION:
            raise Unusable(
                f"the database {database_name(engine.url)} has the older schema {revision}; opening it with this "
                f"version brings it to {HEAD_REVISION}, after a copy"
            )
        migrate(engine, data_dir)
        marker = read_marker(data_dir)
        with engine.connect() as connection:
            held = take_inventory(connection, data_dir, marker.directory if marker else None)
            store_id = connection.execute(sa.select(store.c.id)).scalar_one_or_none()
        return AttachPlan(data_dir, url, database_name(engine.url), marker, store_id, held)


def attach(plan: AttachPlan) -> str:
    """Write one store id into both, the database's where it has one; register the folders that both name; return it.

    No file of a run is touched, and runs that only one of them names are never considered by clean-up.
    """
    with _opened(plan.url) as engine, hold_migration_lock(plan.data_dir):
        marker = _attach(engine, plan)
        write_marker(plan.data_dir, marker)
    return marker.store


def _attach(engine: Engine, plan: AttachPlan) -> StoreMarker:
    with engine.connect().execution_options(collapse_write=True) as connection, connection.begin():
        lock_store(connection)
        held = connection.execute(sa.select(store.c.id)).scalar_one_or_none()
        store_id = held or (plan.marker.store if plan.marker else new_id())
        kept = plan.marker.directory if plan.marker else None
        same_place = sa.select(directory.c.id).where(directory.c.path == str(plan.data_dir))
        directory_id = kept or connection.execute(same_place).scalars().first() or new_id()
        marker = StoreMarker(store=store_id, directory=directory_id, database=plan.database)
        record_identity(connection, marker, plan.data_dir, engine.url)
        register_folders(connection, directory_id, take_inventory(connection, plan.data_dir, directory_id))
        # Before the commit, as in `identify`: what a crash in between leaves is completed by the next opening.
        write_marker(plan.data_dir, marker.model_copy(update={"pending": held is None}))
    return marker


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """A copy of a store's SQLite database that may take the database's place."""

    data_dir: Path
    copy: Path
    target: Path
    copy_runs: frozenset[str]
    current_runs: frozenset[str] | None
    """The runs of the database that is there now; None where none is, or it cannot be read."""
    folders: frozenset[str]

    def lines(self) -> list[str]:
        """Return what would change, for people."""
        found = [f"copy       {self.copy}: {len(self.copy_runs)} runs"]
        if not self.target.exists():
            found.append(f"database   {self.target}: is not there")
        elif self.current_runs is None:
            found.append(f"database   {self.target}: cannot be read; it is kept beside")
        else:
            lost = len(self.current_runs - self.copy_runs)
            found.append(
                f"database   {self.target}: {len(self.current_runs)} runs, {lost} of them not in the copy; it is kept "
                "beside"
            )
        missing = len(self.copy_runs - self.folders)
        found.append(f"directory  {self.data_dir}: {len(self.folders)} folders of runs; {missing} runs have none there")
        return found


def plan_restore(data_dir: Path, url: str, copy: Path) -> RestorePlan:
    """Return what putting a copy in the SQLite database's place means.

    Raises Unusable where the copy is damaged, is of a newer version, or belongs to another store than the directory.
    """
    data_dir, copy = data_dir.expanduser().absolute(), copy.expanduser().absolute()
    target = sqlite_file(sa.make_url(url))
    if target is None:
        raise Unusable("`collapse store restore` is for SQLite; restore a PostgreSQL database with pg_restore")
    if not copy.is_file():
        raise Unusable(f"there is no file {copy}; name a copy of the database, such as collapse-*.db")
    if target.exists() and copy.samefile(target):
        raise Unusable(f"{copy} is the database itself; name a copy of it")
    marker = read_marker(data_dir)
    with _opened(sqlite_url(copy), read_only=True) as engine:
        try:
            revision = revision_of(engine, data_dir)
        except Unusable as error:
            raise Unusable(f"the copy {copy} cannot be used; name another one ({error})") from error
        if revision is None:
            raise Unusable(f"{copy} is not a database of Collapse Lab; name a copy that it made, such as collapse-*.db")
        with engine.connect() as connection:
            state = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar()
            if state != "ok":
                raise Unusable(f"the copy {copy} is damaged ({state}); name another one")
            known = sa.inspect(connection).has_table("store")
            store_id = connection.execute(sa.select(store.c.id)).scalar_one_or_none() if known else None
            copy_runs = frozenset(connection.execute(sa.select(run.c.id)).scalars())
    if marker is not None and store_id is not None and store_id != marker.store:
        raise Unusable(
            f"the copy {copy} belongs to store {store_id}, and the data directory {data_dir} to store {marker.store}; "
            "name a copy of the directory's own database, or the copy's directory with --data"
        )
    return RestorePlan(data_dir, copy, target, copy_runs, _runs_of(target), list_run_folders(data_dir))


def _runs_of(file: Path) -> frozenset[str] | None:
    if not (file.exists() and file.stat().st_size):
        return None
    opened = _opened(sqlite_url(file), read_only=True)
    with contextlib.suppress(sa.exc.DatabaseError), opened as engine, engine.connect() as there:
        return frozenset(there.execute(sa.select(run.c.id)).scalars())
    return None


def restore(plan: RestorePlan) -> Path | None:
    """Put the copy in the database's place; return where the database that was there is kept, None where none was.

    No server may use the directory meanwhile. A copy that was made before stores had ids gets the directory's.
    """
    with hold_migration_lock(plan.data_dir):
        aside = plan.target.with_name(f".{plan.target.name}.restored")
        opened = _opened(sqlite_url(plan.copy), read_only=True)
        with opened as engine, contextlib.closing(engine.raw_connection()) as raw:
            copy_sqlite(raw, aside)
        kept = unused_path(plan.target.with_stem(f"{plan.target.stem}-replaced"))
        was_there = plan.target.exists()
        # The old write-ahead log goes with its database: beside another one it would be played into it.
        for suffix in ("", "-wal", "-shm"):
            old = plan.target.with_name(plan.target.name + suffix)
            if old.exists():
                old.rename(kept.with_name(kept.name + suffix))
        aside.rename(plan.target)
        durable.sync_folder(plan.target.parent)
    attached = plan_attach(plan.data_dir, sqlite_url(plan.target))
    if attached.is_needed:
        attach(attached)
    return kept if was_there else None


@contextlib.contextmanager
def _opened(url: str, *, read_only: bool = False) -> Iterator[Engine]:
    """Give an engine of a database that is there already; raises Unusable where it is not."""
    engine = make_engine(url, read_only=read_only)
    try:
        file = sqlite_file(engine.url)
        if file is not None and not file.exists():
            raise Unusable(f"there is no database file {file}; name the one that holds the runs")
        yield engine
    finally:
        engine.dispose()
