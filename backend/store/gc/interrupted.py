"""Complete deletions that were interrupted: the files whose rows are gone, and the folders of removed runs."""

from __future__ import annotations

import os
from datetime import timedelta

import sqlalchemy as sa

from backend.store import run_folders
from backend.store.clock import ago
from backend.store.database import Store
from backend.store.gc import files, restore, trash
from backend.store.gc.files import Ineligible
from backend.store.gc.trash import TrashedItem, TrashFolder
from backend.store.models import artifact, run


def complete(store: Store) -> None:
    """Move to the trash the files that a clean-up left in place because it was killed after it had deleted the rows.

    The caller holds the lock of the trash.
    """
    for entry in trash.list_entries(store):
        for item in entry.manifest.items:
            if entry.has_rows(item):
                _complete_item(store, entry, item)


def _complete_item(store: Store, entry: TrashFolder, item: TrashedItem) -> None:
    with store.reading() as connection:
        current = connection.execute(sa.select(run.c.id).where(run.c.id == item.run_id)).one_or_none()
        named = set(connection.execute(sa.select(artifact.c.path).where(artifact.c.run_id == item.run_id)).scalars())
    if item.kind == "deleted-run" and current is not None:
        return  # its rows were not deleted
    for file in item.files:
        # Only a file with the hash in the manifest; anything else is left.
        if file.path not in named and restore.is_unchanged(store.data_dir, file.path, file):
            path = files.resolve_inside(store.data_dir, file.path)
            if restore.is_unchanged(entry.folder, f"files/{file.path}", file):
                path.unlink()  # the move was interrupted: both names are this file
            elif not os.path.lexists(entry.file(file.path)):
                files.move(path, entry.file(file.path))
    if item.kind == "deleted-run":
        remove_run_folder(store, str(item.run_id))


def remove_run_folder(store: Store, run_id: str) -> None:
    """Remove the folder of a run, if it is empty, and its registration; do nothing where a link is in its path."""
    try:
        folder = files.resolve_inside(store.data_dir, f"runs/{run_id}")
    except Ineligible:
        return
    if files.remove_empty_folders(folder):
        run_folders.unregister(store, run_id)


def unregister_removed_folders(store: Store) -> None:
    """Remove the registrations of folders whose run is removed too; a missing folder of an existing run is kept."""
    with store.reading() as connection:
        known = set(connection.execute(sa.select(run.c.id)).scalars())
    # An import registers its folder shortly before it fills it, so younger registrations are kept.
    for run_id in run_folders.list_ids(store, before=ago(timedelta(days=1))) - known:
        remove_run_folder(store, run_id)
