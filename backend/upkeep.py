"""Freeing what is not needed: runs deleted a week ago, files that no row names, and, by a rule that the user gives,
some of the geometry and the checkpoints of finished runs. Nothing is freed that was not listed first.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from backend.errors import Invalid
from backend.store import artifacts, query
from backend.store.database import Store
from backend.store.models import artifact, run

KEPT_DAYS = 7
"""So long can a deleted run be restored."""
STRAY_S = 3600.0
"""A file without a row may be about to get one; after so long it will not."""
MOST_RUNS = 100_000


@dataclass(frozen=True, slots=True)
class Item:
    """Something that can be freed: a deleted run whole, some files of a run, or files of nobody."""

    what: str
    run_id: str | None
    size_bytes: int
    count: int
    rows: tuple[sa.Row[Any], ...] = ()
    paths: tuple[Path, ...] = ()

    def facts(self) -> dict[str, Any]:
        """Return what is told of it."""
        return {"what": self.what, "run_id": self.run_id, "size_bytes": self.size_bytes, "count": self.count}


def plan(store: Store, *, thin_geometry: int | None = None, checkpoints: bool = False, q: str = "") -> list[Item]:
    """Return what can be freed.

    With `thin_geometry` = n every n-th capture of finished runs is kept, and the first and the last; with `checkpoints`
    none of theirs is. `q` is a filter: only these runs are thinned. Raises Invalid for an n below 2.
    """
    if thin_geometry is not None and thin_geometry < 2:
        raise Invalid(f"thin_geometry keeps every n-th capture, n at least 2, got {thin_geometry}")
    found = [*_deleted(store), *_strays(store)]
    if thin_geometry is not None or checkpoints:
        for run_id in query.matching_ids(store, f"{q} status:finished", MOST_RUNS):
            if thin_geometry is not None:
                found += _files(run_id, "captures of a finished run", _between(store, run_id, thin_geometry))
            if checkpoints:
                held = artifacts.rows(store, run_id, "checkpoint")
                found += _files(run_id, "checkpoints of a finished run", held)
    return found


def free(store: Store, items: Sequence[Item]) -> None:
    """Free what was planned: rows first, so that no row names a file that is gone."""
    for item in items:
        if item.what == DELETED:
            with store.writing() as connection:
                # Only where it was not restored meanwhile.
                gone = connection.execute(run.delete().where(run.c.id == item.run_id, run.c.deleted_at.is_not(None)))
            if not gone.rowcount:
                continue
        artifacts.remove(store, item.rows)
        for path in item.paths:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


DELETED = "deleted run"


def _deleted(store: Store) -> Iterator[Item]:
    before = (datetime.now(UTC) - timedelta(days=KEPT_DAYS)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    with store.reading() as connection:
        ids = list(connection.execute(sa.select(run.c.id).where(run.c.deleted_at < before)).scalars())
    for run_id in ids:
        folder = artifacts.resolve(store, f"runs/{run_id}")
        files = [path for path in folder.rglob("*") if path.is_file()]
        yield Item(DELETED, run_id, sum(path.stat().st_size for path in files), 1, paths=(folder,))


def _strays(store: Store) -> Iterator[Item]:
    """Yield files that no row names, and what was left of imports."""
    with store.reading() as connection:
        named = set(connection.execute(sa.select(artifact.c.path)).scalars())
        known = set(connection.execute(sa.select(run.c.id)).scalars())
    old = time.time() - STRAY_S
    for folder in sorted((store.data_dir / "runs").glob("*")):
        files = [path for path in folder.glob("*") if path.is_file()]
        if folder.name in known:
            files = [
                f
                for f in files
                if f.suffix in (".safetensors", ".partial") and f"runs/{folder.name}/{f.name}" not in named
            ]
        stray = [path for path in files if _changed(path) < old]
        if stray and folder.name not in known:
            yield Item("files of no run", folder.name, _size(stray), len(stray), paths=(folder,))
        elif stray:
            yield Item("files that no event speaks of", folder.name, _size(stray), len(stray), paths=tuple(stray))
    left = [path for path in (store.data_dir / "imports").glob("*.partial") if _changed(path) < old]
    if left:
        yield Item("what is left of imports", None, _size(left), len(left), paths=tuple(left))


def _changed(path: Path) -> float:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_mtime
    return float("inf")


def _size(paths: Sequence[Path]) -> int:
    files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])]
    return sum(file.stat().st_size for file in files if file.is_file())


def _between(store: Store, run_id: str, every: int) -> list[sa.Row[Any]]:
    held = artifacts.rows(store, run_id, "geometry")[::-1]
    return [row for place, row in enumerate(held[:-1]) if place % every]


def _files(run_id: str, what: str, rows: Sequence[sa.Row[Any]]) -> list[Item]:
    size = sum(row.size_bytes for row in rows)
    return [Item(what, run_id, size, len(rows), rows=tuple(rows))] if rows else []
