"""Files that are there whole or not at all, and still there after a power failure."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def open_atomically(path: Path) -> Iterator[BinaryIO]:
    """Open `path` with `.partial` after its name, and put it in the place of `path` when the block ends.

    Nothing is left and `path` stays as it was where the block, or the disk, raises an error.
    """
    aside = path.with_name(f"{path.name}.partial")
    try:
        with aside.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole and durably; raises OSError and leaves nothing where that fails."""
    with open_atomically(path) as stream:
        stream.write(content)


def sync_directory(folder: Path) -> None:
    """Make a folder's entries durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
