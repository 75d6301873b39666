"""The trash of a data directory: `DATA/trash/TIME-PLAN/` with a manifest, the files under `files/`, rows under `rows/`.

The manifest is durable before anything is moved. An entry contains the files that are in its folder; an item of the
manifest whose files are not there was not moved.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Literal

import orjson
from pydantic import ValidationError

from backend.store.clock import format_timestamp
from backend.store.database import Store
from backend.store.errors import Conflict, NotFound, Unusable
from backend.store.gc import files
from backend.store.gc.plans import CleanupPlan, GcRecord, ItemRecord, MovedItem, RelativePath
from ncengine.files import atomic_write

FOLDER = "trash"
LOCK = "gc.lock"
MANIFEST = "manifest.json"
EMPTYING = ".emptying-"
TRASH_DAYS = 7
"""How long an entry is kept in the trash."""
NAME = re.compile(r"^\d{8}T\d{6}Z-[0-9a-f]{16}$")
log = logging.getLogger("collapse.gc")


class TrashedFile(GcRecord):
    """A file of an entry; it is at `files/PATH` after it was moved."""

    path: RelativePath
    size_bytes: int
    sha256: str
    artifact: str | None = None
    step: int | None = None


class TrashedItem(ItemRecord):
    """Files that are removed and restored together; `rows` is the name of the file with their database rows."""

    files: tuple[TrashedFile, ...]
    rows: str | None


class TrashManifest(GcRecord):
    """Manifest of an entry of the trash, written before anything is moved into it."""

    format: Literal[1] = 1
    plan: str
    store: str
    directory: str
    created_at: str
    items: tuple[TrashedItem, ...]


@dataclass(frozen=True)
class TrashFolder:
    """An entry of the trash: the folder of one clean-up, with its manifest."""

    folder: Path
    manifest: TrashManifest

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def expires(self) -> datetime:
        """When the entry expires."""
        return _timestamp_of(self.name) + timedelta(days=TRASH_DAYS)

    @property
    def created_at(self) -> str:
        return self.manifest.created_at

    @property
    def expires_at(self) -> str:
        return format_timestamp(self.expires)

    def file(self, path: str) -> Path:
        """Return the path of a file in the entry."""
        return self.folder / "files" / path

    def rows(self, item: TrashedItem) -> Path | None:
        """Return the path of the file with an item's database rows, or None where it has none."""
        return None if item.rows is None else self.folder / "rows" / item.rows

    def has_rows(self, item: TrashedItem) -> bool:
        """Return whether an item's database rows are in the entry."""
        path = self.rows(item)
        return path is not None and path.exists()

    @cached_property
    def items(self) -> list[MovedItem]:
        """The items of which files or rows were in the entry when they were first asked for."""
        items = []
        for item in self.manifest.items:
            sizes = [size for file in item.files if (size := _size(self.file(file.path))) is not None]
            if sizes or (item.kind == "deleted-run" and self.has_rows(item)):
                items.append(MovedItem(kind=item.kind, run_id=item.run_id, count=len(sizes), size_bytes=sum(sizes)))
        return items

    @property
    def count(self) -> int:
        return sum(item.count for item in self.items)

    @property
    def size_bytes(self) -> int:
        return sum(item.size_bytes for item in self.items)

    def is_empty(self) -> bool:
        """Return whether neither files nor rows are left in the entry."""
        rows = any(self.has_rows(item) for item in self.manifest.items)
        return not rows and not any(os.path.lexists(self.file(f.path)) for i in self.manifest.items for f in i.files)


@dataclass(frozen=True, slots=True)
class TrashContents:
    """The entries of the trash, newest first."""

    items: list[TrashFolder]

    @property
    def digest(self) -> str:
        """A hash of the contents, which identifies a preview of emptying them."""
        contents = [[entry.name, [item.model_dump(mode="json") for item in entry.items]] for entry in self.items]
        return hashlib.sha256(orjson.dumps(contents)).hexdigest()[:16]

    @property
    def count(self) -> int:
        return sum(entry.count for entry in self.items)

    @property
    def size_bytes(self) -> int:
        return sum(entry.size_bytes for entry in self.items)


def read_contents(store: Store) -> TrashContents:
    """Return what is in the trash; raises Unusable where a manifest is invalid."""
    return TrashContents(list_entries(store))


@contextlib.contextmanager
def hold_lock(store: Store) -> Iterator[None]:
    """Hold the lock for moving files into or out of the trash; raises Conflict where another program holds it."""
    with (store.data_dir / LOCK).open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(
                f"another clean-up of {store.data_dir} is under way, here or in another program; try again when it has "
                "ended"
            ) from error
        yield


def create_folder(store: Store) -> Path:
    """Return the folder of the trash; raises Unusable where it is a link."""
    folder = store.data_dir / FOLDER
    if folder.is_symlink():
        raise Unusable(
            f"{folder} is a symbolic link; the trash must be a folder of the data directory: remove the link"
        )
    folder.mkdir(exist_ok=True, mode=0o700)
    return folder


