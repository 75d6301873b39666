"""Archive a run as one zip file: its config, all events, its arrays, and a manifest with the hash of each part.

run.json          config, name, tags, status, summary, attempts, and the list of files of arrays
events.jsonl      every event in order, one per line
metrics.csv       the metrics over epochs, for use without Collapse Lab
artifacts/…       the files of arrays, unchanged
manifest.json     format, and the SHA-256 and size of every other part; the last member
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa

from backend.store import artifacts, curves, event_log, run_attempts, runs
from backend.store.archive.format import FORMAT, MAX_EVENTS, MAX_PARTS, ArchivedAttempt, ArchivedRun
from backend.store.archive.zip_stream import CHUNK_BYTES, ZipMember, stream_zip
from backend.store.database import Store
from backend.store.errors import Conflict, Unusable
from ncengine import __version__

PAGE = 2000
"""Events per query."""


def archive_run(store: Store, run_id: str) -> Iterator[bytes]:
    """Return the archive of a run in chunks.

    Raises, before the first chunk, Conflict where the run is queued or running, and Unusable where one of its files is
    damaged.
    """
    row = runs.get(store, run_id)
    if row.status in ("queued", "running"):
        raise Conflict(f"run {run_id} is {row.status}: pause it, or wait for its end, before it is put into an archive")
    files = [each for kind in artifacts.KINDS for each in artifacts.list_rows(store, run_id, kind)]
    if len(files) > MAX_PARTS - 3 or row.last_seq > MAX_EVENTS:
        raise Conflict(
            f"run {run_id} has {len(files):,} files and {row.last_seq:,} events, and an archive takes at most "
            f"{MAX_PARTS - 3:,} and {MAX_EVENTS:,}; thin its geometry first (`collapse gc --thin-geometry`)"
        )
    for each in files:
        if artifacts.verified_path(store, each) is None:
            raise Unusable(
                f"the {each.kind} of run {run_id} at step {each.step} is damaged or missing on disk, and an archive "
                "would carry the damage on; `collapse doctor --check` lists all that is"
            )
    return stream_zip(_members(store, row, files))


def _members(store: Store, row: sa.Row[Any], files: list[sa.Row[Any]]) -> Iterator[ZipMember]:
    parts: dict[str, dict[str, Any]] = {}

    def hashed(name: str, chunks: Iterator[bytes], *, compressed: bool) -> ZipMember:
        def passing() -> Iterator[bytes]:
            digest, size = hashlib.sha256(), 0
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                yield chunk
            parts[name] = {"sha256": digest.hexdigest(), "size_bytes": size}

        return ZipMember(name, passing(), compressed)

    named = [(each, f"artifacts/{Path(each.path).name}") for each in files]
    facts = {name: getattr(row, name) for name in ArchivedRun.model_fields if name not in ("attempts", "artifacts")}
    facts["attempts"] = [
        {name: getattr(each, name) for name in ArchivedAttempt.model_fields}
        for each in run_attempts.list_attempts(store, row.id)
    ]
    facts["artifacts"] = [{"kind": each.kind, "step": each.step, "seq": each.seq, "part": part} for each, part in named]
    yield hashed("run.json", iter([orjson.dumps(facts, option=orjson.OPT_INDENT_2)]), compressed=True)
    yield hashed("events.jsonl", _event_lines(store, row.id, row.last_seq), compressed=True)
    yield hashed("metrics.csv", iter([_metrics_csv(store, row.id)]), compressed=True)
    for each, part in named:
        yield hashed(part, file_chunks(artifacts.resolve_path(store, each.path)), compressed=False)
    manifest = {"format": FORMAT, "code_version": __version__, "run": row.id, "parts": parts}
    # Last, because the hash of each part is complete when it has been read.
    yield ZipMember("manifest.json", iter([orjson.dumps(manifest, option=orjson.OPT_INDENT_2)]), compressed=True)


def _metrics_csv(store: Store, run_id: str) -> bytes:
    stored = curves.read_curves(store, run_id, "epoch", sys.maxsize)
    return curves.format_csv([int(epoch) for epoch in stored.positions], stored.values).encode()


def _event_lines(store: Store, run_id: str, last_seq: int) -> Iterator[bytes]:
    seq = 0
    while seq < last_seq:
        rows = event_log.list_events(store, run_id, seq, PAGE)
        facts = ({"seq": row.seq, "type": row.type, "at": row.at, "payload": row.payload} for row in rows)
        yield b"".join(orjson.dumps(fact) + b"\n" for fact in facts)
        seq = rows[-1].seq


def file_chunks(path: Path) -> Iterator[bytes]:
    """Yield the content of a file in chunks."""
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk
