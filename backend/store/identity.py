"""Store ids: a database and its data directories share one; a pair that does not match is not opened.

The database has the id in its table `store`; a data directory has it in `store.json`, with an id of its own, since
several directories may belong to one store (two servers on one PostgreSQL). `require_may_create` is called before
anything is created, `identify` when the schema is this version's.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine

from backend.store.clock import now
from backend.store.data_directory import (
    MARKER,
    StoreMarker,
    hold_migration_lock,
    list_run_folders,
    make_store_id,
    read_marker,
    write_marker,
)
from backend.store.errors import Unusable
from backend.store.models import artifact, directory, run, run_folder, store


class StoreIdentity(NamedTuple):
    """The id of a store, and of the data directory through which it is open."""

    store_id: str
    directory_id: str


@dataclass(frozen=True, slots=True)
class RunInventory:
    """The runs that a directory and a database have."""

    folders: frozenset[str]
    """Names of the folders below `runs/` in the directory."""
    runs: frozenset[str]
    """Ids of the runs in the database."""
    with_files: frozenset[str]
    """Ids of the runs of which the database has files in this directory, or in an unknown one."""

    @property
    def agree(self) -> bool:
        """Whether both have the same runs: each folder has its run in the database, each run with files its folder."""
        return self.folders <= self.runs and self.with_files <= self.folders


def sqlite_file(url: URL) -> Path | None:
    """Return the file of an SQLite database, or None for another kind of database."""
    if not url.drivername.startswith("sqlite"):
        return None
    if not url.database or url.database == ":memory:":
        raise Unusable("an SQLite database needs a file: sqlite:////absolute/path/collapse.db")
    return Path(url.database)


def database_name(url: URL) -> str:
    """Return the address of a database for messages: the path of a file, or a URL without its password."""
    file = sqlite_file(url)
    return str(file.absolute()) if file else url.render_as_string(hide_password=True)


def require_may_create(data_dir: Path, url: URL, *, create: bool) -> None:
    """Raise Unusable where a new database must not be created for a data directory.

    That is where the directory belongs to a store, where it has runs that no database names, or where there is no store
    and `create` is false.
    """
    marker, folders = read_marker(data_dir), list_run_folders(data_dir)
    name = database_name(url)
    if marker is not None and not marker.pending:
        other = f"; it was last opened with {marker.database}" if marker.database != name else ""
        raise Unusable(
            f"the data directory {data_dir} belongs to store {marker.store}, and its database is not at {name}{other}. "
            "Put the database back, or name the right one with --database-url or COLLAPSE_DATABASE_URL; "
            "`collapse store restore FILE` puts a copy of the database in its place"
        )
    if folders:
        raise Unusable(
            f"the data directory {data_dir} holds the files of {len(folders)} runs ({_some(folders)}), and there is no "
            f"database at {name} that names them; name theirs with --database-url or COLLAPSE_DATABASE_URL, or choose "
            "an empty directory with --data"
        )
    if not create:
        raise Unusable(
            f"there is no store in {data_dir}; choose another directory with --data or COLLAPSE_DATA (`collapse serve` "
            "and `collapse run` make a store)"
        )


def identify(engine: Engine, data_dir: Path, *, join: bool = False) -> StoreIdentity:
    """Return the ids of store and directory; assign ids where both are new, or have none and name the same runs.

    With `join`, an empty directory without an id becomes an additional directory of the database's store. Raises
    Unusable, and changes nothing, where they do not belong together; the message names both ids and the remedy.
    """
    marker = read_marker(data_dir)
    if marker is not None and not marker.pending:
        with engine.connect() as connection:
            identity = _known_identity(connection, marker, data_dir)
        if identity is not None:
            return identity
    with hold_migration_lock(data_dir):
        return _identify(engine, data_dir, join=join)


def _known_identity(connection: Connection, marker: StoreMarker, data_dir: Path) -> StoreIdentity | None:
    """Return the ids where the database has a row of this directory: the usual case, which needs no lock."""
    store_id = connection.execute(sa.select(store.c.id)).scalar_one_or_none()
    row = connection.execute(sa.select(directory).where(directory.c.id == marker.directory)).one_or_none()
    known = row is not None and (row.path, row.host) == (str(data_dir), read_machine_id())
    return StoreIdentity(marker.store, marker.directory) if known and store_id == marker.store else None


def _identify(engine: Engine, data_dir: Path, *, join: bool) -> StoreIdentity:
    marker = read_marker(data_dir)
    with engine.connect().execution_options(collapse_write=True) as connection, connection.begin():
        lock_store(connection)
        store_id = connection.execute(sa.select(store.c.id)).scalar_one_or_none()
        if store_id is None:
            marker = _first_marker(connection, marker, data_dir, engine.url)
        elif marker is None:
            marker = _joined_marker(connection, store_id, data_dir, engine.url, join=join)
        elif marker.store != store_id:
            raise _mismatch(marker, store_id, data_dir, engine.url)
        record_identity(connection, marker, data_dir, engine.url)
        # Before the commit: after a crash in between, the next start completes a directory whose marker is `pending`.
        write_marker(data_dir, marker.model_copy(update={"pending": store_id is None}))
    if store_id is None:
        write_marker(data_dir, marker.model_copy(update={"pending": False}))
    return StoreIdentity(marker.store, marker.directory)


def read_machine_id() -> str:
    """Return an id of this machine that survives restarts, to distinguish machines that share a database."""
    path = Path("/etc/machine-id")
    return (path.read_text().strip() if path.exists() else "") or socket.gethostname()


def lock_store(connection: Connection) -> None:
    """Lock the assignment of ids for one program at a time, also between machines that share a PostgreSQL database."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(4011249)")


