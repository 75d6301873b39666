"""Opening the store: the data directory, the database in it or elsewhere, migrations, version checks.

SQLite runs in WAL mode with synchronous NORMAL, foreign keys on, and writers that say `BEGIN IMMEDIATE`: with the
driver's deferred transactions two writers can both read before either writes, and one of the updates is lost or fails.
PostgreSQL runs at its default level, read committed: every move of a run is one conditional UPDATE, which waits for the
row's lock and then looks again.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from backend.errors import Unusable

HEAD_REVISION = "0002"
KNOWN_REVISIONS = ("0001", "0002")
MIGRATIONS = Path(__file__).with_name("migrations")
LEAST_FREE_BYTES = 64 * 2**20
BUSY_TIMEOUT_MS = 20_000
CONNECT_TIMEOUT_S = 10
CHANNEL = "collapse"
"""PostgreSQL's NOTIFY channel; what is said there is the id of the run that has new events."""
Unreachable = (sa.exc.OperationalError, sa.exc.InterfaceError)
"""What is raised while a database is locked, full, restarting or away; the same call may succeed later."""


JSON_OPTIONS: dict[str, Any] = {
    # Ten times the standard library's speed on event pages; it refuses NaN, which `event_log.encode_numbers` has spelt.
    "json_serializer": lambda value: orjson.dumps(value).decode(),
    "json_deserializer": orjson.loads,
}


@dataclass(frozen=True)
class Store:
    """An open store: where files go and the database that names them."""

    data_dir: Path
    engine: Engine
    url: str

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for reading a consistent snapshot."""
        with self.engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that holds the write lock from its start; committed at the end, rolled back on an error."""
        with self.engine.connect().execution_options(collapse_write=True) as connection, connection.begin():
            yield connection

    def close(self) -> None:
        self.engine.dispose()


def now() -> str:
    """The present moment, UTC, ISO 8601 with milliseconds: sorts as text."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def open_store(data_dir: Path, url: str | None = None) -> Store:
    """Open, create or migrate the store in `data_dir`; raises Unusable with the remedy where that cannot be done."""
    data_dir = data_dir.expanduser().absolute()
    _require_usable(data_dir)
    database_url = url or f"sqlite:///{data_dir / 'collapse.db'}"
    engine = _make_engine(database_url)
    try:
        _migrate(engine, data_dir)
    except BaseException:
        engine.dispose()
        raise
    return Store(data_dir, engine, database_url)


def _require_usable(data_dir: Path) -> None:
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = data_dir / f".probe-{os.getpid()}"
        probe.write_bytes(b"probe")
        probe.unlink()
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
    if free < LEAST_FREE_BYTES:
        raise Unusable(
            f"the data directory {data_dir} has {free // 2**20} MiB free and needs {LEAST_FREE_BYTES // 2**20} MiB; "
            "free some space or choose another with --data"
        )


def _make_engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        try:
            options = {"connect_timeout": CONNECT_TIMEOUT_S}
            return sa.create_engine(url, pool_pre_ping=True, connect_args=options, **JSON_OPTIONS)
        except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ModuleNotFoundError) as error:
            raise Unusable(
                f"the database URL is not understood ({error}); "
                "use sqlite:///FILE or, with the extra `postgres`, postgresql+psycopg://USER@HOST/NAME"
            ) from error
    import pysqlite3

    # SQLite before 3.51.3 has a WAL-reset corruption bug; pysqlite3 brings a newer one than Python's own.
    engine = sa.create_engine(url, module=pysqlite3.dbapi2, **JSON_OPTIONS)

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            "journal_mode=WAL",
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


def _migrate(engine: Engine, data_dir: Path) -> None:
    """Bring the database to this version's schema; an older one is copied first, a newer one refused."""
    if _revision(engine, data_dir) == HEAD_REVISION:
        return
    # Programs that open an old database at once bring it forward one after the other; the later ones find it done.
    with (data_dir / "migration.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _bring_forward(engine, data_dir)


def _revision(engine: Engine, data_dir: Path) -> str | None:
    """Return the database's schema, None for an empty one; raises Unusable where it cannot be read or is newer."""
    try:
        with engine.connect() as connection:
            has_version = sa.inspect(connection).has_table("alembic_version")
            revision = (
                connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() if has_version else None
            )
    except sa.exc.DatabaseError as error:
        raise Unusable(
            f"the database cannot be read ({_first_line(error)}); restore it from a backup in {data_dir} or choose "
            "another data directory with --data"
        ) from error
    if revision is not None and revision not in KNOWN_REVISIONS:
        raise Unusable(
            f"the database was made by a newer version of Collapse Lab (schema {revision}, this one knows "
            f"{HEAD_REVISION}); upgrade collapse-lab, or choose another data directory with --data"
        )
    return revision


def _bring_forward(engine: Engine, data_dir: Path) -> None:
    revision = _revision(engine, data_dir)
    if revision == HEAD_REVISION:
        return
    backup = None if revision is None else _back_up(engine, data_dir)
    # Alembic is loaded only when there is something to do: it would cost every start a fifth of a second.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    try:
        with engine.connect().execution_options(collapse_write=True) as connection, connection.begin():
            if engine.dialect.name == "postgresql":
                # The same between machines that share it.
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(4011248)")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except sa.exc.SQLAlchemyError as error:
        raise Unusable(
            f"the database could not be brought from schema {revision or 'none'} to {HEAD_REVISION} and was left as it "
            f"was ({_first_line(error)}); "
            + (f"a copy made before is {backup}; " if backup else "")
            + "use the version of collapse-lab that you had, and report this"
        ) from error


def _first_line(error: BaseException) -> str:
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]


def _back_up(engine: Engine, data_dir: Path) -> str:
    """Copy the whole database before it is changed; return where the copy is, in words."""
    if engine.dialect.name == "sqlite":
        target = data_dir / f"collapse-before-{HEAD_REVISION}.db"
        aside = target.with_suffix(".partial")
        aside.unlink(missing_ok=True)
        with engine.connect() as connection:
            connection.exec_driver_sql("ROLLBACK")
            connection.exec_driver_sql("VACUUM INTO ?", (str(aside),))
        aside.replace(target)
        return str(target)
    schema = f"collapse_before_{HEAD_REVISION}"
    with engine.connect() as connection, connection.begin():
        tables = sa.inspect(connection).get_table_names()
        connection.exec_driver_sql(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')
        connection.exec_driver_sql(f'CREATE SCHEMA "{schema}"')
        for table in tables:
            connection.exec_driver_sql(f'CREATE TABLE "{schema}"."{table}" AS TABLE "{table}"')
    return f"the schema {schema} in the same database"
