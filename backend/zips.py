"""Zip files while they are sent: made chunk by chunk, never whole in memory; the same contents give the same bytes.

And of those that come: how long their table of contents is, before anything reads it.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from typing_extensions import Buffer

CHUNK_BYTES = 2**20
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every member."""


class Member(NamedTuple):
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


def streamed(members: Iterable[Member]) -> Iterator[bytes]:
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


def npz(arrays: Mapping[str, npt.NDArray[Any]]) -> Iterator[bytes]:
    """Yield the bytes of an uncompressed .npz file that `numpy.load` reads."""
    return streamed(Member(f"{name}.npy", _npy(array)) for name, array in arrays.items())


def _npy(array: npt.NDArray[Any]) -> Iterator[bytes]:
    head = io.BytesIO()
    header = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False}
    np.lib.format.write_array_header_1_0(head, {**header, "shape": array.shape})
    yield head.getvalue()
    flat = array.reshape(-1)
    step = max(1, CHUNK_BYTES // array.itemsize)
    for start in range(0, len(flat), step):
        yield np.ascontiguousarray(flat[start : start + step]).tobytes()


END, LOCATOR, END64 = struct.Struct("<4s4H2LH"), struct.Struct("<4sLQL"), struct.Struct("<4sQ2H2L4Q")
"""The records at a zip file's end: its own, and where there are more than they can count, two of 64 bits before it."""
MOST_ENTRY_BYTES = 600
"""Of a row of the table of contents: 46 bytes, a name, and numbers of 64 bits."""


def require_table(stream: BinaryIO, most_entries: int) -> None:
    """Raise BadZipFile where the table of contents at a zip file's end is too long, or not where zipfile looks first.

    zipfile reads the whole table, and makes an object of each row, before anybody could ask how many there are.
    """
    size = stream.seek(0, io.SEEK_END)
    stream.seek(max(0, size - END.size - LOCATOR.size - END64.size))
    tail = stream.read()
    if len(tail) < END.size:
        raise zipfile.BadZipFile("it is shorter than a zip file can be")
    signature, _, _, _, entries, table_bytes, _, comment = END.unpack(tail[-END.size :])
    if signature != b"PK\x05\x06" or comment:
        raise zipfile.BadZipFile("it does not end with a table of contents; it was cut short, or is no zip file")
    if tail[-END.size - LOCATOR.size :].startswith(b"PK\x06\x07"):
        if len(tail) < END.size + LOCATOR.size + END64.size or not tail.startswith(b"PK\x06\x06"):
            raise zipfile.BadZipFile("its table of contents is not where it says")
        *_, entries, table_bytes, _ = END64.unpack(tail[: END64.size])
    if entries > most_entries:
        raise zipfile.BadZipFile(f"it says that it has {entries:,} parts, and may have {most_entries:,}")
    if table_bytes > MOST_ENTRY_BYTES * max(1, entries) or table_bytes > size:
        raise zipfile.BadZipFile(f"its table of contents has {table_bytes:,} bytes for {entries:,} parts")
    stream.seek(0)
