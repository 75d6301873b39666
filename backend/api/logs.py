"""Structured logs: one JSON object per line in a rotated file, and warnings as text in the terminal.

An equal warning is written once a minute, because retries repeat it every second. Fields are passed as
`extra={"facts": {…}}`. Tokens are never logged: URLs are logged without their query.
"""

from __future__ import annotations

import logging
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import orjson

from backend.store.clock import now

LOG_BYTES = 4 * 2**20
BACKUP_COUNT = 4
REPEAT_S = 60.0
MAX_REMEMBERED = 1000


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": now(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= getattr(record, "facts", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


class RepeatFilter(logging.Filter):
    """Drops a warning if an equal one was written less than REPEAT_S ago."""

    def __init__(self) -> None:
        super().__init__()
        self._written: dict[tuple[str, str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        cause = str(record.exc_info[1]) if record.exc_info else ""
        key, moment = (record.name, record.getMessage(), cause), time.monotonic()
        if moment - self._written.get(key, -REPEAT_S) < REPEAT_S:
            return False
        if len(self._written) >= MAX_REMEMBERED:
            self._written.clear()
        self._written[key] = moment
        return True


def log_to(path: Path) -> None:
    """Send the service's log to a file, and warnings to the terminal."""
    path.touch(mode=0o600)
    to_file = RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=BACKUP_COUNT)
    to_file.setFormatter(JsonLines())
    to_terminal = logging.StreamHandler()
    to_terminal.setLevel(logging.WARNING)
    to_terminal.setFormatter(logging.Formatter("%(message)s"))
    for handler in (to_file, to_terminal):
        handler.addFilter(RepeatFilter())
    ours = logging.getLogger("collapse")
    ours.setLevel(logging.INFO)
    ours.propagate = False
    ours.handlers = [to_file, to_terminal]
