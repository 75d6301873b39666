"""Zip files while they are sent: made chunk by chunk, never whole in memory; the same contents give the same bytes."""

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
"""The time of every member."""


class ZipMember(NamedTuple):
    """A file of a zip: its name, its content in chunks, and whether it is worth compressing."""

    name: str
    chunks: Iterable[bytes]
    compressed: bool = False


class _Outbox(io.RawIOBase):
    """A file that can only be written, and handed out in parts."""

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
    """Yield the bytes of a zip file with these members, in this order; each is asked for when its turn comes."""
    outbox = _Outbox()
    with zipfile.ZipFile(outbox, "w") as archive:
        for member in members:
            info = zipfile.ZipInfo(member.name, EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED if member.compressed else zipfile.ZIP_STORED
            with archive.open(info, "w", force_zip64=True) as entry:
                for chunk in member.chunks:
                    entry.write(chunk)
                    yield outbox.take()
            yield outbox.take()
    yield outbox.take()


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