def require_same_store(engine: Engine, data_dir: Path) -> None:
    """Raise Unusable, naming both ids, where the database is another store's; called before its schema is changed."""
    marker = read_marker(data_dir)
    if marker is None or marker.pending:
        return
    with engine.connect() as connection:
        known = sa.inspect(connection).has_table(store.name)
        store_id = connection.execute(sa.select(store.c.id)).scalar_one_or_none() if known else None
    if store_id is None:
        raise _without_id(marker, data_dir, engine.url)
    if store_id != marker.store:
        raise _mismatch(marker, store_id, data_dir, engine.url)


def _without_id(marker: StoreMarker, data_dir: Path, url: URL) -> Unusable:
    return Unusable(
        f"the data directory {data_dir} belongs to store {marker.store}, and the database {database_name(url)} has no "
        "store id: it is another one, or was restored from a copy made before stores had ids. Name the directory's own "
        "database with --database-url or COLLAPSE_DATABASE_URL, or run `collapse store attach`, which shows what both "
        "hold and asks"
    )


def _mismatch(marker: StoreMarker, store_id: str, data_dir: Path, url: URL) -> Unusable:
    return Unusable(
        f"the data directory {data_dir} belongs to store {marker.store}, and the database {database_name(url)} to "
        f"store {store_id}. Name the database of the directory ({marker.database}) with --database-url or "
        "COLLAPSE_DATABASE_URL, or the directory of the database with --data; if they are meant to belong together, "
        "`collapse store attach` shows what both hold and asks"
    )


def _first_marker(connection: Connection, marker: StoreMarker | None, data_dir: Path, url: URL) -> StoreMarker:
    """Return the ids of a database that has none yet: it is new, or was made before stores had ids."""
    if marker is not None and not marker.pending:
        raise _without_id(marker, data_dir, url)
    inventory = take_inventory(connection, data_dir, None)
    if not inventory.agree:
        raise Unusable(
            f"the data directory {data_dir} and the database {database_name(url)} have no store id yet and do not name "
            f"the same runs: {describe_difference(inventory)}. Name the right pair with --data and --database-url; if "
            "this is the pair, `collapse store attach` shows what both hold and asks"
        )
    return marker or StoreMarker(
        store=make_store_id(), directory=make_store_id(), database=database_name(url), pending=True
    )


def _joined_marker(connection: Connection, store_id: str, data_dir: Path, url: URL, *, join: bool) -> StoreMarker:
    """Return the ids of a directory that has none, beside a database that has one."""
    folders = list_run_folders(data_dir)
    if folders:
        inventory = take_inventory(connection, data_dir, None)
        raise Unusable(
            f"the database {database_name(url)} belongs to store {store_id}, and the data directory {data_dir} holds "
            f"runs but no {MARKER} that names a store: {describe_difference(inventory)}. Choose the right "
            f"directory with --data, copy {MARKER} along with it, or run `collapse store attach`, which shows what "
            "both hold and asks"
        )
    if not join:
        raise Unusable(
            f"the database {database_name(url)} belongs to store {store_id}, and the data directory {data_dir} does "
            "not: it is empty. Choose the store's directory with --data; `collapse serve --join` makes this one a "
            "further directory of the store, for a second server on one database"
        )
    return StoreMarker(store=store_id, directory=make_store_id(), database=database_name(url))


