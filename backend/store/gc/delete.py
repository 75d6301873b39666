"""Execute a plan: check each item again and move it to the trash, rows before files.

The order for items with database rows: the manifest and the rows are made durable in the trash; one transaction checks
the item again and deletes its rows; then its files are moved. Therefore no row ever names a missing file, and a crash
at any moment leaves everything either in its place or in the trash: the next clean-up completes an interrupted one, and
a restore moves back what is in the trash. (After a power failure SQLite may lose its last commit: the rows exist then
and the files are in the trash, from which a restore moves them back.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from backend.store import run_folders
from backend.store.database import Store
from backend.store.gc import eligible, files, interrupted, plans, restore, rows, trash
from backend.store.gc.files import Ineligible
from backend.store.gc.plans import (
    CleanupPlan,
    CleanupResult,
    MovedItem,
    PlannedFile,
    PlannedItem,
    SkippedItem,
    merge_results,
)
from backend.store.gc.trash import TrashedFile, TrashedItem, TrashFolder
from backend.store.models import artifact, run
from backend.store.run_status import ENDED

Progress = Callable[[int, int], None]
"""Called with the number of items done and their total."""


def execute_plan(
    store: Store,
    plan_id: str,
    *,
    stopped: Callable[[], bool] = lambda: False,
    progress: Progress = lambda _done, _all: None,
) -> CleanupResult:
    """Move the items of a plan to the trash, as far as they are still eligible, and empty expired entries.

    `stopped` is called between items. Raises NotFound or Conflict where the plan cannot be used.
    """
    with trash.hold_lock(store):
        plan = plans.get(store, plan_id)
        interrupted.complete(store)
        checked: list[CheckedItem] = []
        for item in plan.items:
            if stopped():
                return CleanupResult(items=(), skipped=(), stopped=True)
            checked.append(_check_item(store, item, len(checked)))
        plan = plans.claim(store, plan_id)
        done = _move_items(store, plan, checked, stopped, progress)
        interrupted.unregister_removed_folders(store)
        trash.empty_expired(store)
        return done


def _move_items(
    store: Store, plan: CleanupPlan, checked: Sequence[CheckedItem], stopped: Callable[[], bool], progress: Progress
) -> CleanupResult:
    results = [CleanupResult(items=(), skipped=tuple(each.skipped)) for each in checked]
    movable = [each for each in checked if each.trashed is not None]
    if not movable:
        return merge_results(results)
    entry = trash.create_entry(store, plan, [each.trashed for each in movable if each.trashed is not None])
    was_stopped = False
    for number, each in enumerate(movable):
        progress(number, len(movable))
        was_stopped = stopped()
        if was_stopped:
            break
        results.append(_move_item(store, entry, each))
    else:
        progress(len(movable), len(movable))
    if entry.is_empty():
        trash.discard(entry)
        return merge_results(results, stopped=was_stopped)
    return merge_results(results, entry=entry.name, stopped=was_stopped)


@dataclass(frozen=True, slots=True)
class CheckedItem:
    """An item that was checked again: the part that is moved to the trash, and the files that are skipped."""

    item: PlannedItem
    trashed: TrashedItem | None
    skipped: list[SkippedItem]

    @property
    def files(self) -> list[PlannedFile]:
        """The files of the item that are moved to the trash."""
        paths = {file.path for file in self.trashed.files} if self.trashed else set()
        return [file for file in self.item.files if file.path in paths]


def _check_item(store: Store, item: PlannedItem, number: int) -> CheckedItem:
    """Check the files of an item again and compute the hashes of those that did not change."""
    movable: list[TrashedFile] = []
    skipped: list[SkippedItem] = []
    device = trash.create_folder(store).stat().st_dev
    for file in item.files:
        try:
            files.require_unchanged(store.data_dir, file)
            if files.stat_file(store.data_dir, file.path).st_dev != device:
                raise Ineligible("it is on another file system than the trash; remove it by hand")
            path = files.resolve_inside(store.data_dir, file.path)
            sha256 = file.sha256 or files.hash_file(path)
            movable.append(
                TrashedFile(
                    path=file.path,
                    size_bytes=file.size_bytes,
                    sha256=sha256,
                    artifact=file.artifact,
                    step=file.step,
                )
            )
        except Ineligible as error:
            skipped.append(SkippedItem(kind=item.kind, run_id=item.run_id, path=file.path, reason=str(error)))
    whole = item.kind in ("deleted-run", "folder-without-run")
    if (whole and skipped) or not (movable or item.kind == "deleted-run"):
        return CheckedItem(item, None, skipped)
    with_rows = item.kind in ("deleted-run", "captures", "checkpoints")
    name = f"{number:06d}.jsonl" if with_rows else None
    return CheckedItem(item, TrashedItem(kind=item.kind, run_id=item.run_id, files=tuple(movable), rows=name), skipped)


def _move_item(store: Store, entry: TrashFolder, checked: CheckedItem) -> CleanupResult:
    """Move one item to the trash, or skip it with the reason."""
    item = checked.item
    try:
        if item.kind == "deleted-run":
            done = _delete_run(store, entry, checked)
        elif item.kind in ("captures", "checkpoints"):
            done = _delete_artifacts(store, entry, checked)
        else:
            done = _delete_strays(store, entry, checked)
    except Ineligible as error:
        return CleanupResult(
            items=(), skipped=(SkippedItem(kind=item.kind, run_id=item.run_id, path=None, reason=str(error)),)
        )
    if item.kind in ("deleted-run", "folder-without-run"):
        interrupted.remove_run_folder(store, str(item.run_id))
    elif item.kind == "unfinished-import":
        for name in {PurePosixPath(file.path).parts[1] for file in item.files}:
            files.remove_empty_folders(store.data_dir / "imports" / name)
    return done


def _result(item: PlannedItem, moved: Sequence[PlannedFile], skipped: Sequence[SkippedItem] = ()) -> CleanupResult:
    size = sum(file.size_bytes for file in moved)
    summary = (MovedItem(kind=item.kind, run_id=item.run_id, count=len(moved), size_bytes=size),)
    return CleanupResult(items=summary if moved or item.kind == "deleted-run" else (), skipped=tuple(skipped))


def _delete_run(store: Store, entry: TrashFolder, checked: CheckedItem) -> CleanupResult:
    """Move a deleted run with all its rows and files, or nothing where anything differs from the preview."""
    item, trashed = checked.item, checked.trashed
    path = entry.rows(trashed) if trashed else None
    if trashed is None or path is None or item.run_id is None:
        raise Ineligible("nothing of it can be moved")
    rows.write(path, rows.read_run_lines(store, item.run_id))
    try:
        with store.writing() as connection:
            _require_still_deleted(store, connection, item, next(rows.read(path), None))
            _require_own_folder(store, connection, item)
            connection.execute(run.delete().where(run.c.id == item.run_id))
    except Ineligible:
        # Safe: nothing was deleted. After a failed commit, the rows may exist only in this file, which is kept then.
        path.unlink()
        raise
    _move_files(store, entry, trashed, trashed.files)
    return _result(item, item.files)


def _require_still_deleted(store: Store, connection: Connection, item: PlannedItem, line: rows.RowLine | None) -> None:
    """Raise Ineligible where a run is not the one in the preview, still deleted and not in use."""
    current = _locked_run(connection, item.run_id)
    if current is None or line is None:
        raise Ineligible("the run is gone already")
    if current.deleted_at != item.deleted_at:
        raise Ineligible("the run was restored since the preview")
    if current.status not in ENDED or not rows.is_stored(current, line):
        raise Ineligible("the run changed since the preview")
    if connection.execute(eligible.select_foreign_files(store, current.id)).first():
        raise Ineligible(eligible.ELSEWHERE)


def _require_own_folder(store: Store, connection: Connection, item: PlannedItem) -> None:
    """Raise Ineligible where a run's folder is not registered here, or differs from the preview."""
    registered = run_folders.is_registered_in(connection, store, str(item.run_id))
    if item.files and not registered:
        raise Ineligible("this data directory does not have the run's folder registered any more")
    present = files.list_files(store.data_dir, f"runs/{item.run_id}")
    if not registered and present:
        raise Ineligible("this data directory did not register the run's folder")
    if present != sorted(file.path for file in item.files):
        raise Ineligible("files came or went since the preview")
    for file in item.files:
        files.require_unchanged(store.data_dir, file)


