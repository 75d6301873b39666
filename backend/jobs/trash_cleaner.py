"""Remove expired entries of the trash while a server runs: once a day, in small steps, in a thread."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator

from sqlalchemy.exc import SQLAlchemyError

from backend.store.database import Store
from backend.store.errors import CollapseError, Conflict
from backend.store.gc import trash

log = logging.getLogger("collapse.gc")
DAY_S = 86_400.0
RETRY_S = 300.0
PAUSE_S = 1.0
FILES_PER_STEP = 1000


class TrashCleaner:
    """A thread that removes expired entries of the trash."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="trash", daemon=True)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run the thread until the block is left."""
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join(timeout=10)

    def _loop(self) -> None:
        wait_s = 0.0
        while not self._stop.wait(wait_s):
            try:
                with trash.hold_lock(self._store):
                    some_left = trash.empty_expired(self._store, FILES_PER_STEP)
                wait_s = PAUSE_S if some_left else DAY_S
            except Conflict:
                wait_s = RETRY_S  # a clean-up is running
            except (CollapseError, SQLAlchemyError, OSError) as error:
                log.warning("the trash could not be emptied (%s); trying again in %.0f s", error, RETRY_S)
                wait_s = RETRY_S