def create_entry(store: Store, plan: CleanupPlan, items: Sequence[TrashedItem]) -> TrashFolder:
    """Create the entry for a plan before it is executed; its manifest is durable afterwards."""
    created_at = datetime.now(UTC)
    folder = create_folder(store) / f"{created_at:%Y%m%dT%H%M%SZ}-{plan.id}"
    folder.mkdir(mode=0o700)
    manifest = TrashManifest(
        plan=plan.id,
        store=store.id,
        directory=store.directory_id,
        created_at=format_timestamp(created_at),
        items=tuple(items),
    )
    atomic_write.write_atomically(
        folder / MANIFEST, orjson.dumps(manifest.model_dump(mode="json"), option=orjson.OPT_INDENT_2)
    )
    atomic_write.sync_directory(folder.parent)
    return TrashFolder(folder, manifest)


def list_entries(store: Store) -> list[TrashFolder]:
    """Return the entries of the trash, newest first; raises Unusable where a manifest is invalid."""
    folder = store.data_dir / FOLDER
    if folder.is_symlink() or not folder.is_dir():
        return []
    entries = []
    for path in folder.iterdir():
        # A folder without a manifest belongs to a clean-up that was interrupted before it moved anything.
        if NAME.fullmatch(path.name) and not path.is_symlink() and (path / MANIFEST).is_file():
            entries.append(TrashFolder(path, _read(path / MANIFEST)))
    return sorted(entries, key=lambda entry: (entry.manifest.created_at, entry.name), reverse=True)


def _read(path: Path) -> TrashManifest:
    try:
        manifest = TrashManifest.model_validate_json(path.read_bytes())
        for item in manifest.items:
            for file in item.files:
                files.resolve_inside(path.parent, file.path)
    except (ValidationError, files.Ineligible) as error:
        raise Unusable(
            f"{path} should say what this folder of the trash holds, and cannot be understood: it was changed, or "
            "written by a newer version. Files lie under files/ by their old paths; move the folder away to go on"
        ) from error
    return manifest


def find_entries(store: Store, names: Sequence[str] | None) -> list[TrashFolder]:
    """Return the entries with these names, or all, newest first; raises NotFound for an unknown name."""
    entries = list_entries(store)
    missing = sorted(set(names or ()) - {entry.name for entry in entries})
    if missing:
        raise NotFound(
            f"there is no entry {missing[0]!r} in the trash; `collapse gc --empty-trash` lists what there is"
        )
    return [entry for entry in entries if names is None or entry.name in names]


def empty_listed(store: Store, listed: str) -> TrashContents:
    """Remove for good the entries that were listed with this digest, and return them.

    Raises Conflict where the trash has changed.
    """
    with hold_lock(store):
        contents = read_contents(store)
        if contents.digest != listed:
            raise Conflict(
                "the trash has changed since it was listed; look again (`collapse gc --empty-trash`, GET /api/v1/trash)"
            )
        for entry in contents.items:
            discard(entry)
        remove_discarded(store)
    return contents


def empty_expired(store: Store, limit: int | None = None) -> bool:
    """Remove for good at most `limit` files of entries older than a week; return whether some are left.

    The caller holds the lock.
    """
    now = datetime.now(UTC)
    old = [entry for entry in list_entries(store) if entry.expires < now]
    for entry in old:
        discard(entry)
        log.info("emptied %s of the trash, which was older than %d days", entry.name, TRASH_DAYS)
    return remove_discarded(store, limit)


def discard(entry: TrashFolder) -> None:
    """Take an entry out of the trash by renaming it; `remove_discarded` removes its files."""
    entry.folder.rename(entry.folder.with_name(EMPTYING + entry.name))


def remove_discarded(store: Store, limit: int | None = None) -> bool:
    """Remove at most `limit` files of discarded entries; return whether some are left."""
    folder = store.data_dir / FOLDER
    if folder.is_symlink() or not folder.is_dir():
        return False
    removed = 0
    for discarded in sorted(folder.glob(f"{EMPTYING}*")):
        for where, folders, names in os.walk(discarded, topdown=False):
            for name in names:
                if removed == limit:
                    return True
                Path(where, name).unlink()
                removed += 1
            for name in folders:
                path = Path(where, name)
                path.unlink() if path.is_symlink() else path.rmdir()
        discarded.rmdir()
    for path in folder.iterdir():
        if NAME.fullmatch(path.name) and not path.is_symlink() and not (path / MANIFEST).exists():
            # Left by a clean-up that was interrupted before it moved anything.
            (path / f"{MANIFEST}.partial").unlink(missing_ok=True)
            files.remove_empty_folders(path)
    return False


def _timestamp_of(name: str) -> datetime:
    return datetime.strptime(name.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def _size(path: Path) -> int | None:
    """Return the size of a regular file, or None where there is none."""
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None
