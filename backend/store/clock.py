"""Timestamps in the form in which the database holds them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def now() -> str:
    """Return the current time in UTC, ISO 8601 with milliseconds, which sorts as text."""
    return format_timestamp(datetime.now(UTC))


def format_timestamp(time: datetime) -> str:
    """Return a time in UTC as ISO 8601 with milliseconds."""
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ago(age: timedelta) -> str:
    """Return the timestamp of the moment `age` ago."""
    return format_timestamp(datetime.now(UTC) - age)
