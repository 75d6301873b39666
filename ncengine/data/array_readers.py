"""Read arrays by name from a .npz or .safetensors file or a folder of .npy files: headers first, contents on request.

Headers are checked against the length of the file, so that an array that declares terabytes, or unpacks to them, is
rejected before it is read. No pickle.
"""

from __future__ import annotations

import contextlib
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar, cast

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from ncengine.data.own_files_config import Arrays
from ncengine.files.zip_directory import require_small_directory

Array = npt.NDArray[Any]
Result = TypeVar("Result")
MAX_BYTES = 2**36
"""Largest array."""
MAX_MEMBERS = 10_000
MAX_HEADER_BYTES = 2**24
PACKED_BYTES, MAX_RATIO = 2**26, 200
"""A member of a .npz file larger than `PACKED_BYTES` may be at most `MAX_RATIO` times its compressed size."""
TYPES: dict[str, type[np.generic]] = {
    **{"BOOL": np.bool_, "F16": np.float16, "F32": np.float32, "F64": np.float64},
    **{"I8": np.int8, "I16": np.int16, "I32": np.int32, "I64": np.int64},
    **{"U8": np.uint8, "U16": np.uint16, "U32": np.uint32, "U64": np.uint64},
}
"""Types of safetensors files, by their names in the files."""
UNREADABLE = (
    *(ValueError, TypeError, KeyError, OSError, EOFError, NotImplementedError, RuntimeError, MemoryError, SyntaxError),
    *(zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError, SafetensorError, OverflowError),
)
"""Exceptions of NumPy, zipfile and safetensors for files that are damaged or of another format."""
ALIASES = {
    "train_images": ("train_images", "x_train"),
    "train_labels": ("train_labels", "y_train"),
    "test_images": ("test_images", "x_test"),
    "test_labels": ("test_labels", "y_test"),
    "images": ("images", "x"),
    "labels": ("labels", "y"),
}


class ArrayHeader(NamedTuple):
    """Shape and type of an array, from the header of its file."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def size_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


class ArrayReader:
    """Arrays by name, each read on access; `describe` reads its header only."""

    def __init__(self, names: list[str], read: Callable[[str], Array], describe: Callable[[str], ArrayHeader]) -> None:
        self.names, self._read, self._describe = names, read, describe

    def __contains__(self, name: str) -> bool:
        return any(alias in self.names for alias in ALIASES.get(name, (name,)))

    def __getitem__(self, name: str) -> Array:
        self.describe(name)
        return self._read_or_raise(self._read, name)

    def describe(self, name: str) -> ArrayHeader:
        """Return an array's header; raises ValueError if it is not valid, or the array too large."""
        found = self._read_or_raise(self._describe, name)
        if found.dtype.hasobject or found.dtype.names is not None:
            raise ValueError(f"{name} must be numbers, got {found.dtype}; nothing is read that needs pickle")
        if len(found.shape) > 8 or min(found.shape, default=0) < 0 or found.size_bytes > MAX_BYTES:
            raise ValueError(
                f"{name} must have at most {MAX_BYTES // 2**30} GiB, and its header says {found.shape} of {found.dtype}"
            )
        return found

    def _read_or_raise(self, work: Callable[[str], Result], name: str) -> Result:
        alias = next(alias for alias in ALIASES.get(name, (name,)) if alias in self.names)
        try:
            return work(alias)
        except UNREADABLE as error:
            raise ValueError(
                f"the array {alias} cannot be read: {error}; arrays must be whole, and of numbers"
            ) from error


def _npy_header(stream: BinaryIO, size: int) -> ArrayHeader:
    """Return the header of a .npy file of `size` bytes; raises ValueError if the array is longer than the file."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"its header has the version {version}, which only arrays of records need")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    found = ArrayHeader(tuple(int(length) for length in shape), dtype)
    if not dtype.hasobject and found.size_bytes > size - stream.tell():
        raise ValueError(
            f"its header says {found.shape} of {dtype}, which is {found.size_bytes:,} bytes, and it has "
            f"{max(0, size - stream.tell()):,}"
        )
    return found


def _npy_file_header(path: Path) -> ArrayHeader:
    with path.open("rb") as stream:
        return _npy_header(stream, path.stat().st_size)


def _npz_member_header(archive: zipfile.ZipFile, name: str) -> ArrayHeader:
    """Return the header of a .npz file's member; raises ValueError if its compression ratio is implausible."""
    info = archive.getinfo(f"{name}.npy")
    if info.file_size > PACKED_BYTES and info.file_size > MAX_RATIO * max(1, info.compress_size):
        raise ValueError(
            f"it is packed more than {MAX_RATIO} to 1 ({info.compress_size:,} bytes for {info.file_size:,}), as no "
            "data is; write it with numpy.savez"
        )
    with archive.open(info) as stream:
        return _npy_header(cast(BinaryIO, stream), info.file_size)


@contextlib.contextmanager
def open_arrays(data: Arrays) -> Iterator[ArrayReader]:
    """Open the arrays of `data.path`."""
    path = Path(data.path).expanduser()
    if path.is_dir():
        files = {file.stem: file for file in sorted(path.glob("*.npy"))}
        yield ArrayReader(
            list(files),
            lambda name: np.load(files[name], mmap_mode="r", allow_pickle=False),
            lambda name: _npy_file_header(files[name]),
        )
        return
    if not data.path or not path.is_file():
        raise ValueError(f"data.path must be a .npz or .safetensors file or a folder of .npy files, got {data.path!r}")
    if path.suffix.lower() == ".npz":
        with path.open("rb") as stream:  # NumPy does not close a file that it cannot read
            try:
                require_small_directory(stream, MAX_MEMBERS)
                archive = np.load(stream, allow_pickle=False)
                names, members = list(archive.files), archive.zip
            except (*UNREADABLE, AttributeError) as error:
                raise ValueError(f"{path} is no .npz file, or damaged ({error})") from error
            with archive:
                yield ArrayReader(names, lambda name: archive[name], lambda name: _npz_member_header(members, name))
        return
    if path.suffix.lower() == ".safetensors":
        with _safetensors(path) as held:
            yield held
        return
    raise ValueError(f"data.path must end in .npz or .safetensors, or be a folder of .npy files, got {path.name}")


@contextlib.contextmanager
def _safetensors(path: Path) -> Iterator[ArrayReader]:
    with path.open("rb") as stream:
        header_bytes = int.from_bytes(stream.read(8), "little")
    if header_bytes > MAX_HEADER_BYTES:
        raise ValueError(f"{path} is no .safetensors file, or damaged (its header would have {header_bytes:,} bytes)")
    try:
        # The library checks every array's offset and shape against the length of the file.
        file: Any = safe_open(path, framework="numpy")
    except SafetensorError as error:
        raise ValueError(f"{path} is no .safetensors file, or damaged ({error})") from error

    def describe(name: str) -> ArrayHeader:
        held = file.get_slice(name)
        return ArrayHeader(tuple(held.get_shape()), np.dtype(TYPES[held.get_dtype()]))

    with file:
        yield ArrayReader(list(file.keys()), file.get_tensor, describe)
