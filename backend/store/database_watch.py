"""Whether an open database is still the one that was opened: its file may be removed, moved or replaced meanwhile.

An SQLite connection goes on with a file that nobody finds any more, and what is written there is lost. So the file's
identity (device and inode) is compared with its path's before every transaction, which costs microseconds; what takes
a query (the store's id, the schema) is looked at by `DatabaseWatch.inspect`, twice a second.
"""

from __future__ import annotations

import errno
import tempfile
import threading
import time
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from backend.store.errors import Unusable
from backend.store.migrate import KNOWN_REVISIONS
from backend.store.models import store

REJECTED_S = 1.0
"""So long a file that was looked at and refused is not looked at again."""


class DatabaseGone(Unusable):
    """The database that was opened is not there, or not the same any more; it may come back."""


class DatabaseWatch:
    """Compares an open database with what is at its address now; `file` is None for a database server."""

    def __init__(self, engine: Engine, file: Path | None, store_id: str) -> None:
        self._engine, self._file, self._store_id = engine, file, store_id
        self._opened = None if file is None else _inode(file)
        self._log: tuple[int, int] | None = None
        self._rejected: tuple[tuple[int, int], float, str] | None = None
        self._remember_log()
        self._lock = threading.Lock()
        self._refused = ""
        self.generation = 0
        """Counts how often connections had to be made anew, for those who keep one of their own."""

    @property
    def file(self) -> Path | None:
        return self._file

    def problem(self) -> str:
        """Return what is wrong with the database, what happened and what to do; empty where nothing is known to be."""
        try:
            self.require_writable()
        except DatabaseGone as error:
            return str(error)
        return ""

    def is_missing(self) -> bool:
        """Whether nothing is at the database file's path."""
        return self._file is not None and _inode(self._file) is None

    def _remember_log(self) -> None:
        """Remember the write-ahead log of the open file, to tell it beside another one."""
        if self._file is not None:
            self._log = _inode(_log_of(self._file)) or self._log

    def require_writable(self) -> tuple[int, int] | None:
        """Raise DatabaseGone where what is written would be lost, or would go into another store's database.

        Returns the identity of the file, for `require_still`.
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

    def require_still(self, opened: tuple[int, int] | None) -> None:
        """Raise DatabaseGone unless the file at the path is the one that a transaction began with."""
        if self._file is not None and _inode(self._file) != opened:
            raise DatabaseGone(
                f"the database file {self._file} was removed or replaced during a transaction, which was rolled back"
            )

    def require_readable(self) -> None:
        """Raise DatabaseGone where another store's database is at the path; one that is missing is read on."""
        if self._file is not None and self._opened is not None:
            current = _inode(self._file)
            if current is not None and current != self._opened:
                self._reopen(current)

    def _reopen(self, current: tuple[int, int]) -> None:
        """Go over to the file that is at the path now, where it is a whole database of the same store."""
        with self._lock:
            if current == self._opened:
                return
            if self._rejected and self._rejected[0] == current and time.monotonic() - self._rejected[1] < REJECTED_S:
                raise DatabaseGone(self._rejected[2])
            reason = self._fault()
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

    def _fault(self) -> str:
        """Return why the file at the path cannot take the place of the open one; empty where it can."""
        if self._file is not None and self._log is not None and _inode(_log_of(self._file)) == self._log:
            return (
                "the write-ahead log of the one before still lies beside it, which SQLite would play into it: stop the "
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
        """Look at the store's id and schema too; return what is wrong, empty where nothing is.

        Raises SQLAlchemyError where the database cannot be reached.
        """
        if self._file is None or _inode(self._file) is not None:
            self.require_readable()
            self._remember_log()
            reason = self._difference()
            self._refused = f"the database is not usable any more: {reason}" if reason else ""
        return self.problem()

    def _difference(self) -> str:
        """Return in which way the database is not the one that was opened; empty where it is."""
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
    """Whether nothing can be written in a folder, since its disk is mounted so or turned so after a fault.

    A disk that turned read-only after a fault says so to writers alone, so that a file is made and removed.
    """
    try:
        probe_folder(folder)
    except OSError as error:
        return error.errno == errno.EROFS
    return False


def probe_folder(folder: Path) -> None:
    """Make and remove a small file of a name of its own; raises OSError where that cannot be done."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".probe-") as probe:
        probe.write(b"probe")


def _log_of(file: Path) -> Path:
    return file.with_name(file.name + "-wal")


def _inode(file: Path) -> tuple[int, int] | None:
    """Return a file's device and inode, or None where it is not there."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
