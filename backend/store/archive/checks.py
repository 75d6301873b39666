"""Validation of an archive before it is imported; every size is bounded while it is read.

The table of contents is checked before zipfile reads it, parts are unpacked in chunks into a folder of their own, and
events are read line by line. Errors name the part, and the line of events.jsonl.
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
from ncengine.config import RunConfig
from ncengine.files.array_file import CorruptFileError
from ncengine.files.zip_directory import require_small_directory

ZIP_ERRORS = (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, ValueError, zlib.error, struct.error)
"""What zipfile raises for files that are no zip files, or are damaged, encrypted or compressed in an unknown way."""


def unpack(path: Path, work: Path, max_bytes: int) -> ArchiveManifest:
    """Unpack an archive into `work`; return its manifest. Raises Invalid where a part does not match the manifest."""
    try:
        with path.open("rb") as stream:
            require_small_directory(stream, MAX_PARTS)
            with zipfile.ZipFile(stream) as archive:
                manifest = _require_manifest(archive, max_bytes)
                _unpack_parts(archive, manifest, work)
                return manifest
    except ZIP_ERRORS as error:
        raise Invalid(f"this is no archive of a run, or a damaged one: {str(error)[:300]}") from error


def _require_manifest(archive: zipfile.ZipFile, max_bytes: int) -> ArchiveManifest:
    """Validate an archive's table of contents; return its manifest. No other part is read."""
    infos = archive.infolist()
    names = [info.filename for info in infos]
    unknown = [info for info in infos if not _is_part(info)]
    if unknown:
        raise Invalid(
            f"an archive has no part named {unknown[0].orig_filename[:100]!r}; it was not made by Collapse Lab, or "
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
    if total > max_bytes:
        raise Invalid(f"the archive unpacks to {total:,} bytes, and at most {max_bytes:,} are taken")
    for info in infos:
        if info.file_size > SMALL_BYTES and info.file_size > MAX_RATIO * max(1, info.compress_size):
            raise Invalid(f"the part {info.filename} is said to unpack to {info.file_size:,} bytes from few: refused")
    _require_no_overlap(archive, infos)
    missing = {"run.json", "events.jsonl"} - set(names)
    if missing:
        raise Invalid(f"the archive lacks {min(missing)}")
    content = _read_bounded(archive.open("manifest.json"), "manifest.json", MAX_MANIFEST_BYTES)
    manifest = _parse_manifest(content, set(names) - {"manifest.json"})
    for info in infos:
        part = manifest.parts.get(info.filename)
        if part is not None and part.size_bytes != info.file_size:
            raise Invalid(f"the part {info.filename} of the archive is not what its manifest says: size or hash differ")
    return manifest


def _is_part(info: zipfile.ZipInfo) -> bool:
    # zipfile cuts names at a null character, but compares the original name with that in front of the part.
    known = info.filename == "manifest.json" or PART_NAME.fullmatch(info.filename) is not None
    return known and info.filename == info.orig_filename


def _require_no_overlap(archive: zipfile.ZipFile, infos: list[zipfile.ZipInfo]) -> None:
    """Raise Invalid where the bytes of two parts overlap, so that few bytes could be unpacked many times."""
    ends = [*sorted(info.header_offset for info in infos)[1:], archive.start_dir]
    for info, end in zip(sorted(infos, key=lambda info: info.header_offset), ends, strict=True):
        if info.header_offset + 30 + len(info.filename) + info.compress_size > end:
            raise Invalid(f"the part {info.filename} of the archive overlaps another one: refused")


def _parse_manifest(content: bytes, names: set[str]) -> ArchiveManifest:
    """Parse and validate the manifest of an archive that has the parts `names`."""
    what = "the archive's manifest.json"
    parsed = _parse_json(content, what, values=10 * MAX_PARTS, lists=2 * MAX_PARTS)
    parts = parsed.get("parts") if isinstance(parsed, dict) else None
    if not isinstance(parts, dict) or set(parts) != names:
        raise Invalid("the archive's manifest does not name the parts of the archive")
    _require_few_keys({**parsed, "parts": list(parts.values())}, what)
    try:
        # Part by part: of fifty thousand wrong ones only the first is reported.
        return ArchiveManifest.model_validate(
            {**parsed, "parts": {name: ArchivePart.model_validate(part) for name, part in parts.items()}}
        )
    except ValidationError as error:
        raise Invalid(f"{what} is not valid: {format_validation_error(error)}") from error


def _require_few_keys(tree: Any, what: str) -> None:
    """Raise Invalid where an object has more than `MAX_KEYS` keys, each of which could become a validation error."""
    remaining = [tree]
    while remaining:
        node = remaining.pop()
        if isinstance(node, dict) and len(node) > MAX_KEYS:
            raise Invalid(f"{what} is not valid: an object may have {MAX_KEYS:,} keys, and one has {len(node):,}")
        remaining += node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()


def _read_bounded(stream: Any, name: str, max_bytes: int) -> bytes:
    with stream:
        content: bytes = stream.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise Invalid(f"the archive's {name} is larger than the {max_bytes:,} bytes that it may have")
    return content


def _parse_json(content: bytes, what: str, *, values: int, lists: int) -> Any:
    """Parse JSON that has at most `values` values, and `lists` lists and objects."""
    containers = content.count(b"[") + content.count(b"{")
    if containers > lists or containers + content.count(b",") > values:
        raise Invalid(f"{what} holds more than {values:,} values, or {lists:,} lists and objects")
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"{what} is not valid: {error}") from error


