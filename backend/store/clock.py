"""Timestamps in the form in which the database holds them."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> str:
    """Return the current time in UTC, ISO 8601 with milliseconds, which sorts as text."""
    return text_of(datetime.now(UTC))


def text_of(moment: datetime) -> str:
    """Return a time in UTC as ISO 8601 with milliseconds."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
