"""Read a run's archive into the store.

An archive comes from anywhere, so nothing in it is trusted: `checks` bounds and validates all of it, and only then is
it brought into the data directory, in one move and one transaction. What is refused leaves nothing behind.
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
"""Events, and bytes of them, that are written at once."""
_bringing_in = threading.Lock()
"""Held while an archive is compared with the store and becomes a run, so that one sent twice is one run."""


class ImportResult(NamedTuple):
    """The run that an archive became, and whether it is new (False where it was here already)."""

    run_id: str
    new: bool


def import_archive(store: Store, path: Path, most_bytes: int) -> ImportResult:
    """Bring an archived run in; raises Invalid, and changes nothing, where the archive is not wholly as it should be.

    The run keeps its id where that is free; an archive of the very run that is here changes nothing.
    """
    work = store.data_dir / "imports" / f"{runs.new_id()}.partial"
    work.mkdir(parents=True, mode=0o700)
    try:
        manifest = checks.unpack(path, work, most_bytes)
        facts, config = checks.validate_run(manifest, work)
        with _bringing_in:
            return _same(store, manifest, facts, work) or _bring_in(store, manifest, facts, config, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)  # made above, under a name of its own


def _bring_in(
    store: Store, manifest: ArchiveManifest, facts: ArchivedRun, config: RunConfig, work: Path
) -> ImportResult:
    run_id, target = _place(store, manifest.run)
    target.parent.mkdir(exist_ok=True)
    run_folders.register(store, run_id)
    # Safe: no folder has this name; where somebody else has just filled one, rename raises OSError.
    (work / "artifacts").rename(target)
    try:
        _insert(store, run_id, facts, manifest, config, work)
    except BaseException:
        # Safe: what is removed was moved there by the line above.
        shutil.rmtree(target, ignore_errors=True)
        raise
    return ImportResult(run_id, new=True)


def _place(store: Store, wanted: str) -> tuple[str, Path]:
    """Return an id and a folder that are free: those of the archive, or new ones.

    A folder without a row in this database may be a run of another database: it is left alone, and the id is new.
    """
    run_id = wanted
    while not _is_free(store, run_id) or (store.data_dir / "runs" / run_id).exists():
        run_id = runs.new_id()
    return run_id, store.data_dir / "runs" / run_id


def _same(store: Store, manifest: ArchiveManifest, facts: ArchivedRun, work: Path) -> ImportResult | None:
    """Return the run that is here already where it is the archived one: config, moment, files and every event."""
    with store.reading() as connection:
        row = connection.execute(sa.select(run).where(run.c.id == manifest.run)).one_or_none()
        if row is None or row.deleted_at is not None:
            return None
        query = sa.select(artifact.c.sha256).where(artifact.c.run_id == manifest.run)
        here = sorted(connection.execute(query).scalars())
    there = sorted(manifest.parts[each.part].sha256 for each in facts.artifacts)
    same = (row.config_hash, row.last_seq, row.created_at, row.status, here) == (
        facts.config_hash,
        facts.last_seq,
        facts.created_at,
        facts.status,
        there,
    )
    return ImportResult(manifest.run, new=False) if same and _same_events(store, manifest.run, work) else None


def _same_events(store: Store, run_id: str, work: Path) -> bool:
    lines = checks.read_lines(work)
    while page := list(itertools.islice(lines, 100)):
        first = page[0].event["seq"]
        rows = event_log.after(store, run_id, first - 1, len(page))
        held = [{"seq": row.seq, "type": row.type, "at": row.at, "payload": row.payload} for row in rows]
        if held != [line.event for line in page]:
            return False
    return True


def _is_free(store: Store, run_id: str) -> bool:
    with store.reading() as connection:
        return connection.execute(sa.select(run.c.id).where(run.c.id == run_id)).one_or_none() is None


def _insert(
    store: Store, run_id: str, facts: ArchivedRun, manifest: ArchiveManifest, config: RunConfig, work: Path
) -> None:
    fields = {name: getattr(facts, name) for name in ArchivedRun.model_fields if name not in ("attempts", "artifacts")}
    fields |= {"config": config.model_dump(mode="json"), "headline": runs.headline(fields["summary"])}
    folders = {kind: curves.CurveAggregator(kind) for kind in curves.TYPES}
    kinds = {type_: kind for kind, type_ in curves.TYPES.items()}
    with store.writing() as connection:
        connection.execute(run.insert().values(id=run_id, **fields))
        rows: list[dict[str, Any]] = []
        buckets: list[dict[str, Any]] = []
        size = 0
        for line in checks.read_lines(work):  # which were checked before
            each = line.event
            rows.append({"run_id": run_id, **each})
            size += line.size_bytes
            if each["type"] in kinds:
                folded = folders[kinds[each["type"]]].add(each["payload"])
                buckets += [{"run_id": run_id, **held._asdict()} for held in folded]
            if len(rows) == PAGE or size > PAGE_BYTES:
                _write(connection, rows, buckets)
                rows, buckets, size = [], [], 0
        _write(connection, rows, buckets)
        if facts.attempts:
            connection.execute(attempt.insert(), [{"run_id": run_id, **held.model_dump()} for held in facts.attempts])
        files = [
            {
                "run_id": run_id,
                **held.model_dump(exclude={"part"}),
                "path": f"runs/{run_id}/{Path(held.part).name}",
                **manifest.parts[held.part].model_dump(),
                "directory_id": store.directory_id,
            }
            for held in facts.artifacts
        ]
        if files:
            connection.execute(artifact.insert(), files)


def _write(connection: sa.Connection, events: list[dict[str, Any]], buckets: list[dict[str, Any]]) -> None:
    if events:
        connection.execute(event.insert(), events)
    if buckets:
        connection.execute(bucket.insert(), buckets)
