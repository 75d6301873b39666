"""Import the archive of a run.

Archives are untrusted: `checks` bounds and validates all of one before it is moved into the data directory, with one
rename and one transaction. A rejected archive leaves nothing behind.
"""

from __future__ import annotations

import itertools
import shutil
import threading
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from backend.store import curves, event_log, run_folders, runs
from backend.store.archive import checks
from backend.store.archive.format import ArchivedRun, ArchiveManifest
from backend.store.database import Store
from backend.store.models import artifact, attempt, bucket, event, run
from ncengine.config import RunConfig

PAGE, PAGE_BYTES = 2000, 4 * 2**20
"""Events, and their bytes, in one INSERT."""
_import_lock = threading.Lock()
"""Held while an archive is compared with the store and inserted, so that one sent twice becomes one run."""


class ImportResult(NamedTuple):
    """The run of an imported archive, and whether it is new (False where the store had it already)."""

    run_id: str
    new: bool


def import_archive(store: Store, path: Path, max_bytes: int) -> ImportResult:
    """Import an archived run; raises Invalid, and changes nothing, where the archive is not valid.

    The run keeps its id if that is free. An archive of a run that the store has already changes nothing.
    """
    work = store.data_dir / "imports" / f"{runs.make_run_id()}.partial"
    work.mkdir(parents=True, mode=0o700)
    try:
        manifest = checks.unpack(path, work, max_bytes)
        facts, config = checks.validate_run(manifest, work)
        with _import_lock:
            return _existing(store, manifest, facts, work) or _insert_run(store, manifest, facts, config, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)  # created above, under a unique name


def _insert_run(
    store: Store, manifest: ArchiveManifest, facts: ArchivedRun, config: RunConfig, work: Path
) -> ImportResult:
    run_id, target = _free_place(store, manifest.run)
    target.parent.mkdir(exist_ok=True)
    run_folders.register(store, run_id)
    # Safe: no folder has this name; if one was created meanwhile and is not empty, rename raises OSError.
    (work / "artifacts").rename(target)
    try:
        _insert_rows(store, run_id, facts, manifest, config, work)
    except BaseException:
        # Safe: the folder was moved there above.
        shutil.rmtree(target, ignore_errors=True)
        raise
    return ImportResult(run_id, new=True)


def _free_place(store: Store, archived_id: str) -> tuple[str, Path]:
    """Return an id and a folder that are free: those of the archive, or new ones.

    A folder without a row in this database may be a run of another database, so it is not used.
    """
    run_id = archived_id
    while not _is_free(store, run_id) or (store.data_dir / "runs" / run_id).exists():
        run_id = runs.make_run_id()
    return run_id, store.data_dir / "runs" / run_id


def _existing(store: Store, manifest: ArchiveManifest, facts: ArchivedRun, work: Path) -> ImportResult | None:
    """Return the stored run where it equals the archived one: config, time of creation, files and every event."""
    with store.reading() as connection:
        row = connection.execute(sa.select(run).where(run.c.id == manifest.run)).one_or_none()
        if row is None or row.deleted_at is not None:
            return None
        query = sa.select(artifact.c.sha256).where(artifact.c.run_id == manifest.run)
        local = sorted(connection.execute(query).scalars())
    archived = sorted(manifest.parts[each.part].sha256 for each in facts.artifacts)
    same = (row.config_hash, row.last_seq, row.created_at, row.status, local) == (
        facts.config_hash,
        facts.last_seq,
        facts.created_at,
        facts.status,
        archived,
    )
    return ImportResult(manifest.run, new=False) if same and _same_events(store, manifest.run, work) else None


def _same_events(store: Store, run_id: str, work: Path) -> bool:
    lines = checks.read_lines(work)
    while page := list(itertools.islice(lines, 100)):
        first = page[0].event["seq"]
        rows = event_log.list_events(store, run_id, first - 1, len(page))
        stored = [{"seq": row.seq, "type": row.type, "at": row.at, "payload": row.payload} for row in rows]
        if stored != [line.event for line in page]:
            return False
    return True


def _is_free(store: Store, run_id: str) -> bool:
    with store.reading() as connection:
        return connection.execute(sa.select(run.c.id).where(run.c.id == run_id)).one_or_none() is None


def _insert_rows(
    store: Store, run_id: str, facts: ArchivedRun, manifest: ArchiveManifest, config: RunConfig, work: Path
) -> None:
    fields = {name: getattr(facts, name) for name in ArchivedRun.model_fields if name not in ("attempts", "artifacts")}
    fields |= {"config": config.model_dump(mode="json"), "headline": runs.extract_headline(fields["summary"])}
    aggregators = {kind: curves.CurveAggregator(kind) for kind in curves.TYPES}
    kinds = {type_: kind for kind, type_ in curves.TYPES.items()}
    with store.writing() as connection:
        connection.execute(run.insert().values(id=run_id, **fields))
        rows: list[dict[str, Any]] = []
        buckets: list[dict[str, Any]] = []
        size = 0
        for line in checks.read_lines(work):  # validated before
            each = line.event
            rows.append({"run_id": run_id, **each})
            size += line.size_bytes
            if each["type"] in kinds:
                completed = aggregators[kinds[each["type"]]].add(each["payload"])
                buckets += [{"run_id": run_id, **done._asdict()} for done in completed]
            if len(rows) == PAGE or size > PAGE_BYTES:
                _write(connection, rows, buckets)
                rows, buckets, size = [], [], 0
        _write(connection, rows, buckets)
        if facts.attempts:
            connection.execute(attempt.insert(), [{"run_id": run_id, **each.model_dump()} for each in facts.attempts])
        files = [
            {
                "run_id": run_id,
                **file.model_dump(exclude={"part"}),
                "path": f"runs/{run_id}/{Path(file.part).name}",
                **manifest.parts[file.part].model_dump(),
                "directory_id": store.directory_id,
            }
            for file in facts.artifacts
        ]
        if files:
            connection.execute(artifact.insert(), files)


def _write(connection: sa.Connection, events: list[dict[str, Any]], buckets: list[dict[str, Any]]) -> None:
    if events:
        connection.execute(event.insert(), events)
    if buckets:
        connection.execute(bucket.insert(), buckets)
