"""Whether a file is the archive of a run that every reader can rely on; all of it is bounded while it is read.

The table of contents is looked at before zipfile reads it, parts are unpacked piece by piece into a folder of their
own, events are read line by line. What is wrong is told with the part, and in a part of lines with the line.
"""

from __future__ import annotations

import hashlib
import itertools
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import orjson
from pydantic import ValidationError

from backend.store import array_layouts, integrity
from backend.store.archive.consistency import ConsistencyChecker
from backend.store.archive.format import (
    MAX_EVENTS,
    MAX_KEYS,
    MAX_LINE_BYTES,
    MAX_LINE_KEYS,
    MAX_LINE_LISTS,
    MAX_LINE_VALUES,
    MAX_MANIFEST_BYTES,
    MAX_PARTS,
    MAX_RATIO,
    MAX_RUN_BYTES,
    PART_NAME,
    SMALL_BYTES,
    ArchivedArtifact,
    ArchivedEvent,
    ArchivedRun,
    ArchiveManifest,
    ArchivePart,
)
from backend.store.archive.zip_stream import CHUNK_BYTES
from backend.store.errors import Invalid
from backend.store.event_payloads import require_valid
from backend.store.validation import JSON_KEY, format_validation_error
from ncengine.array_file import Damaged
from ncengine.config import RunConfig
from ncengine.zip_table import require_table

BROKEN = (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, ValueError, zlib.error, struct.error)
"""What zipfile raises for files that are no zip files, or are damaged, encrypted or packed in an unknown way."""


def unpack(path: Path, work: Path, most_bytes: int) -> ArchiveManifest:
    """Unpack an archive's parts into `work` and return its manifest; raises Invalid where one is not as that says."""
    try:
        with path.open("rb") as stream:
            require_table(stream, MAX_PARTS)
            with zipfile.ZipFile(stream) as archive:
                manifest = _require_manifest(archive, most_bytes)
                _unpack(archive, manifest, work)
                return manifest
    except BROKEN as error:
        raise Invalid(f"this is no archive of a run, or a damaged one: {str(error)[:300]}") from error


def _require_manifest(archive: zipfile.ZipFile, most_bytes: int) -> ArchiveManifest:
    """Return the manifest of an archive whose table of contents is as it should be; nothing else is read yet."""
    infos = archive.infolist()
    names = [info.filename for info in infos]
    strange = [info for info in infos if not _is_part(info)]
    if strange:
        raise Invalid(
            f"an archive has no part named {strange[0].orig_filename[:100]!r}; it was not made by Collapse Lab, or "
            "changed"
        )
    if len(set(names)) != len(names):
        raise Invalid("the archive names a part twice; it was not made by Collapse Lab, or changed")
    if "manifest.json" not in names:
        raise Invalid("the archive has no manifest.json; it was not made by Collapse Lab, or cut short")
    for info in infos:
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Invalid(f"the part {info.filename} is encrypted or packed in a way that archives of runs are not")
    total = sum(info.file_size for info in infos)
    if total > most_bytes:
        raise Invalid(f"the archive unpacks to {total:,} bytes, and at most {most_bytes:,} are taken")
    for info in infos:
        if info.file_size > SMALL_BYTES and info.file_size > MAX_RATIO * max(1, info.compress_size):
            raise Invalid(f"the part {info.filename} is said to unpack to {info.file_size:,} bytes from few: refused")
    _require_apart(archive, infos)
    missing = {"run.json", "events.jsonl"} - set(names)
    if missing:
        raise Invalid(f"the archive lacks {min(missing)}")
    content = _content(archive.open("manifest.json"), "manifest.json", MAX_MANIFEST_BYTES)
    manifest = _manifest(content, set(names) - {"manifest.json"})
    for info in infos:
        part = manifest.parts.get(info.filename)
        if part is not None and part.size_bytes != info.file_size:
            raise Invalid(f"the part {info.filename} of the archive is not what its manifest says: size or hash differ")
    return manifest


