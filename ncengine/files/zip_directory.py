"""Check the size of a zip file's central directory before zipfile reads it, for uploads and .npz files."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import BinaryIO

END, LOCATOR, END64 = struct.Struct("<4s4H2LH"), struct.Struct("<4sLQL"), struct.Struct("<4sQ2H2L4Q")
"""The records at the end of a zip file: end of central directory, and the locator and record of ZIP64."""
MAX_ENTRY_BYTES = 600
"""Largest entry of a central directory: 46 bytes, a name, and ZIP64 fields."""


def require_small_directory(stream: BinaryIO, max_entries: int) -> None:
    """Raise BadZipFile if the central directory of a zip file is too large, or not where zipfile expects it.

    zipfile reads the whole directory, and creates an object for each entry, before entries can be counted.
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
    if entries > max_entries:
        raise zipfile.BadZipFile(f"it says that it has {entries:,} parts, and may have {max_entries:,}")
    if table_bytes > MAX_ENTRY_BYTES * max(1, entries) or table_bytes > size:
        raise zipfile.BadZipFile(f"its table of contents has {table_bytes:,} bytes for {entries:,} parts")
    stream.seek(0)
