"""Numbers as people read them."""

from __future__ import annotations


def size(count: int) -> str:
    """Return a number of bytes as people read it: "34 MB"."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count} bytes"


def duration(seconds: float) -> str:
    """Return "34 s", "2 min 10 s", "3 h 5 min"."""
    whole = max(1, round(seconds))
    minutes, rest = divmod(whole, 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