def _delete_artifacts(store: Store, entry: TrashFolder, checked: CheckedItem) -> CleanupResult:
    """Move captures or checkpoints of a finished run with their rows; files that changed are skipped."""
    item, trashed = checked.item, checked.trashed
    path = entry.rows(trashed) if trashed else None
    if trashed is None or path is None:
        raise Ineligible("nothing of it can be moved")
    with store.reading() as connection:
        of_run = sa.select(artifact).where(artifact.c.run_id == item.run_id)
        row_by_path = {row.path: row for row in connection.execute(of_run)}
    present = [file for file in trashed.files if file.path in row_by_path]
    rows.write(path, (rows.make_line("artifact", row_by_path[file.path]) for file in present))
    moved: list[PlannedFile] = []
    skipped: list[SkippedItem] = []
    try:
        with store.writing() as connection:
            current = _locked_run(connection, item.run_id)
            if current is None or current.status != "finished" or current.deleted_at is not None:
                raise Ineligible("the run was deleted since the preview, or is no longer finished")
            if not run_folders.is_registered_in(connection, store, str(item.run_id)):
                raise Ineligible("this data directory does not have the run's folder registered any more")
            for file in checked.files:
                try:
                    files.require_unchanged(store.data_dir, file)
                    if not connection.execute(_delete_artifact_row(store, item, file)).rowcount:
                        raise Ineligible("its row in the database is gone or changed since the preview")
                    moved.append(file)
                except Ineligible as error:
                    skipped.append(SkippedItem(kind=item.kind, run_id=item.run_id, path=file.path, reason=str(error)))
    except Ineligible:
        path.unlink()
        raise
    paths = {file.path for file in moved}
    _move_files(store, entry, trashed, [file for file in trashed.files if file.path in paths])
    if not moved:
        path.unlink()
    return _result(item, moved, skipped)


