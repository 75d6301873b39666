"""The file of an open SQLite database: detect that it was removed, moved or replaced; copy it.

An SQLite connection keeps writing into a file that has no name any more, and what is written there is lost. Therefore
the identity of the open file (device and inode) is compared with that of its path before every transaction, which takes
microseconds; checks that need a query (store id, schema) are made by `DatabaseFile.inspect`, twice a second.
"""

from __future__ import annotations

import errno
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from backend.store.errors import Unusable
from backend.store.models import KNOWN_REVISIONS, store
from ncengine.files import atomic_write

REJECTED_S = 1.0
"""How long a file that was checked and rejected is not checked again."""


class DatabaseGone(Unusable):
    """The opened database was removed or replaced; it may be put back."""


class DatabaseFile:
    """Compares an open database with the file that is at its path now; `file` is None for a database server."""

    def __init__(self, engine: Engine, file: Path | None, store_id: str) -> None:
        self._engine, self._file, self._store_id = engine, file, store_id
        self._opened = None if file is None else _inode(file)
        self._log: tuple[int, int] | None = None
        self._rejected: tuple[tuple[int, int], float, str] | None = None
        self._remember_log()
        self._lock = threading.Lock()
        self._refused = ""
        self.generation = 0
        """Number of times the file changed, for code that keeps a connection of its own."""

    @property
    def file(self) -> Path | None:
        return self._file

    def problem(self) -> str:
        """Return the known problem of the database with its remedy; empty if there is none."""
        try:
            self.require_writable()
        except DatabaseGone as error:
            return str(error)
        return ""

    def is_missing(self) -> bool:
        """Return whether there is no file at the database's path."""
        return self._file is not None and _inode(self._file) is None

    def _remember_log(self) -> None:
        """Remember the identity of the open file's write-ahead log, to recognise it beside another file."""
        if self._file is not None:
            self._log = _inode(_log_of(self._file)) or self._log

    def require_writable(self) -> tuple[int, int] | None:
        """Raise DatabaseGone where a write would be lost, or would go into another store's database.

        Returns the identity of the file, for `require_unchanged`.
        """
        if self._file is not None:
            current = _inode(self._file)
            if current is None:
                raise DatabaseGone(
                    f"the database file {self._file} was removed or moved while it was in use; put it back "
                    "(`collapse store restore FILE` puts a copy in its place). Until then nothing new is stored"
                )
            if current != self._opened:
                self._reopen(current)
        if self._refused:
            raise DatabaseGone(self._refused)
        return self._opened

    def require_unchanged(self, opened: tuple[int, int] | None) -> None:
        """Raise DatabaseGone unless the file at the path is the one at the start of the transaction."""
        if self._file is not None and _inode(self._file) != opened:
            raise DatabaseGone(
                f"the database file {self._file} was removed or replaced during a transaction, which was rolled back"
            )

    def require_readable(self) -> None:
        """Raise DatabaseGone where another store's database is at the path; a removed one can still be read."""
        if self._file is not None and self._opened is not None:
            current = _inode(self._file)
            if current is not None and current != self._opened:
                self._reopen(current)

    def _reopen(self, current: tuple[int, int]) -> None:
        """Switch to the file that is at the path now, if it is a whole database of the same store."""
        with self._lock:
            if current == self._opened:
                return
            if self._rejected and self._rejected[0] == current and time.monotonic() - self._rejected[1] < REJECTED_S:
                raise DatabaseGone(self._rejected[2])
            reason = self._rejection_reason()
            if reason:
                text = (
                    f"the database file {self._file} was replaced by another one, and {reason}. Put the database of "
                    f"store {self._store_id} back (`collapse store restore FILE` puts a copy in its place). Until then "
                    "nothing new is stored"
                )
                self._rejected = current, time.monotonic(), text
                raise DatabaseGone(text)
            self._opened, self.generation, self._rejected = current, self.generation + 1, None
            self._remember_log()

    def _rejection_reason(self) -> str:
        """Return why the file at the path cannot replace the open one; empty if it can."""
        if self._file is not None and self._log is not None and _inode(_log_of(self._file)) == self._log:
            return (
                "the write-ahead log of the previous file is still beside it, and SQLite would apply it: stop the "
                "server and move the file elsewhere first"
            )
        self._engine.dispose()
        try:
            reason = self._difference()
            if not reason:
                with self._engine.connect() as connection:
                    state = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
                reason = "" if state == "ok" else f"it is damaged: {state}"
        except sa.exc.DatabaseError as error:
            reason = f"it cannot be read: {str(error.orig).strip()}"
        if reason:
            self._engine.dispose()
        return reason

    def inspect(self) -> str:
        """Check the store id and the schema too; return the problem, empty if there is none.

        Raises SQLAlchemyError where the database cannot be reached.
        """
        if self._file is None or _inode(self._file) is not None:
            self.require_readable()
            self._remember_log()
            reason = self._difference()
            self._refused = f"the database is not usable any more: {reason}" if reason else ""
        return self.problem()

    def _difference(self) -> str:
        """Return how the database differs from the one that was opened; empty if it does not."""
        try:
            with self._engine.connect() as connection:
                schema = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
                store_id = connection.execute(sa.select(store.c.id)).scalar_one_or_none()
        except sa.exc.ProgrammingError:
            schema = store_id = None  # PostgreSQL: no such table
        except sa.exc.OperationalError as error:
            if "no such table" not in str(error.orig):
                raise
            schema = store_id = None
        if schema is not None and schema not in KNOWN_REVISIONS:
            return (
                f"a newer version of Collapse Lab brought it to schema {schema}, which this one does not know; restart "
                "with that version"
            )
        if store_id != self._store_id:
            return f"it belongs to store {store_id or 'none'} and not to {self._store_id}"
        return ""


def is_read_only(folder: Path) -> bool:
    """Return whether the disk of a folder is read-only.

    A disk that became read-only after a fault reports it only to writes, so a file is created and removed.
    """
    try:
        probe_folder(folder)
    except OSError as error:
        return error.errno == errno.EROFS
    return False


def probe_folder(folder: Path) -> None:
    """Create and remove a small file with a unique name; raises OSError where that fails."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".probe-") as probe:
        probe.write(b"probe")


def _log_of(file: Path) -> Path:
    return file.with_name(file.name + "-wal")


def _inode(file: Path) -> tuple[int, int] | None:
    """Return a file's device and inode, or None where it does not exist."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def copy_sqlite(connection: Any, target: Path) -> None:
    """Write the whole content of a database to `target`, atomically and durably, readable by its owner only.

    `connection` is the driver's, outside of a transaction. An existing file at `target` is replaced.
    """
    aside = target.with_name(f"{target.name}.partial")
    aside.unlink(missing_ok=True)
    try:
        aside.touch(mode=0o600)
        connection.cursor().execute("VACUUM INTO ?", (str(aside),))
        with aside.open("rb") as stream:
            os.fsync(stream.fileno())
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
    atomic_write.sync_directory(target.parent)


def unused_path(path: Path) -> Path:
    """Return the path, or one with a number after its stem where the path exists: copies are never replaced."""
    numbered = (path.with_stem(f"{path.stem}-{i}") for i in range(2, 10_000))
    return next(each for each in (path, *numbered) if not each.exists())
