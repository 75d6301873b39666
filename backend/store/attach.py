"""Give a data directory and a database the same store id, or put a copy of the database in its place.

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
    make_store_id,
    read_marker,
    write_marker,
)
from backend.store.database import make_engine
from backend.store.database_file import copy_sqlite, unused_path
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
from backend.store.migrate import migrate, read_revision
from backend.store.models import HEAD_REVISION, directory, run, store
from ncengine.files import atomic_write


@dataclass(frozen=True, slots=True)
class AttachPlan:
    """A directory and a database that can be given one store id."""

    data_dir: Path
    url: str
    database: str
    marker: StoreMarker | None
    store_id: str | None
    """The store id in the database, if it has one."""
    inventory: RunInventory

    @property
    def is_needed(self) -> bool:
        """Whether directory and database do not have the same id yet."""
        return self.marker is None or self.store_id is None or self.marker.store != self.store_id

    def lines(self) -> list[str]:
        """Describe what directory and database have."""
        return [
            f"directory  {self.data_dir}: store {self.marker.store if self.marker else 'none'}, "
            f"{len(self.inventory.folders)} folders of runs",
            f"database   {self.database}: store {self.store_id or 'none'}, {len(self.inventory.runs)} runs",
            f"together   {describe_difference(self.inventory)}",
        ]


def plan_attach(data_dir: Path, url: str, *, look_only: bool = False) -> AttachPlan:
    """Return what attaching the database at `url` to a directory would do.

    An older database is migrated to this version's schema, after a copy. Raises Unusable where one of them does not
    exist, and, with `look_only`, where the database is older.
    """
    data_dir = data_dir.expanduser().absolute()
    if not data_dir.is_dir():
        raise Unusable(f"there is no data directory {data_dir}; name the one that holds the runs with --data")
    with _opened(url) as engine:
        revision = read_revision(engine, data_dir)
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
            inventory = take_inventory(connection, data_dir, marker.directory if marker else None)
            store_id = connection.execute(sa.select(store.c.id)).scalar_one_or_none()
        return AttachPlan(data_dir, url, database_name(engine.url), marker, store_id, inventory)


def attach(plan: AttachPlan) -> str:
    """Store one id in both, the database's if it has one; register the run folders that both have; return the id.

    No file of a run is changed, and clean-up never considers runs that only one of the two has.
    """
    with _opened(plan.url) as engine, hold_migration_lock(plan.data_dir):
        marker = _attach(engine, plan)
        write_marker(plan.data_dir, marker)
    return marker.store


def _attach(engine: Engine, plan: AttachPlan) -> StoreMarker:
    with engine.connect().execution_options(collapse_write=True) as connection, connection.begin():
        lock_store(connection)
        existing = connection.execute(sa.select(store.c.id)).scalar_one_or_none()
        store_id = existing or (plan.marker.store if plan.marker else make_store_id())
        own_id = plan.marker.directory if plan.marker else None
        same_place = sa.select(directory.c.id).where(directory.c.path == str(plan.data_dir))
        directory_id = own_id or connection.execute(same_place).scalars().first() or make_store_id()
        marker = StoreMarker(store=store_id, directory=directory_id, database=plan.database)
        record_identity(connection, marker, plan.data_dir, engine.url)
        register_folders(connection, directory_id, take_inventory(connection, plan.data_dir, directory_id))
        # Before the commit, as in `identify`: after a crash in between, the next start completes the directory.
        write_marker(plan.data_dir, marker.model_copy(update={"pending": existing is None}))
    return marker


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """A copy of a store's SQLite database that can replace the database."""

    data_dir: Path
    copy: Path
    target: Path
    copy_runs: frozenset[str]
    current_runs: frozenset[str] | None
    """Ids of the runs in the current database; None where there is none, or it cannot be read."""
    folders: frozenset[str]

    def lines(self) -> list[str]:
        """Describe what would change."""
        lines = [f"copy       {self.copy}: {len(self.copy_runs)} runs"]
        if not self.target.exists():
            lines.append(f"database   {self.target}: is not there")
        elif self.current_runs is None:
            lines.append(f"database   {self.target}: cannot be read; it is kept beside")
        else:
            lost = len(self.current_runs - self.copy_runs)
            lines.append(
                f"database   {self.target}: {len(self.current_runs)} runs, {lost} of them not in the copy; it is kept "
                "beside"
            )
        missing = len(self.copy_runs - self.folders)
        lines.append(f"directory  {self.data_dir}: {len(self.folders)} folders of runs; {missing} runs have none there")
        return lines


def plan_restore(data_dir: Path, url: str, copy: Path) -> RestorePlan:
    """Return what replacing the SQLite database by a copy would do.

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
            revision = read_revision(engine, data_dir)
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
    with contextlib.suppress(sa.exc.DatabaseError), opened as engine, engine.connect() as connection:
        return frozenset(connection.execute(sa.select(run.c.id)).scalars())
    return None


def restore(plan: RestorePlan) -> Path | None:
    """Replace the database by the copy; return where the previous database is kept, None where there was none.

    No server may use the directory meanwhile. A copy from a version without store ids gets the directory's id.
    """
    with hold_migration_lock(plan.data_dir):
        aside = plan.target.with_name(f".{plan.target.name}.restored")
        opened = _opened(sqlite_url(plan.copy), read_only=True)
        with opened as engine, contextlib.closing(engine.raw_connection()) as raw:
            copy_sqlite(raw, aside)
        kept = unused_path(plan.target.with_stem(f"{plan.target.stem}-replaced"))
        existed = plan.target.exists()
        # The old write-ahead log is moved with its database: SQLite would apply it to the new one.
        for suffix in ("", "-wal", "-shm"):
            old = plan.target.with_name(plan.target.name + suffix)
            if old.exists():
                old.rename(kept.with_name(kept.name + suffix))
        aside.rename(plan.target)
        atomic_write.sync_directory(plan.target.parent)
    attached = plan_attach(plan.data_dir, sqlite_url(plan.target))
    if attached.is_needed:
        attach(attached)
    return kept if existed else None


@contextlib.contextmanager
def _opened(url: str, *, read_only: bool = False) -> Iterator[Engine]:
    """Give an engine of an existing database; raises Unusable where it does not exist."""
    engine = make_engine(url, read_only=read_only)
    try:
        file = sqlite_file(engine.url)
        if file is not None and not file.exists():
            raise Unusable(f"there is no database file {file}; name the one that holds the runs")
        yield engine
    finally:
        engine.dispose()
