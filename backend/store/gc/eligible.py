"""Find what can be removed from a data directory: only files in registered folders, and nothing that is in use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from backend.store import artifacts, data_directory, query, run_folders
from backend.store.clock import ago, now
from backend.store.database import Store
from backend.store.errors import Invalid
from backend.store.gc import files, plans
from backend.store.gc.files import Ineligible
from backend.store.gc.plans import CleanupPlan, CleanupRules, ItemKind, PlannedFile, PlannedItem, SkippedItem
from backend.store.models import artifact, event, run, run_folder
from backend.store.run_status import ENDED

RESTORABLE_DAYS = 7
"""How long a deleted run can be restored before clean-up may remove it."""
MAX_RUNS = 100_000
PLANNED_SUFFIXES = (".safetensors", ".partial")
"""Suffixes of the files that an artifact row should name; other files of a run are kept."""
ELSEWHERE = "it has files in another data directory of this store; delete one directory's files at a time there"


@dataclass(frozen=True, slots=True)
class EligibleItems:
    """What can be removed, and what was skipped with the reason."""

    items: tuple[PlannedItem, ...]
    skipped: tuple[SkippedItem, ...]


def find_eligible(store: Store, rules: CleanupRules) -> EligibleItems:
    """Return what can be removed now under the rules; change nothing."""
    items: list[PlannedItem] = []
    skipped: list[SkippedItem] = []
    registered = run_folders.list_ids(store)
    for result in (
        *_deleted_runs(store, registered),
        *_files_without_row(store, registered),
        *_unfinished_imports(store),
        *_by_rule(store, registered, rules),
    ):
        if isinstance(result, PlannedItem):
            items.append(result)
        else:
            skipped.append(result)
    return EligibleItems(tuple(items), tuple(skipped))


def select_foreign_files(store: Store, run_id: str) -> sa.Select[Any]:
    """Return the query for a file of the run that is in another data directory."""
    foreign = (artifact.c.directory_id.is_not(None), artifact.c.directory_id != store.directory_id)
    return sa.select(artifact.c.path).where(artifact.c.run_id == run_id, *foreign).limit(1)


def _deleted_runs(store: Store, registered: frozenset[str]) -> Iterator[PlannedItem | SkippedItem]:
    """Yield runs, as a whole, that were deleted a week ago and have all their files in this directory."""
    before = ago(timedelta(days=RESTORABLE_DAYS))
    old = sa.select(run.c.id, run.c.deleted_at).where(run.c.deleted_at < before, run.c.status.in_(ENDED))
    with store.reading() as connection:
        rows = list(connection.execute(old.order_by(run.c.deleted_at)))
        foreign = {row.id for row in rows if connection.execute(select_foreign_files(store, row.id)).first()}
        elsewhere = set(connection.execute(sa.select(run_folder.c.run_id)).scalars()) - registered
        with_files = set(connection.execute(sa.select(artifact.c.run_id).distinct()).scalars())
    for row in rows:
        folder = f"runs/{row.id}"
        try:
            if row.id in foreign:
                raise Ineligible(ELSEWHERE)
            if row.id not in registered:
                if row.id in elsewhere:
                    continue  # left to the directory that has its folder
                if row.id in with_files or files.resolve_inside(store.data_dir, folder).exists():
                    raise Ineligible(f"this data directory did not register the folder {folder}")
            planned = [files.plan_file(store.data_dir, path) for path in files.list_files(store.data_dir, folder)]
            yield PlannedItem(kind="deleted-run", run_id=row.id, files=tuple(planned), deleted_at=row.deleted_at)
        except Ineligible as error:
            yield SkippedItem(kind="deleted-run", run_id=row.id, path=None, reason=str(error))


def _files_without_row(store: Store, registered: frozenset[str]) -> Iterator[PlannedItem | SkippedItem]:
    """Yield the files in registered folders that are older than a day and have no row, except of runs in use."""
    with store.reading() as connection:
        known = {row.id: row for row in connection.execute(sa.select(run.c.id, run.c.status, run.c.deleted_at))}
    for run_id in sorted(registered):
        row, folder = known.get(run_id), f"runs/{run_id}"
        kind: ItemKind = "folder-without-run" if row is None else "files-without-row"
        if row is not None and (row.status not in ENDED or row.deleted_at is not None):
            continue  # a worker may still write, or the folder is removed as a whole
        try:
            paths = files.list_files(store.data_dir, folder)
            if row is None:
                if not all(files.is_old(store.data_dir, path) for path in paths):
                    continue
            else:
                named = _named(store, run_id)
                paths = [path for path in paths if path.endswith(PLANNED_SUFFIXES) and path not in named]
                paths = [path for path in paths if files.is_old(store.data_dir, path)]
            if paths:
                planned = tuple(files.plan_file(store.data_dir, path) for path in paths)
                yield PlannedItem(kind=kind, run_id=run_id, files=planned)
        except Ineligible as error:
            yield SkippedItem(kind=kind, run_id=run_id, path=None, reason=str(error))


def _named(store: Store, run_id: str) -> frozenset[str]:
    with store.reading() as connection:
        return frozenset(connection.execute(sa.select(artifact.c.path).where(artifact.c.run_id == run_id)).scalars())


def _unfinished_imports(store: Store) -> Iterator[PlannedItem | SkippedItem]:
    """Yield the folders of interrupted imports in which everything is older than a day."""
    try:
        folder = files.resolve_inside(store.data_dir, "imports")
        if folder.is_symlink():
            raise Ineligible("imports is a symbolic link; links are not followed")
        names = sorted(path.name for path in folder.glob("*.partial")) if folder.is_dir() else []
    except Ineligible as error:
        yield SkippedItem(kind="unfinished-import", run_id=None, path=None, reason=str(error))
        return
    for name in names:
        relative = f"imports/{name}"
        try:
            is_folder = files.resolve_inside(store.data_dir, relative).is_dir()
            paths = files.list_files(store.data_dir, relative) if is_folder else [relative]
            if paths and all(files.is_old(store.data_dir, path) for path in paths):
                planned = tuple(files.plan_file(store.data_dir, path) for path in paths)
                yield PlannedItem(kind="unfinished-import", run_id=None, files=planned)
        except Ineligible as error:
            path = files.escape_undecodable(relative)
            yield SkippedItem(kind="unfinished-import", run_id=None, path=path, reason=str(error))


def _by_rule(store: Store, registered: frozenset[str], rules: CleanupRules) -> Iterator[PlannedItem | SkippedItem]:
    """Yield the captures and checkpoints of finished runs that the rules select."""
    if rules.thin_geometry is None and not rules.checkpoints:
        return
    for run_id in query.list_matching_ids(store, f"{rules.q} status:finished", MAX_RUNS):
        if run_id not in registered:
            continue
        if rules.thin_geometry is not None:
            yield from _artifacts(store, run_id, "captures", _between(store, run_id, rules.thin_geometry))
        if rules.checkpoints:
            yield from _artifacts(store, run_id, "checkpoints", artifacts.list_rows(store, run_id, "checkpoint"))


def _between(store: Store, run_id: str, every: int) -> list[sa.Row[Any]]:
    """Return the captures that thinning removes: all but every n-th that the run ever made, and the last one."""
    made = sa.select(event.c.seq).where(event.c.run_id == run_id, event.c.type == "GeometryCaptured")
    with store.reading() as connection:
        # Counted among all captures ever made, so that applying the same rule twice removes nothing more.
        index_by_seq = {
            seq: index for index, seq in enumerate(connection.execute(made.order_by(event.c.seq)).scalars())
        }
    captures = artifacts.list_rows(store, run_id, "geometry")[::-1]
    return [row for row in captures[:-1] if index_by_seq.get(row.seq, 0) % every]


def _artifacts(
    store: Store, run_id: str, kind: ItemKind, rows: Sequence[sa.Row[Any]]
) -> Iterator[PlannedItem | SkippedItem]:
    planned: list[PlannedFile] = []
    for row in rows:
        try:
            if row.directory_id not in (None, store.directory_id):
                raise Ineligible("another data directory of this store holds it")
            file = files.plan_file(store.data_dir, row.path)
            if file.size_bytes != row.size_bytes:
                raise Ineligible(f"it has {file.size_bytes} bytes and should have {row.size_bytes}")
            planned.append(file.model_copy(update={"artifact": row.kind, "step": row.step, "sha256": row.sha256}))
        except Ineligible as error:
            yield SkippedItem(kind=kind, run_id=run_id, path=row.path, reason=str(error))
    if planned:
        yield PlannedItem(kind=kind, run_id=run_id, files=tuple(planned))


def create_plan(store: Store, rules: CleanupRules) -> CleanupPlan:
    """Find what can be removed and store it as a plan; nothing is removed.

    Raises Invalid for a filter without a rule to which it applies.
    """
    if rules.q and rules.thin_geometry is None and not rules.checkpoints:
        raise Invalid(
            f"the filter {rules.q!r} says to which runs a rule applies, and there is none; give thin_geometry or "
            "checkpoints too"
        )
    eligible = find_eligible(store, rules)
    plan = CleanupPlan(
        id=data_directory.make_store_id(),
        directory_id=store.directory_id,
        created_at=now(),
        rules=rules,
        items=eligible.items,
        skipped=eligible.skipped,
    )
    plans.save(store, plan)
    return plan
