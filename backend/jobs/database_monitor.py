"""Monitor the database in use: detect that it was removed, replaced, made read-only or migrated; save a removed one.

The content of a deleted SQLite file can still be read through open connections. The monitor keeps one for that case
and writes the content to `collapse-rescued-TIME.db` in the data directory, for `collapse store restore`.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from backend.store.database import Store, Unreachable, reason_of
from backend.store.database_file import copy_sqlite, is_read_only

log = logging.getLogger("collapse.store")

INTERVAL_S = 0.5
RESCUE_AFTER_S = 1.0
"""How long a file must be missing before its content is saved."""


class DatabaseMonitor:
    """A thread that checks the database of a store twice a second; `problem` is the current problem, or empty."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="database monitor", daemon=True)
        self._connection: Any = None
        self._generation = -1
        self._missing_since: float | None = None
        self._rescued = ""
        self.problem = ""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def _loop(self) -> None:
        while True:
            self._update(self.check())
            if self._stop.wait(INTERVAL_S):
                break
        if self._connection is not None:
            self._connection.close()

    def _update(self, problem: str) -> None:
        """Store the current problem, and log it when it changes."""
        if problem == self.problem:
            return
        if problem:
            log.error("%s", problem)
        else:
            log.warning("the database can be used again")
        self.problem = problem

    def check(self) -> str:
        """Check once; return the problem of the database with its remedy, empty if there is none."""
        watch = self._store.watch
        try:
            self._keep_connection()
            problem = watch.inspect()
        except Unreachable as error:
            problem = f"the database cannot be used: {reason_of(error)}"
        except sa.exc.SQLAlchemyError as error:
            problem = f"the database cannot be read: {reason_of(error)}"
        if watch.is_missing():
            return self._while_missing(problem)
        self._missing_since, self._rescued = None, ""
        folders = [self._store.data_dir, *([watch.file.parent] if watch.file else [])]
        read_only = next((folder for folder in folders if is_read_only(folder)), None)
        if read_only is not None:
            return f"the disk of {read_only} can only be read; make it writable again: until then nothing new is stored"
        return problem

    def _keep_connection(self) -> None:
        """Keep a connection to the current file, so that its content can be saved when the file is removed."""
        watch = self._store.watch
        if watch.file is None or watch.is_missing() or self._generation == watch.generation:
            return
        if self._connection is not None:
            self._connection.close()
        self._connection = self._store.engine.raw_connection()
        # SQLite opens the file at the first statement, not when connecting.
        self._connection.cursor().execute("SELECT count(*) FROM sqlite_master").fetchone()
        self._generation = watch.generation

    def _while_missing(self, problem: str) -> str:
        """Save the content of the removed file once; return the problem with where it was saved."""
        moment = time.monotonic()
        self._missing_since = self._missing_since or moment
        if not self._rescued and self._connection is not None and moment - self._missing_since > RESCUE_AFTER_S:
            self._rescued = self._rescue()
        return f"{problem}. {self._rescued}" if self._rescued else problem

    def _rescue(self) -> str:
        """Write the content of the removed file to a new one; return a sentence with the result and the remedy."""
        name = f"collapse-rescued-{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}.db"
        target = self._store.data_dir / name
        try:
            cursor = self._connection.cursor()
            pages, page_bytes = (cursor.execute(f"PRAGMA {each}").fetchone()[0] for each in ("page_count", "page_size"))
            if shutil.disk_usage(self._store.data_dir).free < 2 * pages * page_bytes:
                return "Its content could not be saved: the disk of the data directory has too little space"
            copy_sqlite(self._connection, target)
        except Exception as error:  # the drivers' errors share no class, and the monitor must go on
            log.exception("the content of the removed database could not be saved")
            return f"Its content could not be saved: {error}"
        log.warning("the content of the removed database was saved in %s", target)
        return (
            f"Its content was saved in {target}; stop the server and run `collapse store restore {target}` unless you "
            "have the file"
        )
