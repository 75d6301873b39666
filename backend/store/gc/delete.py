"""Carrying a plan out: each item is checked once more and moved to the trash, rows before files.

The order, for items with database rows: the manifest and the rows are durable in the trash; one transaction checks the
item again and deletes the rows; then the files are moved. So no row ever names a missing file, and a crash at any
moment leaves everything either in its place or in the trash: the next clean-up moves what a crash left behind, a
restore brings back what is there. (A machine that loses power may forget SQLite's last commit: the rows are back then
and the files in the trash, and a restore brings those to them.)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from backend.store import run_folders
from backend.store.clock import text_of
from backend.store.database import Store
from backend.store.gc import eligible, files, plans, restore, rows, trash
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
"""Is told how many items are done, of how many."""


def delete(
    store: Store,
    plan_id: str,
    *,
    stopped: Callable[[], bool] = lambda: False,
    progress: Progress = lambda _done, _all: None,
) -> CleanupResult:
    """Move what a plan names to the trash, as far as it is still eligible, and empty what is there for a week.

    `stopped` is asked between items. Raises NotFound or Conflict where the plan cannot be used.
    """
    with trash.locked(store):
        plan = plans.get(store, plan_id)
        complete_interrupted(store)
        checked: list[CheckedItem] = []
        for item in plan.items:
            if stopped():
                return CleanupResult(moved=(), skipped=(), stopped=True)
            checked.append(_checked(store, item, len(checked)))
        plan = plans.claim(store, plan_id)
        done = _move_items(store, plan, checked, stopped, progress)
        unregister_gone(store)
        trash.empty_expired(store)
        return done


def _move_items(
    store: Store, plan: CleanupPlan, checked: Sequence[CheckedItem], stopped: Callable[[], bool], progress: Progress
) -> CleanupResult:
    outcomes = [CleanupResult(moved=(), skipped=tuple(each.skipped)) for each in checked]
    wanted = [each for each in checked if each.trashed is not None]
    if not wanted:
        return merge_results(outcomes)
    entry = trash.make_entry(store, plan, [each.trashed for each in wanted if each.trashed is not None])
    ended = False
    for number, each in enumerate(wanted):
        progress(number, len(wanted))
        ended = stopped()
        if ended:
            break
        outcomes.append(_move_item(store, entry, each))
    else:
        progress(len(wanted), len(wanted))
    if entry.is_empty():
        trash.discard(entry)
        return merge_results(outcomes, stopped=ended)
    return merge_results(outcomes, entry=entry.name, stopped=ended)


@dataclass(frozen=True, slots=True)
class CheckedItem:
    """An item that was looked at again: what of it goes to the trash, and what does not."""

    item: PlannedItem
    trashed: TrashedItem | None
    skipped: list[SkippedItem]

    @property
    def files(self) -> list[PlannedFile]:
        """The files of the item that go to the trash."""
        paths = {file.path for file in self.trashed.files} if self.trashed else set()
        return [file for file in self.item.files if file.path in paths]


def _checked(store: Store, item: PlannedItem, number: int) -> CheckedItem:
    """Look at an item's files again and find out the hashes of those that are as they were."""
    found: list[TrashedFile] = []
    skipped: list[SkippedItem] = []
    device = trash.make_folder(store).stat().st_dev
    for file in item.files:
        try:
            files.require_unchanged(store.data_dir, file)
            if files.stat_file(store.data_dir, file.path).st_dev != device:
                raise Ineligible("it is on another file system than the trash; remove it by hand")
            path = files.resolve_inside(store.data_dir, file.path)
            sha256 = file.sha256 or files.hash_file(path)
            found.append(
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
    if (whole and skipped) or not (found or item.kind == "deleted-run"):
        return CheckedItem(item, None, skipped)
    with_rows = item.kind in ("deleted-run", "captures", "checkpoints")
    name = f"{number:06d}.jsonl" if with_rows else None
    return CheckedItem(item, TrashedItem(kind=item.kind, run_id=item.run_id, files=tuple(found), rows=name), skipped)


def _move_item(store: Store, entry: TrashFolder, checked: CheckedItem) -> CleanupResult:
    """Move one item to the trash, or leave it and say why."""
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
            moved=(), skipped=(SkippedItem(kind=item.kind, run_id=item.run_id, path=None, reason=str(error)),)
        )
    if item.kind in ("deleted-run", "folder-without-run"):
        forget_folder(store, str(item.run_id))
    elif item.kind == "unfinished-import":
        for name in {PurePosixPath(file.path).parts[1] for file in item.files}:
            files.remove_empty_folders(store.data_dir / "imports" / name)
    return done


