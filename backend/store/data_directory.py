"""A data directory: its file `store.json`, which names its store, its lock files, and the folders of its runs."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, TextIO

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from backend.store.errors import Unusable
from ncengine.files import atomic_write

SERVER_LOCK = "server.lock"
"""Held by the server that uses a data directory, with its pid and URL; the kernel drops it when the server is gone."""
MARKER = "store.json"
"""The file in a data directory that names its store."""
Id = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class StoreMarker(BaseModel):
    """The content of a data directory's `store.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    store: Id
    directory: Id
    database: str
    """The database's address when it was last opened, without its password: a hint for people."""
    pending: bool = False
    """True until the transaction that stores the id in the database is known to be committed."""


def make_store_id() -> str:
    """Return a random id of a store or a directory, 16 hexadecimal digits."""
    return secrets.token_hex(8)


def read_marker(data_dir: Path) -> StoreMarker | None:
    """Return the content of `store.json`, or None where there is none; raises Unusable where it cannot be read."""
    path = data_dir / MARKER
    try:
        return StoreMarker.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (ValidationError, OSError) as error:
        raise Unusable(
            f"{path} should say which store this data directory belongs to, and cannot be read; restore it from a "
            "backup, or move it away and run `collapse store attach` to write it again"
        ) from error


def write_marker(data_dir: Path, marker: StoreMarker) -> None:
    """Write `store.json` atomically; the caller holds the lock of `hold_migration_lock`."""
    atomic_write.write_atomically(data_dir / MARKER, f"{marker.model_dump_json(indent=2)}\n".encode())


@contextlib.contextmanager
def hold_migration_lock(data_dir: Path) -> Iterator[None]:
    """Hold the lock under which one program at a time migrates or identifies the store of a data directory."""
    with (data_dir / "migration.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def list_run_folders(data_dir: Path) -> frozenset[str]:
    """Return the names of the run folders in a data directory."""
    with contextlib.suppress(FileNotFoundError):
        return frozenset(path.name for path in (data_dir / "runs").iterdir() if path.is_dir())
    return frozenset()


@contextlib.contextmanager
def hold_server_lock(data_dir: Path, url: str) -> Iterator[None]:
    """Hold the server's lock of a data directory; raises Unusable, naming the holder, where another server has it."""
    with (data_dir / SERVER_LOCK).open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = _read_lock(stream)
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


def read_server_lock(data_dir: Path) -> dict[str, object] | None:
    """Return the pid and URL of the server that holds the lock, or None where none does."""
    path = data_dir / SERVER_LOCK
    if not path.exists():
        return None
    with path.open("r+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read_lock(stream)
        return None


def _read_lock(stream: TextIO) -> dict[str, object]:
    stream.seek(0)
    try:
        read = json.loads(stream.read() or "{}")
    except json.JSONDecodeError:
        return {}
    return read if isinstance(read, dict) else {}
