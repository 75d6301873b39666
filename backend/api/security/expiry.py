"""When a token ends, as people say it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from backend.store.clock import format_timestamp
from backend.store.errors import Invalid

LONGEST = timedelta(days=3650)
UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def expiry_from_text(text: str) -> str:
    """Return the end that `30d`, `12h`, `2w`, or an ISO date or time means; a date alone is its whole day, in UTC.

    Raises Invalid.
    """
    given = text.strip()
    if held := re.fullmatch(r"([0-9]{1,6})([hdw])", given):
        return expiry(datetime.now(UTC) + min(int(held[1]) * UNITS[held[2]], 2 * LONGEST))
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
    """Return a token's end as the store writes it; raises Invalid where it is past, or years away."""
    now = datetime.now(UTC)
    if not now < moment <= now + LONGEST:
        raise Invalid(
            f"the end must be in the future and at most {LONGEST.days} days away, got {moment.isoformat()}; "
            "leave it out for a token without an end"
        )
    return format_timestamp(moment.astimezone(UTC))
