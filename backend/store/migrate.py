"""The schema of the database: read its revision, and migrate an older one to this version's after making a copy."""

from __future__ import annotations

import contextlib
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from backend.store.data_directory import hold_migration_lock
from backend.store.database_file import copy_sqlite, unused_path
from backend.store.errors import Unusable
from backend.store.models import HEAD_REVISION, KNOWN_REVISIONS

MIGRATIONS = Path(__file__).with_name("migrations")


def migrate(engine: Engine, data_dir: Path) -> None:
    """Migrate the database to this version's schema; an older one is copied first, a newer one refused."""
    if read_revision(engine, data_dir) == HEAD_REVISION:
        return
    # Programs that open an old database at the same time take turns; the later ones find it migrated.
    with hold_migration_lock(data_dir):
        _upgrade(engine, data_dir)


def read_revision(engine: Engine, data_dir: Path) -> str | None:
    """Return the schema revision of the database, None if it is empty; raises Unusable if it is unreadable or newer."""
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


def _upgrade(engine: Engine, data_dir: Path) -> None:
    revision = read_revision(engine, data_dir)
    if revision == HEAD_REVISION:
        return
    backup = None if revision is None else _make_backup(engine, data_dir)
    # Alembic is imported only when needed: it would add a fifth of a second to every start.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    try:
        with engine.connect().execution_options(collapse_write=True) as connection, connection.begin():
            if engine.dialect.name == "postgresql":
                # The lock file serves one data directory; this lock serves all machines that share the database.
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


def _make_backup(engine: Engine, data_dir: Path) -> str:
    """Copy the whole database before it is changed; return a description of where the copy is."""
    if engine.dialect.name == "sqlite":
        target = unused_path(data_dir / f"collapse-before-{HEAD_REVISION}.db")
        with contextlib.closing(engine.raw_connection()) as raw:
            copy_sqlite(raw, target)
        return str(target)
    with engine.connect() as connection, connection.begin():
        inspector = sa.inspect(connection)
        tables, taken = inspector.get_table_names(), set(inspector.get_schema_names())
        first = f"collapse_before_{HEAD_REVISION}"
        schema = next(name for name in (first, *(f"{first}_{i}" for i in range(2, 10_000))) if name not in taken)
        connection.exec_driver_sql(f'CREATE SCHEMA "{schema}"')
        for table in tables:
            connection.exec_driver_sql(f'CREATE TABLE "{schema}"."{table}" AS TABLE "{table}"')
    return f"the schema {schema} in the same database"
