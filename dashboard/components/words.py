"""Numbers as people read them."""

from __future__ import annotations


def size(count: int) -> str:
    """Return a number of bytes as people read it: "34 MB"."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count} bytes"