def _delete_artifact_row(store: Store, item: PlannedItem, file: PlannedFile) -> sa.Delete:
    key = (artifact.c.run_id == item.run_id, artifact.c.kind == file.artifact, artifact.c.step == file.step)
    is_local = sa.or_(artifact.c.directory_id.is_(None), artifact.c.directory_id == store.directory_id)
    return artifact.delete().where(*key, artifact.c.path == file.path, artifact.c.sha256 == file.sha256, is_local)


def _delete_strays(store: Store, entry: TrashFolder, checked: CheckedItem) -> CleanupResult:
    """Move files without a row; the transaction prevents the run from being queued meanwhile."""
    item = checked.item
    moved: list[PlannedFile] = []
    skipped: list[SkippedItem] = []
    with store.writing() as connection:
        with_row = _require_no_writer(store, connection, item)
        for file in checked.files:
            try:
                files.require_unchanged(store.data_dir, file)
                if file.path in with_row:
                    raise Ineligible("it got its row since the preview")
                if not files.is_old(store.data_dir, file.path):
                    raise Ineligible("it is younger than a day")
                files.move(files.resolve_inside(store.data_dir, file.path), entry.file(file.path))
                moved.append(file)
            except (Ineligible, OSError) as error:
                skipped.append(SkippedItem(kind=item.kind, run_id=item.run_id, path=file.path, reason=str(error)))
    return _result(item, moved, skipped)


def _require_no_writer(store: Store, connection: Connection, item: PlannedItem) -> frozenset[str]:
    """Return the files of the item's run that have a row; raises Ineligible where a worker may still write."""
    if item.run_id is None:
        return frozenset()
    if not run_folders.is_registered_in(connection, store, item.run_id):
        raise Ineligible("this data directory does not have the run's folder registered any more")
    current = _locked_run(connection, item.run_id)
    if item.kind == "folder-without-run":
        if current is not None:
            raise Ineligible("the run is in the database again")
        if files.list_files(store.data_dir, f"runs/{item.run_id}") != sorted(file.path for file in item.files):
            raise Ineligible("files came or went since the preview")
    elif current is None or current.status not in ENDED or current.deleted_at is not None:
        raise Ineligible("the run was queued again, deleted or removed since the preview")
    named = sa.select(artifact.c.path).where(artifact.c.run_id == item.run_id)
    return frozenset(connection.execute(named).scalars())


def _locked_run(connection: Connection, run_id: str | None) -> sa.Row[Any] | None:
    """Return a run's row, locked until the transaction ends."""
    return connection.execute(sa.select(run).where(run.c.id == run_id).with_for_update()).one_or_none()


def _move_files(store: Store, entry: TrashFolder, item: TrashedItem, selected: Sequence[TrashedFile]) -> None:
    """Move files whose rows are deleted; where one cannot be moved, restore the whole item with its rows."""
    try:
        for file in selected:
            files.move(files.resolve_inside(store.data_dir, file.path), entry.file(file.path))
    except (Ineligible, OSError) as error:
        restore.restore_item(store, entry, item, undo=True)
        raise Ineligible(f"a file could not be moved to the trash, and nothing was removed: {error}") from error
