"""A run as one file: what it was told to do, all that happened, its arrays, and a manifest with the hash of each part.

    run.json          config, name, tags, state, summary, attempts, and the list of files of arrays
    events.jsonl      every event, a line each, in order
    metrics.csv       the metrics over epochs, for those who have no Collapse Lab
    artifacts/…       the files of arrays as they are
    manifest.json     format, and the SHA-256 and size of every other part; the last member

An archive comes from anywhere, so that nothing of it is believed: `archive_checks` bounds and validates all of it, and
only then does anything come into the data directory, in one move and one transaction. What is refused leaves nothing
behind.
"""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa

from backend import archive_checks, views, wire
from backend.archive_format import FORMAT, MOST_EVENTS, MOST_PARTS, ArchivedAttempt, ArchivedRun, Manifest
from backend.errors import Conflict, Unusable
from backend.store import artifacts, curves, event_log, run_folders, runs
from backend.store.database import Store
from backend.store.models import artifact, attempt, bucket, event, run
from backend.zips import CHUNK_BYTES, Member, streamed
from ncengine import __version__
from ncengine.config import RunConfig

PAGE, PAGE_BYTES = 2000, 4 * 2**20
"""Events that are read or written at once."""
_bringing_in = threading.Lock()
"""Held while an archive is compared with what is here and becomes a run, so that one sent twice is one run."""


# ── out ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def archived(store: Store, run_id: str) -> Iterator[bytes]:
    """Return a run as the bytes of a zip file, chunk by chunk.

    Raises, before the first chunk, Conflict where the run is queued or running, and Unusable where a file of it is
    damaged.
    """
    row = runs.get(store, run_id)
    if row.status in ("queued", "running"):
        raise Conflict(f"run {run_id} is {row.status}: pause it, or wait for its end, before it is put into an archive")
    held = [each for kind in artifacts.KINDS for each in artifacts.rows(store, run_id, kind)]
    if len(held) > MOST_PARTS - 3 or row.last_seq > MOST_EVENTS:
        raise Conflict(
            f"run {run_id} has {len(held):,} files and {row.last_seq:,} events, and an archive takes at most "
            f"{MOST_PARTS - 3:,} and {MOST_EVENTS:,}; thin its geometry first (`collapse gc --thin-geometry`)"
        )
    for each in held:
        if artifacts.whole_path(store, each) is None:
            raise Unusable(
                f"the {each.kind} of run {run_id} at step {each.step} is damaged or missing on disk, and an archive "
                "would carry the damage on; `collapse doctor --check` lists all that is"
            )
    return streamed(_members(store, row, held))


def _members(store: Store, row: sa.Row[Any], held: list[sa.Row[Any]]) -> Iterator[Member]:
    parts: dict[str, dict[str, Any]] = {}

    def hashed(name: str, chunks: Iterator[bytes], *, compressed: bool) -> Member:
        def passing() -> Iterator[bytes]:
            digest, size = hashlib.sha256(), 0
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                yield chunk
            parts[name] = {"sha256": digest.hexdigest(), "size_bytes": size}

        return Member(name, passing(), compressed)

    named = [(each, f"artifacts/{Path(each.path).name}") for each in held]
    facts = {name: getattr(row, name) for name in ArchivedRun.model_fields if name not in ("attempts", "artifacts")}
    facts["attempts"] = [
        {name: getattr(each, name) for name in ArchivedAttempt.model_fields} for each in runs.attempts(store, row.id)
    ]
    facts["artifacts"] = [{"kind": each.kind, "step": each.step, "seq": each.seq, "part": part} for each, part in named]
    yield hashed("run.json", iter([orjson.dumps(facts, option=orjson.OPT_INDENT_2)]), compressed=True)
    yield hashed("events.jsonl", _event_lines(store, row.id, row.last_seq), compressed=True)
    yield hashed("metrics.csv", iter([metrics_csv(views.series(store, row.id)).encode()]), compressed=True)
    for each, part in named:
        yield hashed(part, file_chunks(artifacts.resolve(store, each.path)), compressed=False)
    manifest = {"format": FORMAT, "code_version": __version__, "run": row.id, "parts": parts}
    # Asked for last, when every part has been hashed on its way.
    yield Member("manifest.json", iter([orjson.dumps(manifest, option=orjson.OPT_INDENT_2)]), compressed=True)


