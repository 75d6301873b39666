"""One server a data directory: a lock that the kernel drops when its holder is gone, with the holder's pid inside."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from backend.store.errors import Unusable

NAME = "server.lock"


@contextlib.contextmanager
def holding(data_dir: Path, url: str) -> Iterator[None]:
    """Hold the data directory's lock; raises Unusable naming the owner where another server holds it."""
    with (data_dir / NAME).open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = _read(stream)
            raise Unusable(
                f"a server (pid {owner.get('pid', 'unknown')}, {owner.get('url', 'address unknown')}) already uses "
                f"{data_dir}; open it, stop it, or choose another data directory with --data"
            ) from error
        stream.seek(0)
        stream.truncate()
        json.dump({"pid": os.getpid(), "url": url}, stream)
        stream.flush()
        try:
            yield
        finally:
            stream.seek(0)
            stream.truncate()


def holder(data_dir: Path) -> dict[str, object] | None:
    """Return the pid and URL of the server that holds the lock, or None where nobody does."""
    path = data_dir / NAME
    if not path.exists():
        return None
    with path.open("r+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read(stream)
        return None


def _read(stream: TextIO) -> dict[str, object]:
    stream.seek(0)
    try:
        read = json.loads(stream.read() or "{}")
    except json.JSONDecodeError:
        return {}
    return read if isinstance(read, dict) else {}