def _unpack_parts(archive: zipfile.ZipFile, manifest: ArchiveManifest, work: Path) -> None:
    """Unpack every part into `work`, never more bytes than the manifest states, and verify its hash."""
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


# ── after unpacking ────────────────────────────────────────────────────────────────────────────────────────────────


def validate_run(manifest: ArchiveManifest, work: Path) -> tuple[ArchivedRun, RunConfig]:
    """Validate an unpacked archive; return its run and config, on which readers of runs can rely.

    Raises Invalid where a part is invalid, or the parts contradict each other.
    """
    facts, config = _require_facts(work)
    _require_named(facts, manifest)
    checker = ConsistencyChecker(facts, config)
    events = ((each.seq, each.type, each.payload) for each in checker.check(_read_events(work)))
    for problem in integrity.check_events(facts.status, facts.last_seq, facts.epoch, events):
        raise Invalid(f"events.jsonl of the archive is not the log of a run: {problem}")
    checker.check_end()
    for each in facts.artifacts:
        _require_arrays(each, checker, work)
    return facts, config


def _require_facts(work: Path) -> tuple[ArchivedRun, RunConfig]:
    what = "the archive's run.json"
    content = _read_bounded((work / "run.json").open("rb"), "run.json", MAX_RUN_BYTES)
    parsed = _parse_json(content, what, values=10 * MAX_PARTS, lists=2 * MAX_PARTS)
    _require_few_keys(parsed, what)
    try:
        facts = ArchivedRun.model_validate(parsed)
        config = RunConfig.model_validate(facts.config)
    except (ValidationError, ValueError) as error:
        reason = format_validation_error(error) if isinstance(error, ValidationError) else str(error)[:300]
        raise Invalid(f"{what} is not valid: {reason}") from error
    if config.hash() != facts.config_hash:
        raise Invalid("the archive's config does not have the hash that run.json says")
    if config.model_dump(mode="json") != facts.config:
        raise Invalid(f"{what} is not valid: config must name every setting, with a value of its own type")
    if not config.is_resolved:
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
    """A parsed event, and the size of its line."""

    event: dict[str, Any]
    size_bytes: int


def read_lines(work: Path) -> Iterator[EventLine]:
    """Yield the events of an unpacked archive; raises Invalid, naming the line, if one is too large or no JSON."""
    with (work / "events.jsonl").open("rb") as stream:
        for number, line in enumerate(_lines(stream), 1):
            what = f"line {number} of events.jsonl"
            if sum(1 for _ in itertools.islice(JSON_KEY.finditer(line), MAX_LINE_KEYS + 1)) > MAX_LINE_KEYS:
                raise Invalid(f"{what} holds more than {MAX_LINE_KEYS:,} keys")
            parsed = _parse_json(line, what, values=MAX_LINE_VALUES, lists=MAX_LINE_LISTS)
            if not isinstance(parsed, dict):
                raise Invalid(f"{what} is not valid: it must be a JSON object")
            yield EventLine(parsed, len(line))


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if number > MAX_EVENTS:
            raise Invalid(f"events.jsonl has more than the {MAX_EVENTS:,} lines that it may have")
        if len(line) > MAX_LINE_BYTES:
            raise Invalid(f"line {number} of events.jsonl is longer than the {MAX_LINE_BYTES:,} bytes that it may have")
        yield line


def _read_events(work: Path) -> Iterator[ArchivedEvent]:
    for number, line in enumerate(read_lines(work), 1):
        try:
            event = ArchivedEvent.model_validate(line.event)
            require_valid(event.type, event.payload)
        except ValidationError as error:
            raise Invalid(f"line {number} of events.jsonl is not valid: {format_validation_error(error)}") from error
        except Invalid as error:
            raise Invalid(f"line {number} of events.jsonl is not valid: {error}") from error
        yield event


def _require_arrays(each: ArchivedArtifact, checker: ConsistencyChecker, work: Path) -> None:
    try:
        header, lengths = array_layouts.require_layout(work / each.part, each.kind, checker.sizes)
        checker.check_file(each, header, lengths)
    except CorruptFileError as error:
        raise Invalid(f"the archive's {each.part} holds no arrays of a run: {error}") from error
