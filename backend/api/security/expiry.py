"""Parsing and checking of a token's expiry."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from backend.store.clock import format_timestamp
from backend.store.errors import Invalid

MAX_LIFETIME = timedelta(days=3650)
UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def expiry_from_text(text: str) -> str:
    """Parse `30d`, `12h`, `2w`, or an ISO date or time to an expiry; a date means the end of that day in UTC.

    Raises Invalid.
    """
    given = text.strip()
    if match := re.fullmatch(r"([0-9]{1,6})([hdw])", given):
        return expiry(datetime.now(UTC) + min(int(match[1]) * UNITS[match[2]], 2 * MAX_LIFETIME))
    try:
        moment = datetime.fromisoformat(given)
    except ValueError as error:
        raise Invalid(f"the end must be such as 30d, 12h, 2w or 2027-01-31, got {text!r}") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", given):
        moment = moment.replace(hour=23, minute=59, second=59)
    return expiry(moment)


def expiry(moment: datetime) -> str:
    """Return an expiry in the store's format; raises Invalid if it is past or beyond MAX_LIFETIME."""
    now = datetime.now(UTC)
    if not now < moment <= now + MAX_LIFETIME:
        raise Invalid(
            f"the end must be in the future and at most {MAX_LIFETIME.days} days away, got {moment.isoformat()}; "
            "leave it out for a token without an end"
        )
    return format_timestamp(moment.astimezone(UTC))
