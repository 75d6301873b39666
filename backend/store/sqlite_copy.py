"""Copy an SQLite database including its write-ahead log, under a name that no other copy has."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ncengine.files import atomic_write


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
