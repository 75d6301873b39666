"""Zip files created in chunks while they are sent, never whole in memory; equal contents give equal bytes."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from typing_extensions import Buffer

CHUNK_BYTES = 2**20
EPOCH = (1980, 1, 1, 0, 0, 0)
"""Timestamp of every member."""


class ZipMember(NamedTuple):
    """A member of a zip file: its name, its content in chunks, and whether to compress it."""

    name: str
    chunks: Iterable[bytes]
    compressed: bool = False


class _ChunkBuffer(io.RawIOBase):
    """A write-only file whose content is taken out in chunks."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, content: Buffer, /) -> int:
        self._parts.append(bytes(content))
        return len(self._parts[-1])

    def take(self) -> bytes:
        taken, self._parts = b"".join(self._parts), []
        return taken


def stream_zip(members: Iterable[ZipMember]) -> Iterator[bytes]:
    """Yield the bytes of a zip file with these members in this order; the iterator of members is advanced lazily."""
    buffer = _ChunkBuffer()
    with zipfile.ZipFile(buffer, "w") as archive:
        for member in members:
            info = zipfile.ZipInfo(member.name, EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED if member.compressed else zipfile.ZIP_STORED
            with archive.open(info, "w", force_zip64=True) as entry:
                for chunk in member.chunks:
                    entry.write(chunk)
                    yield buffer.take()
            yield buffer.take()
    yield buffer.take()


def stream_npz(arrays: Mapping[str, npt.NDArray[Any]]) -> Iterator[bytes]:
    """Yield the bytes of an uncompressed .npz file that `numpy.load` reads."""
    return stream_zip(ZipMember(f"{name}.npy", _npy(array)) for name, array in arrays.items())


def _npy(array: npt.NDArray[Any]) -> Iterator[bytes]:
    head = io.BytesIO()
    header = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False}
    np.lib.format.write_array_header_1_0(head, {**header, "shape": array.shape})
    yield head.getvalue()
    flat = array.reshape(-1)
    step = max(1, CHUNK_BYTES // array.itemsize)
    for start in range(0, len(flat), step):
        yield np.ascontiguousarray(flat[start : start + step]).tobytes()