def _event_lines(store: Store, run_id: str, last_seq: int) -> Iterator[bytes]:
    seq = 0
    while seq < last_seq:
        rows = event_log.after(store, run_id, seq, PAGE)
        facts = ({"seq": row.seq, "type": row.type, "at": row.at, "payload": row.payload} for row in rows)
        yield b"".join(orjson.dumps(fact) + b"\n" for fact in facts)
        seq = rows[-1].seq


def metrics_csv(found: wire.Series) -> str:
    """Return metrics over epochs as CSV, a column for each split and key."""
    columns = {f"{split}/{key}": values for split, known in found.values.items() for key, values in known.items()}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["epoch", *columns])
    writer.writerows(zip(found.epochs, *columns.values(), strict=True))
    return text.getvalue()


def file_chunks(path: Path) -> Iterator[bytes]:
    """Yield a file's content piece by piece."""
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk


# ── in ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Imported(NamedTuple):
    """The run that an archive became, and whether it is new (False where it was here already)."""

    run_id: str
    new: bool


def import_archive(store: Store, path: Path, most_bytes: int) -> Imported:
    """Bring an archived run in; raises Invalid, and changes nothing, where the archive is not wholly as it should be.

    The run keeps its id where that is free; an archive of the very run that is here changes nothing.
    """
    work = store.data_dir / "imports" / f"{runs.new_id()}.partial"
    work.mkdir(parents=True, mode=0o700)
    try:
        manifest = archive_checks.unpack(path, work, most_bytes)
        facts, config = archive_checks.require_run(manifest, work)
        with _bringing_in:
            return _same(store, manifest, facts, work) or _bring_in(store, manifest, facts, config, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)  # made above, under a name of its own


def _bring_in(store: Store, manifest: Manifest, facts: ArchivedRun, config: RunConfig, work: Path) -> Imported:
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
    return Imported(run_id, new=True)


def _place(store: Store, wanted: str) -> tuple[str, Path]:
    """Return an id and a folder that are free: those of the archive, or new ones.

    A folder without a row in this database may be a run of another database: it is left alone, and the id is new.
    """
    run_id = wanted
    while not _is_free(store, run_id) or (store.data_dir / "runs" / run_id).exists():
        run_id = runs.new_id()
    return run_id, store.data_dir / "runs" / run_id


def _same(store: Store, manifest: Manifest, facts: ArchivedRun, work: Path) -> Imported | None:
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
    return Imported(manifest.run, new=False) if same and _same_events(store, manifest.run, work) else None


def _same_events(store: Store, run_id: str, work: Path) -> bool:
    lines = archive_checks.read_lines(work)
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


def _insert(store: Store, run_id: str, facts: ArchivedRun, manifest: Manifest, config: RunConfig, work: Path) -> None:
    fields = {name: getattr(facts, name) for name in ArchivedRun.model_fields if name not in ("attempts", "artifacts")}
    fields |= {"config": config.model_dump(mode="json"), "headline": runs.headline(fields["summary"])}
    folders = {kind: curves.Folder(kind) for kind in curves.TYPES}
    kinds = {type_: kind for kind, type_ in curves.TYPES.items()}
    with store.writing() as connection:
        connection.execute(run.insert().values(id=run_id, **fields))
        rows: list[dict[str, Any]] = []
        buckets: list[dict[str, Any]] = []
        size = 0
        for line in archive_checks.read_lines(work):  # which were checked before
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
