"""A run as one file: what it was told to do, all that happened, its arrays, and a manifest with the hash of each part.

    run.json          config, name, tags, state, summary, attempts, and the list of files of arrays
    events.jsonl      every event, a line each, in order
    metrics.csv       the metrics over epochs, for those who have no Collapse Lab
    artifacts/…       the files of arrays as they are
    manifest.json     format, and the SHA-256 and size of every other part; the last member

An archive comes from anywhere, so that nothing of it is believed: every name must be one of the above, sizes are
bounded before anything is unpacked, hashes are compared, the config and the events are validated, and only then does
anything come into the data directory, in one move and one transaction. What is refused leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import orjson
import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from backend import views, wire
from backend.errors import Conflict, Invalid, Unusable
from backend.store import artifacts, check, curves, event_log, runs
from backend.store.database import Store
from backend.store.models import artifact, attempt, bucket, event, run
from backend.zips import CHUNK_BYTES, Member, streamed
from ncengine import __version__, array_file
from ncengine.config import RunConfig

FORMAT = 1
MOST_PARTS = 200_000
MOST_RATIO = 200
"""So many times its packed size may a part grow to; what is said to grow more is a bomb."""
SMALL_BYTES = 2**20
DIGEST = r"^[0-9a-f]{64}$"
PART = re.compile(
    rf"run\.json|events\.jsonl|metrics\.csv|artifacts/({'|'.join(artifacts.KINDS)})-\d{{9}}-a\d{{1,6}}\.safetensors"
)
PAGE = 2000


class Strict(BaseModel):
    """Base of what is read from an archive."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Part(Strict):
    """What the manifest says of a part."""

    sha256: Annotated[str, Field(pattern=DIGEST)]
    size_bytes: Annotated[int, Field(ge=0, le=2**45)]


class Manifest(Strict):
    """The list of parts."""

    format: Literal[1]
    code_version: Annotated[str, Field(max_length=100)]
    run: Annotated[str, Field(pattern=r"^[0-9a-hjkmnp-tv-z]{10}$")]
    parts: dict[Annotated[str, Field(max_length=100)], Part]


Moment = Annotated[str, Field(max_length=32, pattern=r"^\d{4}-\d\d-\d\dT[\d:.]+Z$")]
Step = Annotated[int, Field(ge=0, lt=2**31)]


class ArchivedArtifact(Strict):
    """A file of arrays: which event speaks of it, and the part that it is."""

    kind: artifacts.Kind
    step: Step
    seq: Step
    part: Annotated[str, Field(max_length=100)]


class ArchivedAttempt(Strict):
    """An attempt, without the process that it was."""

    number: Annotated[int, Field(ge=1, le=1_000_000)]
    device: Annotated[str, Field(max_length=16)]
    claimed_at: Moment
    ended_at: Moment | None
    outcome: Annotated[str, Field(max_length=10_000)] | None


class ArchivedRun(Strict):
    """A run's row."""

    name: wire.Name
    status: Literal["finished", "cancelled", "failed", "paused"]
    group: wire.Name | None
    tags: wire.Tags
    notes: Annotated[str, Field(max_length=100_000)]
    config: dict[str, Any]
    config_hash: Annotated[str, Field(pattern=DIGEST)]
    code_version: Annotated[str, Field(max_length=100)]
    created_at: Moment
    started_at: Moment | None
    ended_at: Moment | None
    attempt: Annotated[int, Field(ge=0, le=1_000_000)]
    last_seq: Annotated[int, Field(ge=1, lt=2**31)]
    epoch: Step
    summary: dict[Annotated[str, Field(max_length=200)], dict[Annotated[str, Field(max_length=100)], wire.Number]]
    error: Annotated[str, Field(max_length=100_000)] | None
    running_s: Annotated[float, Field(ge=0, le=1e10)]
    attempts: list[ArchivedAttempt]
    artifacts: list[ArchivedArtifact]


