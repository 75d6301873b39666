"""Structured logs: one JSON object a line, in the data directory, rotated; warnings also to the terminal, in words.

What is logged carries its facts in `extra={"facts": {…}}`. Tokens never get here: addresses are logged without their
query.
"""

from __future__ import annotations

import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import orjson

from backend.store.clock import now

LOG_BYTES = 4 * 2**20
KEPT_LOGS = 4


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


def log_to(path: Path) -> None:
    """Send what the service says to `path`, and warnings to the terminal."""
    path.touch(mode=0o600)
    to_file = RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=KEPT_LOGS)
    to_file.setFormatter(JsonLines())
    to_terminal = logging.StreamHandler()
    to_terminal.setLevel(logging.WARNING)
    to_terminal.setFormatter(logging.Formatter("%(message)s"))
    ours = logging.getLogger("collapse")
    ours.setLevel(logging.INFO)
    ours.propagate = False
    ours.handlers = [to_file, to_terminal]
