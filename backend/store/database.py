"""Open a store: the data directory, the database in it or elsewhere, migrations and version checks.

SQLite runs in WAL mode with synchronous NORMAL, foreign keys on, and `BEGIN IMMEDIATE` for writers: with the driver's
deferred transactions two writers can both read before either writes, and one of the updates is lost or fails.
PostgreSQL runs at its default isolation level, read committed: every transition of a run is one conditional UPDATE,
which waits for the row's lock and then evaluates its condition again.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from backend.settings import database_url_of
from backend.store.database_file import DatabaseFile, DatabaseGone, probe_folder
from backend.store.errors import Unusable
from backend.store.identity import identify, require_may_create, require_same_store, sqlite_file
from backend.store.migrate import migrate, read_revision
from backend.store.models import HEAD_REVISION

MIN_FREE_BYTES = 64 * 2**20
BUSY_TIMEOUT_MS = 20_000
CONNECT_TIMEOUT_S = 10
CHANNEL = "collapse"
"""PostgreSQL's NOTIFY channel; the payload is the id of the run that has new events."""
Unreachable = (sa.exc.OperationalError, sa.exc.InterfaceError, DatabaseGone)
"""Errors of a database that is locked, full, restarting, unreachable or removed; the same call may succeed later."""


JSON_OPTIONS: dict[str, Any] = {
    # Ten times as fast as the standard library; it refuses NaN, which `event_log.encode_numbers` replaces by strings.
    "json_serializer": lambda value: orjson.dumps(value).decode(),
    "json_deserializer": orjson.loads,
}


@dataclass(frozen=True)
class Store:
    """An open store: a data directory for files, and the database that names them."""

    data_dir: Path
    engine: Engine
    url: str
    id: str
    """The store id that the database and its data directories share."""
    directory_id: str
    """The id of this data directory among those of the store."""
    watch: DatabaseFile

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that reads a consistent snapshot; raises DatabaseGone where the database was replaced."""
        self.watch.require_readable()
        with self.engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a transaction that holds the write lock from its start; committed at the end, rolled back on an error.

        Raises DatabaseGone where the database's file was removed, moved or replaced.
        """
        opened = self.watch.require_writable()
        with self.engine.connect().execution_options(collapse_write=True) as connection, connection.begin():
            yield connection
            # The file may have been removed while the transaction waited for the lock; it is rolled back then.
            self.watch.require_unchanged(opened)

    def close(self) -> None:
        self.engine.dispose()


def open_store(data_dir: Path, url: str | None = None, *, create: bool = True, join: bool = False) -> Store:
    """Open, create or migrate the store in `data_dir`, whose database is in it or at `url`.

    With `create` false the store must exist; with `join` an empty directory becomes an additional directory of the
    store that the database belongs to. Raises Unusable, and changes nothing, where directory and database cannot be
    used or do not belong together.
    """
    data_dir = data_dir.expanduser().absolute()
    engine = make_engine(database_url_of(data_dir, url))
    try:
        file = sqlite_file(engine.url)
        _require_directory(data_dir)
        if not create and not data_dir.is_dir():
            require_may_create(data_dir, engine.url, create=False)
        _require_usable(data_dir)
        if file is not None and not (file.exists() and file.stat().st_size):
            require_may_create(data_dir, engine.url, create=create)
            _create_file(file)
        elif (revision := read_revision(engine, data_dir)) is None:
            require_may_create(data_dir, engine.url, create=create)
        elif revision != HEAD_REVISION:
            require_same_store(engine, data_dir)  # before its schema is changed; `identify` compares all others
        migrate(engine, data_dir)
        identity = identify(engine, data_dir, join=join)
        watch = DatabaseFile(engine, file, identity.store_id)
    except BaseException:
        engine.dispose()
        raise
    # The engine's URL has an absolute path, for workers with another working directory.
    address = engine.url.render_as_string(hide_password=False)
    return Store(data_dir, engine, address, identity.store_id, identity.directory_id, watch)


def reason_of(error: BaseException) -> str:
    """Return the reason of a database error, as its driver states it where there is one."""
    return str(getattr(error, "orig", None) or error).strip()


def _create_file(file: Path) -> None:
    """Create the empty file of an SQLite database; connections never create one, so a removed file is not replaced."""
    try:
        file.touch(mode=0o600)
    except OSError as error:
        raise Unusable(
            f"the database file {file} cannot be made ({error.strerror}); its folder must be there and writable"
        ) from error


def _require_directory(path: Path) -> None:
    """Raise Unusable if a file is where a data directory is needed."""
    for each in (path, *path.parents):
        with contextlib.suppress(PermissionError):  # reported when the directory is made
            if each.is_file():
                raise Unusable(
                    f"{each} is a file; a data directory is needed: choose another with --data or COLLAPSE_DATA"
                )


def _require_usable(data_dir: Path) -> None:
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe_folder(data_dir)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Unusable(
                f"the data directory {data_dir} is on a full disk; free some space or choose another with --data"
            ) from error
        raise Unusable(
            f"the data directory {data_dir} cannot be written ({error.strerror}); "
            "make it writable for this user or choose another with --data or COLLAPSE_DATA"
        ) from error
    free = shutil.disk_usage(data_dir).free
    if free < MIN_FREE_BYTES:
        raise Unusable(
            f"the data directory {data_dir} has {free // 2**20} MiB free and needs {MIN_FREE_BYTES // 2**20} MiB; "
            "free some space or choose another with --data"
        )


def make_engine(url: str, *, read_only: bool = False) -> Engine:
    """Return an engine for a database; with `read_only` it does not change an SQLite file.

    Raises Unusable where the URL is not understood.
    """
    if not url.startswith("sqlite"):
        try:
            # A lost connection is noticed after ten seconds instead of a quarter of an hour.
            options = {"connect_timeout": CONNECT_TIMEOUT_S, "tcp_user_timeout": 10_000}
            options |= {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}
            return sa.create_engine(url, pool_pre_ping=True, connect_args=options, **JSON_OPTIONS)
        except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ModuleNotFoundError) as error:
            raise Unusable(
                f"the database URL is not understood ({error}); "
                "use sqlite:///FILE or, with the extra `postgres`, postgresql+psycopg://USER@HOST/NAME"
            ) from error
    import pysqlite3

    address = sa.make_url(url)
    file = sqlite_file(address)
    if file is not None and not file.is_absolute():
        address = address.set(database=str(file.absolute()))
        file = file.absolute()

    def connect() -> Any:
        # `rw`: connecting to a removed file fails instead of creating an empty one.
        mode = "ro" if read_only else "rw"
        return pysqlite3.dbapi2.connect(f"file:{quote(str(file))}?mode={mode}", uri=True, check_same_thread=False)

    # SQLite before 3.51.3 has a WAL-reset corruption bug; pysqlite3 includes a newer one than Python.
    engine = sa.create_engine(
        address, module=pysqlite3.dbapi2, creator=connect, poolclass=sa.pool.QueuePool, **JSON_OPTIONS
    )

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            *(() if read_only else ("journal_mode=WAL",)),
            "synchronous=NORMAL",
            "foreign_keys=ON",
            "cache_size=-4096",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        write = connection.get_execution_options().get("collapse_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine
