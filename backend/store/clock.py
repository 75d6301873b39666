"""The wall clock, as the store writes it down."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> str:
    """Return the present time, UTC, ISO 8601 with milliseconds: sorts as text."""
    return text_of(datetime.now(UTC))


def text_of(moment: datetime) -> str:
    """Return a time in UTC as the store writes it, ISO 8601 with milliseconds."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