def record_identity(connection: Connection, marker: StoreMarker, data_dir: Path, url: URL) -> None:
    """Store the ids in the database where it lacks them, and register the folders of runs that exist already.

    Raises Unusable where the directory is a copy of one that still belongs to this database.
    """
    if connection.execute(sa.select(store.c.id)).scalar_one_or_none() is None:
        values = {"id": marker.store, "created_at": now(), "signing_key": secrets.token_hex(32)}
        connection.execute(store.insert().values(**values))
    location = {"path": str(data_dir), "host": read_machine_id()}
    known = connection.execute(sa.select(directory).where(directory.c.id == marker.directory)).one_or_none()
    if known is None:
        connection.execute(directory.insert().values(id=marker.directory, joined_at=now(), **location))
        register_folders(connection, marker.directory, take_inventory(connection, data_dir, None))
        return
    moved = (known.path, known.host) != (location["path"], location["host"])
    if moved and known.host == location["host"] and not _is_inside(data_dir, url):
        original = Path(known.path)
        if _has_marker_of(original, marker) and not original.samefile(data_dir):
            raise Unusable(
                f"the data directory {data_dir} is a copy of {original}, which belongs to the same database "
                f"{database_name(url)}: files that one of them removes would be missing in the other. Use {original}; "
                f"or, for a further directory, an empty one with `collapse serve --join`"
            )
    if moved:
        connection.execute(sa.update(directory).where(directory.c.id == marker.directory).values(**location))


def _is_inside(data_dir: Path, url: URL) -> bool:
    """Return whether the database is a file in the data directory; a copy of the directory is a separate store then."""
    file = sqlite_file(url)
    return file is not None and file.absolute().is_relative_to(data_dir)


def _has_marker_of(other: Path, marker: StoreMarker) -> bool:
    with contextlib.suppress(Unusable):
        existing = read_marker(other)
        return existing is not None and existing.directory == marker.directory
    return False


def register_folders(connection: Connection, directory_id: str, inventory: RunInventory) -> None:
    """Register the folders of runs that both directory and database have, and record the directory of their files."""
    common = sorted(inventory.folders & inventory.runs)
    known = sa.select(run_folder.c.run_id).where(run_folder.c.directory_id == directory_id)
    registered = set(connection.execute(known).scalars())
    rows = [{"run_id": each, "directory_id": directory_id, "registered_at": now()} for each in common]
    missing = [row for row in rows if row["run_id"] not in registered]
    if missing:
        connection.execute(run_folder.insert(), missing)
    for start in range(0, len(common), 500):
        some = artifact.c.run_id.in_(common[start : start + 500])
        connection.execute(sa.update(artifact).where(some).values(directory_id=directory_id))


def take_inventory(connection: Connection, data_dir: Path, directory_id: str | None) -> RunInventory:
    """List the runs that a directory and a database have; `directory_id` selects the files of this directory."""
    runs_with_files = sa.select(artifact.c.run_id).distinct()
    in_directory = sa.or_(artifact.c.directory_id.is_(None), artifact.c.directory_id == directory_id)
    return RunInventory(
        list_run_folders(data_dir),
        frozenset(connection.execute(sa.select(run.c.id)).scalars()),
        frozenset(connection.execute(runs_with_files.where(in_directory)).scalars()),
    )


def describe_difference(inventory: RunInventory) -> str:
    """Describe which runs a directory and a database have in common, and which only one of them has."""
    parts = [f"{len(inventory.folders & inventory.runs)} runs are in both"]
    for ids, where in (
        (inventory.folders - inventory.runs, "only in the directory"),
        (inventory.with_files - inventory.folders, "only in the database, with files"),
    ):
        if ids:
            parts.append(f"{len(ids)} {where} ({_some(ids)})")
    return ", ".join(parts)


def _some(ids: frozenset[str]) -> str:
    return ", ".join(sorted(ids)[:3]) + (", …" if len(ids) > 3 else "")
