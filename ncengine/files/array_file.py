"""Arrays and a little JSON in one file: safetensors, with the SHA-256 of its contents in its own header; no pickle.

The hash covers every array's bytes and the JSON, so that a file that was cut short, or changed by a disk or a person,
is told from a whole one without any database beside it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import safetensors
from safetensors import SafetensorError
from safetensors import numpy as safetensors_numpy

Arrays = dict[str, npt.NDArray[Any]]
DTYPES: dict[str, type[np.generic]] = {
    "F16": np.float16,
    "F32": np.float32,
    "F64": np.float64,
    "I32": np.int32,
    "I64": np.int64,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
"""By the names that files have for them."""
MAX_HEADER_BYTES, MAX_HEADER_VALUES = 4 * 2**20, 400_000
PIECE_BYTES = 2**20
"""A multiple of every type's size."""


class CorruptFileError(ValueError):
    """A file that is not what was once written."""


def encode(arrays: Mapping[str, npt.NDArray[Any]], state: Mapping[str, Any]) -> bytes:
    """Return the file's bytes for arrays by name and JSON-able `state`."""
    # ascontiguousarray makes scalars one-dimensional; safetensors keeps shapes, so they are put back.
    contiguous = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in arrays.items()}
    text = json.dumps(dict(state))
    content: bytes = safetensors_numpy.save(contiguous, metadata={"state": text, "sha256": _digest(contiguous, text)})
    return content


def decode(content: bytes, what: str) -> tuple[Arrays, dict[str, Any]]:
    """Return the arrays and state of a file's bytes; raises CorruptFileError, naming `what`, if they are not whole."""
    try:
        size = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + size])["__metadata__"]
        text, expected = metadata["state"], metadata.get("sha256")
        arrays = safetensors_numpy.load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CorruptFileError(f"{what} is cut short or no file of arrays ({len(content):,} bytes): {error}") from error
    # Files of the first releases carry no hash of their own.
    if expected is not None and _digest(arrays, text) != expected:
        raise CorruptFileError(f"{what} was changed after it was written: its contents do not match its hash")
    return arrays, json.loads(text)


class ArrayEntry(NamedTuple):
    """Where an array lies in a file: its type, its shape, its first byte and its length."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int
    size_bytes: int


class Header(NamedTuple):
    """What a file says of itself: its arrays by name, the JSON stored beside them, and their hash if it has one."""

    arrays: dict[str, ArrayEntry]
    state: dict[str, Any]
    text: str
    sha256: str | None


def read_header(path: Path) -> Header:
    """Return a file's header without reading its arrays; raises CorruptFileError if it is not valid."""
    try:
        return _header(path)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, MemoryError) as error:
        raise CorruptFileError(f"{path.name} is cut short or no file of arrays: {error}") from error


def _header(path: Path) -> Header:
    whole = path.stat().st_size
    with path.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        if not 2 <= size <= min(MAX_HEADER_BYTES, whole - 8):
            raise ValueError(f"its header would have {size:,} bytes, and may have {MAX_HEADER_BYTES:,}")
        content = stream.read(size)
    if content.count(b"[") + content.count(b"{") + content.count(b",") > MAX_HEADER_VALUES:
        raise ValueError(f"its header holds more than {MAX_HEADER_VALUES:,} values")
    found = json.loads(content, object_pairs_hook=_without_doubles)
    metadata = found.pop("__metadata__")
    text, digest = metadata["state"], metadata.get("sha256")
    state = json.loads(text)
    if not isinstance(state, dict) or not isinstance(digest, str | None):
        raise ValueError("what is stored with the arrays is no JSON object")
    arrays = {name: _entry(name, entry, 8 + size) for name, entry in found.items()}
    end = 8 + size
    for entry in sorted(arrays.values(), key=lambda entry: (entry.start, entry.size_bytes)):
        if entry.start != end:
            raise ValueError("its arrays do not follow each other")
        end += entry.size_bytes
    if end != whole:
        raise ValueError(f"its arrays would end at byte {end:,}, and the file has {whole:,}")
    return Header(arrays, state, text, digest)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("its header has a name twice")
    return found


def _entry(name: str, entry: dict[str, Any], first: int) -> ArrayEntry:
    (begin, end), shape = entry["data_offsets"], entry["shape"]
    if not all(type(number) is int and 0 <= number < 2**53 for number in (begin, end, *shape)) or len(shape) > 8:
        raise ValueError(f"the array {name[:100]!r} has no possible place or shape")
    dtype = np.dtype(DTYPES[entry["dtype"]])
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"the array {name[:100]!r} is not as long as its shape says")
    return ArrayEntry(dtype, tuple(shape), first + begin, end - begin)


def mapped(path: Path) -> Arrays:
    """Return the arrays of a whole file, read from it only as far as they are used."""
    return {
        # An empty array cannot be mapped.
        name: np.memmap(path, each.dtype, "r", each.start, each.shape)
        if each.size_bytes
        else np.zeros(each.shape, each.dtype)
        for name, each in read_header(path).arrays.items()
    }


def require_whole(path: Path, look: Callable[[str, npt.NDArray[Any]], None] | None = None) -> Header:
    """Return a file's header; raises CorruptFileError where that is not one, or where its hash is not of its contents.

    The arrays are read once, piece by piece; `look` is called with each piece, a flat array, and the array's name.
    """
    header = read_header(path)
    digest = hashlib.sha256(header.text.encode())
    with path.open("rb") as stream:
        for name in sorted(header.arrays):
            entry = header.arrays[name]
            digest.update(f"{name} {entry.dtype.str} {entry.shape}".encode())
            stream.seek(entry.start)
            left = entry.size_bytes
            while left:
                piece = stream.read(min(left, PIECE_BYTES))
                if not piece:
                    raise CorruptFileError(f"{path.name} is cut short")
                left -= len(piece)
                digest.update(piece)
                if look is not None:
                    look(name, np.frombuffer(piece, entry.dtype))
    if header.sha256 not in (None, digest.hexdigest()):
        raise CorruptFileError(f"{path.name} was changed after it was written: its contents do not match its hash")
    try:
        # Readers use the library, which may be stricter in something; it reads the header alone.
        with safetensors.safe_open(path, framework="numpy") as opened:
            known = set(opened.keys())
    except SafetensorError as error:
        raise CorruptFileError(f"{path.name} is no file of arrays: {error}") from error
    if known != set(header.arrays):
        raise CorruptFileError(f"{path.name} is no file of arrays: its names are read in two ways")
    return header


def _digest(arrays: Mapping[str, npt.NDArray[Any]], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
