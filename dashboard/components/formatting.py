"""Number formats: every number, duration, size and time that Python writes into a page is formatted here.

Functions that assets/js/core/formatting.mjs has too give the same texts; tests/number_formats.json has the results of
both. Ties are rounded away from zero, as JavaScript rounds them.
"""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal

BYTE_UNITS = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))
SMALLEST_PLAIN_NUMBER = 1e-3
"""Numbers below it are written with an exponent."""


def format_number(value: float | None) -> str:
    """Return a number with three significant digits, and an exponent below 0.001; empty for None."""
    if value is None:
        return ""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if 0 < abs(value) < SMALLEST_PLAIN_NUMBER:
        mantissa, exponent = f"{_round(value, 2):.1e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    rounded = _round(value, 3)
    return str(int(rounded)) if rounded.is_integer() and abs(rounded) < 1e21 else repr(rounded)


def _round(value: float, digits: int) -> float:
    """Round to significant digits."""
    exact = Decimal(value)
    return float(exact.quantize(Decimal(1).scaleb(exact.adjusted() - digits + 1), ROUND_HALF_UP))


def format_percent(value: float | None, digits: int = 1) -> str:
    """Return a share in [0, 1] as "98.2 %"; empty for None."""
    if value is None:
        return ""
    return f"{Decimal(100 * value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)} %"


def format_duration(seconds: float) -> str:
    """Return seconds as "34 s", "2 min 10 s", "3 h 5 min"."""
    minutes, rest = divmod(math.floor(seconds + 0.5), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    if minutes:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{rest} s"


def format_bytes(count: int) -> str:
    """Return a number of bytes as "3.4 kB"."""
    unit, scale = next(((unit, scale) for unit, scale in BYTE_UNITS if count >= scale), ("bytes", 1))
    return f"{format_number(count / scale)} {unit}"


def format_count(count: int, noun: str) -> str:
    """Return a number with thousands separators and what it counts: "1 run", "1,200 runs"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def format_files(count: int, size_bytes: int) -> str:
    """Return "12 files (2.8 MB)"."""
    return f"{format_count(count, 'file')} ({format_bytes(size_bytes)})"


def format_time(iso: str, *, seconds: bool = False) -> str:
    """Return an ISO time as "2026-01-31 12:00", with seconds if asked."""
    return iso[: 19 if seconds else 16].replace("T", " ")
