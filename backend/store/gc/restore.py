"""Restore files and rows from the trash: hashes are verified, nothing is overwritten.

Files are restored before their rows, so that no row ever names a missing file. An interrupted restore is repeated.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from backend.store import run_folders
from backend.store.database import Store
from backend.store.gc import files, rows, trash
from backend.store.gc.files import Ineligible
from backend.store.gc.plans import CleanupResult, MovedItem, SkippedItem, merge_results
from backend.store.gc.trash import TrashedFile, TrashedItem, TrashFolder
from backend.store.models import artifact, run


def restore_entries(
    store: Store,
    names: Sequence[str] | None,
    *,
    stopped: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> CleanupResult:
    """Restore these entries of the trash, or all; items that cannot be restored stay and are reported.

    Raises NotFound where there is no such entry.
    """
    results: list[CleanupResult] = []
    with trash.hold_lock(store):
        entries = trash.find_entries(store, names)
        work = [(entry, item) for entry in entries for item in entry.manifest.items]
        # Whole runs first: files that were removed from a run before it was deleted need its row.
        work.sort(key=lambda each: each[1].kind != "deleted-run")
        for number, (entry, item) in enumerate(work):
            progress(number, len(work))
            if stopped():
                break
            results.append(restore_item(store, entry, item))
        else:
            progress(len(work), len(work))
        for entry in entries:
            if entry.is_empty():
                trash.discard(entry)
        trash.remove_discarded(store)
    return merge_results(results, stopped=len(results) < len(work))


@dataclass(slots=True)
class RestoreProgress:
    """The state of an item while it is restored."""

    item: TrashedItem
    undo: bool
    count: int = 0
    size_bytes: int = 0
    not_restored: dict[str, str] = field(default_factory=dict)
    """Paths of the files that could not be restored, with the reason."""
    skipped: list[SkippedItem] = field(default_factory=list)

    def skip(self, path: str | None, reason: str) -> None:
        self.skipped.append(SkippedItem(kind=self.item.kind, run_id=self.item.run_id, path=path, reason=reason))

    def result(self) -> CleanupResult:
        moved = MovedItem(kind=self.item.kind, run_id=self.item.run_id, count=self.count, size_bytes=self.size_bytes)
        some = self.count or (self.item.kind == "deleted-run" and not self.skipped)
        return CleanupResult(items=(moved,) if some else (), skipped=tuple(self.skipped))


def restore_item(store: Store, entry: TrashFolder, item: TrashedItem, *, undo: bool = False) -> CleanupResult:
    """Restore one item; with `undo` a deleted run stays deleted. The caller holds the lock of the trash."""
    path = entry.rows(item) if entry.has_rows(item) else None
    present = [file for file in item.files if os.path.lexists(entry.file(file.path))]
    if path is None and not present:
        return CleanupResult(items=(), skipped=())  # it was not moved, or is restored already
    state = RestoreProgress(item, undo)
    reason = _obstacle(store, item, path)
    if reason:
        state.skip(None, reason)
        return state.result()
    if item.run_id is not None and item.files:
        run_folders.register(store, item.run_id)
    for file in item.files:
        _restore_file(store, entry, file, state)
    if path is not None:
        left = _insert(store, path, state)
        if left:
            rows.write(path, left)
        else:
            path.unlink()
    return state.result()


def _first_run(path: Path | None) -> rows.RowLine | None:
    """Return the first line of a file of rows if it is the row of a run, else None."""
    line = next(rows.read(path), None) if path else None
    return line if line and line["table"] == "run" else None


def _obstacle(store: Store, item: TrashedItem, path: Path | None) -> str:
    """Return why an item cannot be restored at all; empty if it can."""
    with store.reading() as connection:
        current = connection.execute(sa.select(run).where(run.c.id == item.run_id)).one_or_none()
    line = _first_run(path)
    if line is not None:
        if current is not None and not rows.is_stored(current, line, but=("deleted_at",)):
            return f"another run {item.run_id} is in the database, or it was changed; it is not overwritten"
    elif path is not None and current is None:
        return f"its run {item.run_id} is not in the database; restore that first"
    return ""


def _restore_file(store: Store, entry: TrashFolder, file: TrashedFile, state: RestoreProgress) -> None:
    """Move one file back, unless another file is in its place or its hash is not that of the manifest."""
    source = entry.file(file.path)
    try:
        target = files.resolve_inside(store.data_dir, file.path)
        if not os.path.lexists(source):
            if not is_unchanged(store.data_dir, file.path, file):
                state.not_restored[file.path] = "it is neither in its place nor in the trash"
            return
        if not is_unchanged(entry.folder, f"files/{file.path}", file):
            raise Ineligible("it is damaged: its hash is not the one of the manifest; it stays in the trash")
        if os.path.lexists(target):
            if not is_unchanged(store.data_dir, file.path, file):
                raise Ineligible("another file is in its place, and is not overwritten; move that away first")
            source.unlink()
        else:
            files.move(source, target)
    except (Ineligible, OSError) as error:
        state.not_restored[file.path] = str(error)
        state.skip(file.path, str(error))
        return
    state.count += 1
    state.size_bytes += file.size_bytes


def is_unchanged(folder: Path, relative: str, file: TrashedFile) -> bool:
    """Return whether the file at this path has the size and the hash of the manifest."""
    try:
        status = files.stat_file(folder, relative)
    except Ineligible:
        return False
    return status.st_size == file.size_bytes and files.hash_file(folder / relative) == file.sha256


def _insert(store: Store, path: Path, state: RestoreProgress) -> list[rows.RowLine]:
    """Insert the rows of an item, except those of files that were not restored; return the ones left out."""
    line = _first_run(path)
    with store.writing() as connection:
        current = connection.execute(sa.select(run).where(run.c.id == state.item.run_id)).one_or_none()
        if line is not None and current is None:
            left: list[rows.RowLine] = []
            rows.insert(connection, _restorable(store, connection, path, state, left))
            return left
        if line is not None:
            # The rows were not deleted, or a restore was interrupted before it removed its copy of them.
            if not state.undo:
                shown = sa.update(run).where(run.c.id == state.item.run_id)
                connection.execute(shown.values(deleted_at=None))
            return []
        return [each for each in rows.read(path) if not _insert_artifact(store, connection, each, state)]


def _restorable(
    store: Store, connection: Connection, path: Path, state: RestoreProgress, left: list[rows.RowLine]
) -> Iterator[rows.RowLine]:
    """Yield the rows of a run to insert; rows of files that were not restored are added to `left`."""
    paths = {file.path for file in state.item.files}
    for line in rows.read(path):
        row: dict[str, Any] = line["row"]
        if line["table"] == "artifact" and row["path"] in state.not_restored:
            _report_file(state, row["path"])
            left.append(line)
        elif line["table"] == "run":
            key = row.get("idempotency_key")
            used = key and connection.execute(sa.select(run.c.id).where(run.c.idempotency_key == key)).first()
            deleted_at = row["deleted_at"] if state.undo else None
            yield {"table": "run", "row": {**row, "deleted_at": deleted_at, "idempotency_key": None if used else key}}
        elif line["table"] == "artifact" and row["path"] in paths:
            yield {"table": "artifact", "row": {**row, "directory_id": store.directory_id}}
        else:
            yield line


def _insert_artifact(store: Store, connection: Connection, line: rows.RowLine, state: RestoreProgress) -> bool:
    """Insert the row of a restored file; return False where it stays in the trash."""
    row = line["row"]
    key = (artifact.c.run_id == row["run_id"], artifact.c.kind == row["kind"], artifact.c.step == row["step"])
    current = connection.execute(sa.select(artifact).where(*key)).one_or_none()
    if rows.is_stored(current, line, but=("directory_id",)):
        return True
    if row["path"] in state.not_restored:
        _report_file(state, row["path"])
        return False
    if current is not None:
        state.skip(row["path"], "another file has its place in the database, and is not overwritten")
        return False
    rows.insert(connection, [{"table": "artifact", "row": {**row, "directory_id": store.directory_id}}])
    return True


def _report_file(state: RestoreProgress, path: str) -> None:
    if not any(skipped.path == path for skipped in state.skipped):
        state.skip(path, state.not_restored[path])
