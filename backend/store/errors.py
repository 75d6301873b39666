"""Errors with a message for people: what was expected, what was given, what to do. Each has an HTTP status."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CollapseError(Exception):
    """Base class: `title` names the kind of error, the message has the details and the remedy."""

    status = 500
    title = "Something went wrong"

    def __init__(self, message: str, **extra: object) -> None:
        super().__init__(message)
        self.extra = extra


class NotFound(CollapseError):
    """Nothing has that id."""

    status, title = 404, "Not found"


class Conflict(CollapseError):
    """The current state does not allow the operation."""

    status, title = 409, "Not possible in this state"


class Invalid(CollapseError):
    """The request is malformed or impossible; `errors` lists the fields, where they are known."""

    status, title = 422, "Invalid input"


class Forbidden(CollapseError):
    """The caller has no permission."""

    status, title = 403, "Not allowed"


class Unusable(CollapseError):
    """The data directory or the database cannot be used as it is."""

    status, title = 503, "The store cannot be used"


class Fenced(CollapseError):
    """Another attempt owns the run; the caller stops at once and writes nothing more."""

    status, title = 409, "Another attempt owns this run"


class TooManyRequests(CollapseError):
    """The queue of long work is full; nothing was started. The answer has the header `Retry-After`."""

    status, title = 429, "Too many requests"

    def __init__(self, message: str, *, retry_after_s: int, ahead: int) -> None:
        super().__init__(message, retry_after_s=retry_after_s, ahead=ahead)
        self.retry_after_s, self.ahead = retry_after_s, ahead


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Return " (did you mean 'x'?)" for the candidate most similar to `name`, or "" if none is similar.

    A dotted candidate is also found by its last part: `lr` suggests `optimiser.lr`.
    """
    names = list(candidates)
    known: dict[str, str] = {}
    for candidate in names:
        known.setdefault(candidate.rpartition(".")[2].lower(), candidate)
    known |= {candidate.lower(): candidate for candidate in names}
    similar = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.7)
    return f" (did you mean {known[similar[0]]!r}?)" if similar else ""