def _is_part(info: zipfile.ZipInfo) -> bool:
    # zipfile cuts a name at a null character; the original name is compared with that in front of the part.
    known = info.filename == "manifest.json" or PART_NAME.fullmatch(info.filename) is not None
    return known and info.filename == info.orig_filename


def _require_apart(archive: zipfile.ZipFile, infos: list[zipfile.ZipInfo]) -> None:
    """Raise Invalid where the bytes of two parts overlap: few bytes could then be unpacked many times."""
    ends = [*sorted(info.header_offset for info in infos)[1:], archive.start_dir]
    for info, end in zip(sorted(infos, key=lambda info: info.header_offset), ends, strict=True):
        if info.header_offset + 30 + len(info.filename) + info.compress_size > end:
            raise Invalid(f"the part {info.filename} of the archive overlaps another one: refused")


def _manifest(content: bytes, names: set[str]) -> ArchiveManifest:
    """Return the manifest of an archive that has the parts `names`."""
    what = "the archive's manifest.json"
    found = _json(content, what, values=10 * MAX_PARTS, lists=2 * MAX_PARTS)
    parts = found.get("parts") if isinstance(found, dict) else None
    if not isinstance(parts, dict) or set(parts) != names:
        raise Invalid("the archive's manifest does not name the parts that it has")
    _require_few_keys({**found, "parts": list(parts.values())}, what)
    try:
        # One after another: of fifty thousand that are wrong the first is told.
        return ArchiveManifest.model_validate(
            {**found, "parts": {name: ArchivePart.model_validate(part) for name, part in parts.items()}}
        )
    except ValidationError as error:
        raise Invalid(f"{what} is not valid: {format_validation_error(error)}") from error


def _require_few_keys(tree: Any, what: str) -> None:
    """Raise Invalid where an object has more keys than any should have, each of which would become an error."""
    left = [tree]
    while left:
        here = left.pop()
        if isinstance(here, dict) and len(here) > MAX_KEYS:
            raise Invalid(f"{what} is not valid: an object may have {MAX_KEYS:,} keys, and one has {len(here):,}")
        left += here.values() if isinstance(here, dict) else here if isinstance(here, list) else ()


def _content(stream: Any, name: str, most_bytes: int) -> bytes:
    with stream:
        content: bytes = stream.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise Invalid(f"the archive's {name} is larger than the {most_bytes:,} bytes that it may have")
    return content


def _json(content: bytes, what: str, *, values: int, lists: int) -> Any:
    """Return JSON that holds at most so many values, lists and objects."""
    lists_here = content.count(b"[") + content.count(b"{")
    if lists_here > lists or lists_here + content.count(b",") > values:
        raise Invalid(f"{what} holds more than {values:,} values, or {lists:,} lists and objects")
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"{what} is not valid: {error}") from error


def _unpack(archive: zipfile.ZipFile, manifest: ArchiveManifest, work: Path) -> None:
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


# ── unpacked ────────────────────────────────────────────────────────────────────────────────────────────────────────


def validate_run(manifest: ArchiveManifest, work: Path) -> tuple[ArchivedRun, RunConfig]:
    """Return an unpacked archive's run and its config, which every reader of runs can read then.

    Raises Invalid where a part, or what the parts say together, is wrong.
    """
    facts, config = _require_facts(work)
    _require_named(facts, manifest)
    history = ConsistencyChecker(facts, config)
    story = ((each.seq, each.type, each.payload) for each in history.require(_events(work)))
    for fault in integrity.check_events(facts.status, facts.last_seq, facts.epoch, story):
        raise Invalid(f"events.jsonl of the archive does not tell a run: {fault}")
    history.require_end()
    for each in facts.artifacts:
        _require_arrays(each, history, work)
    return facts, config


