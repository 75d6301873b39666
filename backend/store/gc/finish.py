"""What is left to do after files were moved: folders that became empty, and what a killed clean-up left behind."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from backend.store import run_folders
from backend.store.clock import text_of
from backend.store.database import Store
from backend.store.gc import files, restore, trash
from backend.store.gc.files import Ineligible
from backend.store.gc.trash import Entry, TrashedItem
from backend.store.models import artifact, run


def finish(store: Store) -> None:
    """Move to the trash what an earlier clean-up left in place when it was killed after it had deleted the rows.

    The caller holds the lock of the trash.
    """
    for entry in trash.entries(store):
        for item in entry.manifest.items:
            if entry.has_rows(item):
                _finish_item(store, entry, item)


def _finish_item(store: Store, entry: Entry, item: TrashedItem) -> None:
    with store.reading() as connection:
        current = connection.execute(sa.select(run.c.id).where(run.c.id == item.run_id)).one_or_none()
        named = set(connection.execute(sa.select(artifact.c.path).where(artifact.c.run_id == item.run_id)).scalars())
    if item.kind == "deleted-run" and current is not None:
        return  # its rows were never deleted
    for file in item.files:
        # Only the very file that the manifest names; anything else is left.
        if file.path not in named and restore.is_whole(store.data_dir, file.path, file):
            path = files.inside(store.data_dir, file.path)
            if restore.is_whole(entry.folder, f"files/{file.path}", file):
                path.unlink()  # moved halfway, both names are of it
            elif not os.path.lexists(entry.file(file.path)):
                files.move(path, entry.file(file.path))
    if item.kind == "deleted-run":
        forget_folder(store, str(item.run_id))


def forget_folder(store: Store, run_id: str) -> None:
    """Remove a run's folder once it is empty, and its registration with it; nothing where a link is in the way."""
    try:
        folder = files.inside(store.data_dir, f"runs/{run_id}")
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
