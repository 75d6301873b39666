"""Arrays and a little JSON in one file: safetensors, with the SHA-256 of its contents in its own header; no pickle.

The hash covers every array's bytes and the JSON, so that a file that was cut short, or changed by a disk or a person,
is told from a whole one without any database beside it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors import numpy as safetensors_numpy

Arrays = dict[str, npt.NDArray[Any]]


class Damaged(ValueError):
    """A file that is not what was once written."""


def encode(arrays: Mapping[str, npt.NDArray[Any]], state: Mapping[str, Any]) -> bytes:
    """Return the file's bytes for arrays by name and JSON-able `state`."""
    # ascontiguousarray makes scalars one-dimensional; safetensors keeps shapes, so they are put back.
    contiguous = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in arrays.items()}
    text = json.dumps(dict(state))
    content: bytes = safetensors_numpy.save(contiguous, metadata={"state": text, "sha256": _digest(contiguous, text)})
    return content


def decode(content: bytes, what: str) -> tuple[Arrays, dict[str, Any]]:
    """Return the arrays and state of a file's bytes; raises Damaged, naming `what`, where they are not whole."""
    try:
        size = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + size])["__metadata__"]
        text, expected = metadata["state"], metadata.get("sha256")
        arrays = safetensors_numpy.load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{what} is cut short or no file of arrays ({len(content):,} bytes): {error}") from error
    # Files of the first releases carry no hash of their own.
    if expected is not None and _digest(arrays, text) != expected:
        raise Damaged(f"{what} was changed after it was written: its contents do not match its hash")
    return arrays, json.loads(text)


def mapped(path: Path) -> Arrays:
    """Return the arrays of a whole file, read from it only as far as they are used."""
    with path.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(size))
    types = {"F32": np.float32, "F64": np.float64, "I32": np.int32, "I64": np.int64, "U8": np.uint8}
    return {
        name: np.memmap(path, types[entry["dtype"]], "r", 8 + size + entry["data_offsets"][0], tuple(entry["shape"]))
        for name, entry in header.items()
        if name != "__metadata__"
    }


def require_whole(path: Path) -> None:
    """Raise Damaged where a file's header is not that of a file of arrays, or its hash is not of its contents."""
    try:
        arrays = mapped(path)
        with path.open("rb") as stream:
            metadata = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))["__metadata__"]
        text, expected = metadata["state"], metadata.get("sha256")
        whole = json.loads(text) is not None and (expected is None or _digest(arrays, text) == expected)
    except (ValueError, KeyError, TypeError, OSError, MemoryError, OverflowError) as error:
        raise Damaged(f"{path.name} is cut short or no file of arrays: {error}") from error
    if not whole:
        raise Damaged(f"{path.name} was changed after it was written: its contents do not match its hash")


def write(path: Path, content: bytes) -> None:
    """Write a file durably: aside, synced, renamed; raises OSError and leaves nothing where that fails."""
    aside = path.with_suffix(".partial")
    try:
        with aside.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _digest(arrays: Mapping[str, npt.NDArray[Any]], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
