"""How long the table of contents of a zip file is, before zipfile reads it: of an upload, or of one's own .npz file."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import BinaryIO

END, LOCATOR, END64 = struct.Struct("<4s4H2LH"), struct.Struct("<4sLQL"), struct.Struct("<4sQ2H2L4Q")
"""The records at a zip file's end: its own, and where there are more than they can count, two of 64 bits before it."""
MAX_ENTRY_BYTES = 600
"""Of a row of the table of contents: 46 bytes, a name, and numbers of 64 bits."""


def require_small_directory(stream: BinaryIO, most_entries: int) -> None:
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
    if table_bytes > MAX_ENTRY_BYTES * max(1, entries) or table_bytes > size:
        raise zipfile.BadZipFile(f"its table of contents has {table_bytes:,} bytes for {entries:,} parts")
    stream.seek(0)