class ArchivedEvent(Strict):
    """A line of events.jsonl."""

    seq: Annotated[int, Field(ge=1, lt=2**31)]
    type: Annotated[str, Field(pattern=r"^[A-Za-z]{1,32}$")]
    at: Moment
    payload: dict[str, Any]


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
        with contextlib.ExitStack() as stack:
            try:
                archive = stack.enter_context(zipfile.ZipFile(path))
                manifest = _require_manifest(archive, most_bytes)
                _unpack(archive, manifest, work)
            except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, ValidationError) as error:
                raise Invalid(f"this is no archive of a run, or a damaged one: {_words(error)}") from error
        return _bring_in(store, manifest, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _words(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(str(step) for step in first['loc'])}: {first['msg']}"
    return str(error)[:300]


def _require_manifest(archive: zipfile.ZipFile, most_bytes: int) -> Manifest:
    """Return the manifest of an archive whose table of contents is as it should be; nothing else is read yet."""
    infos = archive.infolist()
    if len(infos) > MOST_PARTS:
        raise Invalid(f"an archive has at most {MOST_PARTS:,} parts, this one says {len(infos):,}")
    names = [info.filename for info in infos]
    strange = [name for name in names if name != "manifest.json" and not PART.fullmatch(name)]
    if strange:
        raise Invalid(f"an archive has no part named {strange[0][:200]!r}; it was not made by Collapse Lab, or changed")
    if len(set(names)) != len(names):
        raise Invalid("the archive names a part twice; it was not made by Collapse Lab, or changed")
    if "manifest.json" not in names:
        raise Invalid("the archive has no manifest.json; it was not made by Collapse Lab, or cut short")
    total = sum(info.file_size for info in infos)
    if total > most_bytes:
        raise Invalid(f"the archive unpacks to {total:,} bytes, and at most {most_bytes:,} are taken")
    for info in infos:
        if info.file_size > SMALL_BYTES and info.file_size > MOST_RATIO * max(1, info.compress_size):
            raise Invalid(f"the part {info.filename} is said to unpack to {info.file_size:,} bytes from few: refused")
    content = _content(archive, "manifest.json", 64 * SMALL_BYTES)
    manifest = Manifest.model_validate_json(content)
    if set(manifest.parts) != set(names) - {"manifest.json"}:
        raise Invalid("the archive's manifest does not name the parts that it has")
    missing = {"run.json", "events.jsonl"} - set(names)
    if missing:
        raise Invalid(f"the archive lacks {min(missing)}")
    return manifest


def _content(archive: zipfile.ZipFile, name: str, most_bytes: int) -> bytes:
    with archive.open(name) as stream:
        content = stream.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise Invalid(f"the archive's {name} is larger than the {most_bytes:,} bytes that it may have")
    return content


def _unpack(archive: zipfile.ZipFile, manifest: Manifest, work: Path) -> None:
    """Unpack every part into `work`, never more of it than it was said to have, and compare its hash."""
    (work / "artifacts").mkdir()
    for name, part in manifest.parts.items():
        digest, size = hashlib.sha256(), 0
        with archive.open(name) as packed, (work / name).open("wb") as stream:
            while chunk := packed.read(CHUNK_BYTES):
                size += len(chunk)
                if size > part.size_bytes:
                    break
                digest.update(chunk)
                stream.write(chunk)
        if size != part.size_bytes or digest.hexdigest() != part.sha256:
            raise Invalid(f"the part {name} of the archive is not what its manifest says: size or hash differ")


def _bring_in(store: Store, manifest: Manifest, work: Path) -> Imported:
    try:
        facts = ArchivedRun.model_validate_json((work / "run.json").read_bytes())
        config = RunConfig.model_validate(facts.config)
    except ValidationError as error:
        raise Invalid(f"the archive's run.json is not valid: {_words(error)}") from error
    if config.hash() != facts.config_hash:
        raise Invalid("the archive's config does not have the hash that run.json says")
    for fault in check.story(
        facts.status, facts.last_seq, facts.epoch, ((e.seq, e.type, e.payload) for e in _events(work))
    ):
        raise Invalid(f"the archive's events are not those of a run: {fault}")
    _require_artifacts(facts, manifest, work)
    held = _same(store, manifest, facts)
    if held is not None:
        return held
    run_id = manifest.run if _is_free(store, manifest.run) else runs.new_id()
    target = store.data_dir / "runs" / run_id
    target.parent.mkdir(exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)  # of a run whose row is gone
    (work / "artifacts").rename(target)
    try:
        _insert(store, run_id, facts, manifest, config, work)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    return Imported(run_id, new=True)


def _events(work: Path) -> Iterator[ArchivedEvent]:
    with (work / "events.jsonl").open("rb") as stream:
        for number, line in enumerate(stream, 1):
            try:
                yield ArchivedEvent.model_validate_json(line)
            except ValidationError as error:
                raise Invalid(f"line {number} of the archive's events is not valid: {_words(error)}") from error


def _require_artifacts(facts: ArchivedRun, manifest: Manifest, work: Path) -> None:
    parts = [each.part for each in facts.artifacts]
    files = [name for name in manifest.parts if name.startswith("artifacts/")]
    if sorted(parts) != sorted(files):
        raise Invalid("the archive's run.json does not name the files of arrays that it has")
    keys = {(each.kind, each.step) for each in facts.artifacts}
    if len(keys) != len(parts) or any(not 1 <= each.seq <= facts.last_seq for each in facts.artifacts):
        raise Invalid("the archive names two files for one moment, or one of an event that is not there")
    for part in parts:
        try:
            array_file.require_whole(work / part)
        except array_file.Damaged as error:
            raise Invalid(f"the archive's {part} holds no arrays: {error}") from error


def _same(store: Store, manifest: Manifest, facts: ArchivedRun) -> Imported | None:
    """Return the run that is here already where it is the archived one."""
    with store.reading() as connection:
        row = connection.execute(sa.select(run).where(run.c.id == manifest.run)).one_or_none()
        if row is None or row.deleted_at is not None:
            return None
        query = sa.select(artifact.c.sha256).where(artifact.c.run_id == manifest.run)
        here = sorted(connection.execute(query).scalars())
    there = sorted(manifest.parts[each.part].sha256 for each in facts.artifacts)
    same = (row.config_hash, row.last_seq, row.created_at, here) == (
        facts.config_hash,
        facts.last_seq,
        facts.created_at,
        there,
    )
    return Imported(manifest.run, new=False) if same else None


def _is_free(store: Store, run_id: str) -> bool:
    with store.reading() as connection:
        return connection.execute(sa.select(run.c.id).where(run.c.id == run_id)).one_or_none() is None


def _insert(store: Store, run_id: str, facts: ArchivedRun, manifest: Manifest, config: RunConfig, work: Path) -> None:
    fields = {name: getattr(facts, name) for name in ArchivedRun.model_fields if name not in ("attempts", "artifacts")}
    fields |= {"config": config.model_dump(mode="json"), "headline": runs.headline(facts.summary)}
    folders = {kind: curves.Folder(kind) for kind in curves.TYPES}
    kinds = {type_: kind for kind, type_ in curves.TYPES.items()}
    with store.writing() as connection:
        connection.execute(run.insert().values(id=run_id, **fields))
        rows: list[dict[str, Any]] = []
        buckets: list[dict[str, Any]] = []
        for each in _events(work):
            rows.append({"run_id": run_id, **each.model_dump()})
            if each.type in kinds:
                folded = folders[kinds[each.type]].add(each.payload)
                buckets += [{"run_id": run_id, **held._asdict()} for held in folded]
            if len(rows) == PAGE:
                connection.execute(event.insert(), rows)
                rows = []
        if rows:
            connection.execute(event.insert(), rows)
        if buckets:
            connection.execute(bucket.insert(), buckets)
        if facts.attempts:
            connection.execute(attempt.insert(), [{"run_id": run_id, **held.model_dump()} for held in facts.attempts])
        files = [
            {
                "run_id": run_id,
                **held.model_dump(exclude={"part"}),
                "path": f"runs/{run_id}/{Path(held.part).name}",
                **manifest.parts[held.part].model_dump(),
            }
            for held in facts.artifacts
        ]
        if files:
            connection.execute(artifact.insert(), files)