def _outcome(item: PlannedItem, moved: Sequence[PlannedFile], skipped: Sequence[SkippedItem] = ()) -> CleanupResult:
    size = sum(file.size_bytes for file in moved)
    held = (MovedItem(kind=item.kind, run_id=item.run_id, count=len(moved), size_bytes=size),)
    return CleanupResult(moved=held if moved or item.kind == "deleted-run" else (), skipped=tuple(skipped))


def _delete_run(store: Store, entry: TrashFolder, checked: CheckedItem) -> CleanupResult:
    """Move a deleted run with all its rows and files; it is left whole where anything differs from the preview."""
    item, trashed = checked.item, checked.trashed
    path = entry.rows(trashed) if trashed else None
    if trashed is None or path is None or item.run_id is None:
        raise Ineligible("nothing of it can be moved")
    rows.write(path, rows.run_lines(store, item.run_id))
    try:
        with store.writing() as connection:
            _require_still_deleted(store, connection, item, next(rows.read(path), None))
            _require_own_folder(store, connection, item)
            connection.execute(run.delete().where(run.c.id == item.run_id))
    except Ineligible:
        # Only where nothing was deleted for certain: after a broken commit the rows may be in this file alone.
        path.unlink()
        raise
    _move_files(store, entry, trashed, trashed.files)
    return _outcome(item, item.files)


def _require_still_deleted(store: Store, connection: Connection, item: PlannedItem, line: rows.RowLine | None) -> None:
    """Raise Ineligible where a run is not the one that was previewed, deleted and in no use."""
    current = _locked_run(connection, item.run_id)
    if current is None or line is None:
        raise Ineligible("the run is gone already")
    if current.deleted_at != item.deleted_at:
        raise Ineligible("the run was restored since the preview")
    if current.status not in ENDED or not rows.is_stored(current, line):
        raise Ineligible("the run changed since the preview")
    if connection.execute(eligible.has_foreign_files(store, current.id)).first():
        raise Ineligible(eligible.ELSEWHERE)


def _require_own_folder(store: Store, connection: Connection, item: PlannedItem) -> None:
    """Raise Ineligible where a run's folder is not this directory's, or is not what was previewed."""
    here = run_folders.is_registered_in(connection, store, str(item.run_id))
    if item.files and not here:
        raise Ineligible("this data directory does not have the run's folder registered any more")
    present = files.files_below(store.data_dir, f"runs/{item.run_id}")
    if not here and present:
        raise Ineligible("this data directory did not register the run's folder")
    if present != sorted(file.path for file in item.files):
        raise Ineligible("files came or went since the preview")
    for file in item.files:
        files.require_unchanged(store.data_dir, file)


def _delete_artifacts(store: Store, entry: TrashFolder, checked: CheckedItem) -> CleanupResult:
    """Move captures or checkpoints of a finished run with their rows; files that changed are left."""
    item, trashed = checked.item, checked.trashed
    path = entry.rows(trashed) if trashed else None
    if trashed is None or path is None:
        raise Ineligible("nothing of it can be moved")
    with store.reading() as connection:
        own = sa.select(artifact).where(artifact.c.run_id == item.run_id)
        held = {row.path: row for row in connection.execute(own)}
    wanted = [file for file in trashed.files if file.path in held]
    rows.write(path, (rows.line_of("artifact", held[file.path]) for file in wanted))
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
                    if not connection.execute(_artifact_row(store, item, file)).rowcount:
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
    return _outcome(item, moved, skipped)


def _artifact_row(store: Store, item: PlannedItem, file: PlannedFile) -> sa.Delete:
    key = (artifact.c.run_id == item.run_id, artifact.c.kind == file.artifact, artifact.c.step == file.step)
    own = sa.or_(artifact.c.directory_id.is_(None), artifact.c.directory_id == store.directory_id)
    return artifact.delete().where(*key, artifact.c.path == file.path, artifact.c.sha256 == file.sha256, own)