def _require_facts(work: Path) -> tuple[ArchivedRun, RunConfig]:
    what = "the archive's run.json"
    content = _content((work / "run.json").open("rb"), "run.json", MAX_RUN_BYTES)
    found = _json(content, what, values=10 * MAX_PARTS, lists=2 * MAX_PARTS)
    _require_few_keys(found, what)
    try:
        facts = ArchivedRun.model_validate(found)
        config = RunConfig.model_validate(facts.config)
    except (ValidationError, ValueError) as error:
        words = format_validation_error(error) if isinstance(error, ValidationError) else str(error)[:300]
        raise Invalid(f"{what} is not valid: {words}") from error
    if config.hash() != facts.config_hash:
        raise Invalid("the archive's config does not have the hash that run.json says")
    if config.model_dump(mode="json") != facts.config:
        raise Invalid(f"{what} is not valid: config must name every setting, with a value of its own type")
    if not config.settled:
        raise Invalid(f"{what} is not valid: config.data.found must say what the run's own files held")
    if [each.number for each in facts.attempts] != list(range(1, facts.attempt + 1)):
        raise Invalid(f"{what} is not valid: attempts must be numbered 1 … {facts.attempt} in order")
    return facts, config


def _require_named(facts: ArchivedRun, manifest: ArchiveManifest) -> None:
    parts = [each.part for each in facts.artifacts]
    files = [name for name in manifest.parts if name.startswith("artifacts/")]
    if sorted(parts) != sorted(files):
        raise Invalid("the archive's run.json does not name the files of arrays that it has")
    keys, events = {(each.kind, each.step) for each in facts.artifacts}, {each.seq for each in facts.artifacts}
    if not len(keys) == len(events) == len(parts) or any(not 1 <= seq <= facts.last_seq for seq in events):
        raise Invalid("the archive names two files for one moment, or one of an event that is not there")
    for each in facts.artifacts:
        if not each.part.startswith(f"artifacts/{each.kind}-{each.step:09d}-a"):
            raise Invalid(f"the archive's run.json says that {each.part} is the {each.kind} of step {each.step}")


class EventLine(NamedTuple):
    """An event as JSON has it, and the bytes of its line."""

    event: dict[str, Any]
    size_bytes: int


def read_lines(work: Path) -> Iterator[EventLine]:
    """Yield the events of an unpacked archive; raises Invalid, with the line, for what is too large or no JSON."""
    with (work / "events.jsonl").open("rb") as stream:
        for number, line in enumerate(_lines(stream), 1):
            what = f"line {number} of events.jsonl"
            if sum(1 for _ in itertools.islice(JSON_KEY.finditer(line), MAX_LINE_KEYS + 1)) > MAX_LINE_KEYS:
                raise Invalid(f"{what} holds more than {MAX_LINE_KEYS:,} keys")
            found = _json(line, what, values=MAX_LINE_VALUES, lists=MAX_LINE_LISTS)
            if not isinstance(found, dict):
                raise Invalid(f"{what} is not valid: it must be a JSON object")
            yield EventLine(found, len(line))


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if number > MAX_EVENTS:
            raise Invalid(f"events.jsonl has more than the {MAX_EVENTS:,} lines that it may have")
        if len(line) > MAX_LINE_BYTES:
            raise Invalid(f"line {number} of events.jsonl is longer than the {MAX_LINE_BYTES:,} bytes that it may have")
        yield line


def _events(work: Path) -> Iterator[ArchivedEvent]:
    for number, line in enumerate(read_lines(work), 1):
        try:
            found = ArchivedEvent.model_validate(line.event)
            require_valid(found.type, found.payload)
        except ValidationError as error:
            raise Invalid(f"line {number} of events.jsonl is not valid: {format_validation_error(error)}") from error
        except Invalid as error:
            raise Invalid(f"line {number} of events.jsonl is not valid: {error}") from error
        yield found


def _require_arrays(each: ArchivedArtifact, history: ConsistencyChecker, work: Path) -> None:
    try:
        header, lengths = array_layouts.require_layout(work / each.part, each.kind, history.sizes)
        history.require_file(each, header, lengths)
    except Damaged as error:
        raise Invalid(f"the archive's {each.part} holds no arrays of a run: {error}") from error
