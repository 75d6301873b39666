"""Errors that a person reads: what was expected, what came, what to do. Each maps to one HTTP status (RFC 9457)."""

from __future__ import annotations


class CollapseError(Exception):
    """Base: `title` is the kind in words, the message the particulars with the remedy."""

    status = 500
    title = "Something went wrong"

    def __init__(self, message: str, **extra: object) -> None:
        super().__init__(message)
        self.extra = extra


class NotFound(CollapseError):
    """There is nothing under that id."""

    status, title = 404, "Not found"


class Conflict(CollapseError):
    """The thing is in a state that does not allow this."""

    status, title = 409, "Not possible in this state"


class Invalid(CollapseError):
    """The request is not understood or impossible; `errors` lists fields where it is known."""

    status, title = 422, "Invalid input"


class Forbidden(CollapseError):
    """The caller is not let in."""

    status, title = 403, "Not allowed"


class Unusable(CollapseError):
    """The data directory or the database cannot be used as it is."""

    status, title = 503, "The store cannot be used"


class Fenced(CollapseError):
    """Another attempt owns the run; the one who hears this stops at once and writes nothing more."""

    status, title = 409, "Another attempt owns this run"


class TooManyRequests(CollapseError):
    """The server has as much long work to do as it takes; nothing was begun. Sent with `Retry-After`."""

    status, title = 429, "Too many requests"

    def __init__(self, message: str, *, retry_after_s: int, ahead: int) -> None:
        super().__init__(message, retry_after_s=retry_after_s, ahead=ahead)
        self.retry_after_s, self.ahead = retry_after_s, ahead
