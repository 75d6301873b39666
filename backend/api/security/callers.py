"""The authenticated caller of the current request, in a context variable."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from backend.store.errors import Forbidden
from backend.store.scopes import TokenScope, includes


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller. Its rights are `scope` alone; the name is free text for people."""

    name: str
    scope: TokenScope
    token_id: str | None = None
    """Id of the token; None for the server's own."""
    session: str | None = None
    """Digest of the session id, for a browser."""
    ends_at: str | None = None
    """When the token expires or the session ends, whichever is first."""


caller: ContextVar[Caller | None] = ContextVar("caller", default=None)
"""Set by `Guard` during a request; calls of the API from pages inside the process inherit it."""


def current_caller() -> Caller:
    """Return the caller; raises Forbidden if there is none, which `Guard` prevents for requests from outside."""
    who = caller.get()
    if who is None:
        raise Forbidden("this request has no caller; send `Authorization: Bearer TOKEN` to the server's own address")
    return who


def require_scope(needed: TokenScope) -> Caller:
    """Return the caller; raises Forbidden if its scope does not include the needed one."""
    who = current_caller()
    if not includes(who.scope, needed):
        may = {"read": "may only read", "launch": "may read and launch"}.get(who.scope, "is not enough")
        raise Forbidden(
            f"the token {who.name!r} {may}; this needs the scope {needed!r}: ask the server's owner for such a token"
        )
    return who