def _delete_strays(store: Store, entry: TrashFolder, checked: CheckedItem) -> CleanupResult:
    """Move files that no row names, while the transaction keeps the run from being queued again."""
    item = checked.item
    moved: list[PlannedFile] = []
    skipped: list[SkippedItem] = []
    with store.writing() as connection:
        named = _require_no_writer(store, connection, item)
        for file in checked.files:
            try:
                files.require_unchanged(store.data_dir, file)
                if file.path in named:
                    raise Ineligible("it got its row since the preview")
                if not files.is_old(store.data_dir, file.path):
                    raise Ineligible("it is younger than a day")
                files.move(files.resolve_inside(store.data_dir, file.path), entry.file(file.path))
                moved.append(file)
            except (Ineligible, OSError) as error:
                skipped.append(SkippedItem(kind=item.kind, run_id=item.run_id, path=file.path, reason=str(error)))
    return _outcome(item, moved, skipped)


def _require_no_writer(store: Store, connection: Connection, item: PlannedItem) -> frozenset[str]:
    """Return the files of the item's run that have a row; raises Ineligible where something may still write there."""
    if item.run_id is None:
        return frozenset()
    if not run_folders.is_registered_in(connection, store, item.run_id):
        raise Ineligible("this data directory does not have the run's folder registered any more")
    current = _locked_run(connection, item.run_id)
    if item.kind == "folder-without-run":
        if current is not None:
            raise Ineligible("the run is in the database again")
        if files.files_below(store.data_dir, f"runs/{item.run_id}") != sorted(file.path for file in item.files):
            raise Ineligible("files came or went since the preview")
    elif current is None or current.status not in ENDED or current.deleted_at is not None:
        raise Ineligible("the run was queued again, deleted or removed since the preview")
    named = sa.select(artifact.c.path).where(artifact.c.run_id == item.run_id)
    return frozenset(connection.execute(named).scalars())


def _locked_run(connection: Connection, run_id: str | None) -> sa.Row[Any] | None:
    """Return a run's row, which nobody else changes until the transaction ends."""
    return connection.execute(sa.select(run).where(run.c.id == run_id).with_for_update()).one_or_none()


def _move_files(store: Store, entry: TrashFolder, item: TrashedItem, wanted: Sequence[TrashedFile]) -> None:
    """Move files whose rows are gone; where one cannot be moved, all of the item comes back with its rows."""
    try:
        for file in wanted:
            files.move(files.resolve_inside(store.data_dir, file.path), entry.file(file.path))
    except (Ineligible, OSError) as error:
        restore.restore_item(store, entry, item, undo=True)
        raise Ineligible(f"a file could not be moved to the trash, and nothing was removed: {error}") from error


def complete_interrupted(store: Store) -> None:
    """Move to the trash what an earlier clean-up left in place when it was killed after it had deleted the rows.

    The caller holds the lock of the trash.
    """
    for entry in trash.list_entries(store):
        for item in entry.manifest.items:
            if entry.has_rows(item):
                _finish_item(store, entry, item)


def _finish_item(store: Store, entry: TrashFolder, item: TrashedItem) -> None:
    with store.reading() as connection:
        current = connection.execute(sa.select(run.c.id).where(run.c.id == item.run_id)).one_or_none()
        named = set(connection.execute(sa.select(artifact.c.path).where(artifact.c.run_id == item.run_id)).scalars())
    if item.kind == "deleted-run" and current is not None:
        return  # its rows were never deleted
    for file in item.files:
        # Only the very file that the manifest names; anything else is left.
        if file.path not in named and restore.is_unchanged(store.data_dir, file.path, file):
            path = files.resolve_inside(store.data_dir, file.path)
            if restore.is_unchanged(entry.folder, f"files/{file.path}", file):
                path.unlink()  # moved halfway, both names are of it
            elif not os.path.lexists(entry.file(file.path)):
                files.move(path, entry.file(file.path))
    if item.kind == "deleted-run":
        forget_folder(store, str(item.run_id))


def forget_folder(store: Store, run_id: str) -> None:
    """Remove a run's folder once it is empty, and its registration with it; nothing where a link is in the way."""
    try:
        folder = files.resolve_inside(store.data_dir, f"runs/{run_id}")
    except Ineligible:
        return
    if files.remove_empty_folders(folder):
        run_folders.unregister(store, run_id)


def unregister_gone(store: Store) -> None:
    """Unregister folders that are gone together with their run; those of existing runs may be unmounted."""
    with store.reading() as connection:
        known = set(connection.execute(sa.select(run.c.id)).scalars())
    # An import registers its folder some moments before there is anything in it.
    for run_id in run_folders.registered(store, before=text_of(datetime.now(UTC) - timedelta(days=1))) - known:
        forget_folder(store, run_id)
