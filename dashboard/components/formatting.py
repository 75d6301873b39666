"""Formats of sizes, durations, times and numbers; assets/js/core/formatting.mjs has those of the browser."""

from __future__ import annotations

BYTE_UNITS = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


def format_bytes(count: int) -> str:
    """Return a number of bytes as "34 MB"."""
    for unit, scale in BYTE_UNITS:
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count} bytes"


def format_duration(seconds: float) -> str:
    """Return "34 s", "2 min 10 s", "3 h 5 min"."""
    whole = max(1, round(seconds))
    minutes, rest = divmod(whole, 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def format_time(iso: str, *, seconds: bool = False) -> str:
    """Return an ISO time as "2026-01-31 12:00", with seconds if asked."""
    return iso[: 19 if seconds else 16].replace("T", " ")


def format_count(count: int, noun: str) -> str:
    """Return "1 run" or "1,200 runs"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def format_number(value: float, *, is_share: bool = False) -> str:
    """Return a metric's value with three significant digits, or a share as a percentage."""
    return f"{100 * value:.2f} %" if is_share else f"{value:.3g}"
