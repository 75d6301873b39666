"""Arrays as .npz while they are sent: a zip of .npy files, made chunk by chunk, never whole in memory."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from typing_extensions import Buffer

CHUNK_BYTES = 2**20
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every member: the same arrays give the same bytes."""


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


def streamed(arrays: Mapping[str, npt.NDArray[Any]]) -> Iterator[bytes]:
    """Yield the bytes of an uncompressed .npz file that `numpy.load` reads."""
    outbox = _Outbox()
    with zipfile.ZipFile(outbox, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy", EPOCH)
            with archive.open(member, "w", force_zip64=True) as entry:
                header = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False}
                np.lib.format.write_array_header_1_0(entry, {**header, "shape": array.shape})
                flat = array.reshape(-1)
                step = max(1, CHUNK_BYTES // array.itemsize)
                for start in range(0, len(flat), step):
                    entry.write(np.ascontiguousarray(flat[start : start + step]).tobytes())
                    yield outbox.take()
            yield outbox.take()
    yield outbox.take()
