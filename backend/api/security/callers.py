"""Who asks: the caller that the guard let in, wherever in the process the request has got to."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from backend.store.errors import Forbidden
from backend.store.scopes import TokenScope, includes


@dataclass(frozen=True, slots=True)
class Caller:
    """Who was let in. Rights come from `scope` alone; the name is free text and only for people."""

    name: str
    scope: TokenScope
    token_id: str | None = None
    """Id of the token; None for the server's own."""
    session: str | None = None
    """Digest of the session id, for a browser."""
    ends_at: str | None = None
    """When the token expires or the session ends, whichever is first."""


caller: ContextVar[Caller | None] = ContextVar("caller", default=None)
"""Set by the guard for the time of a request; pages that call the API inside the process carry it along."""


def current_caller() -> Caller:
    """Return who asks; raises Forbidden where nobody was let in, which no way through the guard leads to."""
    who = caller.get()
    if who is None:
        raise Forbidden("this request has no caller; send `Authorization: Bearer TOKEN` to the server's own address")
    return who


def require_scope(needed: TokenScope) -> Caller:
    """Return who asks; raises Forbidden where their token has a lesser scope."""
    who = current_caller()
    if not includes(who.scope, needed):
        may = {"read": "may only read", "launch": "may read and launch"}.get(who.scope, "is not enough")
        raise Forbidden(
            f"the token {who.name!r} {may}; this needs the scope {needed!r}: ask the server's owner for such a token"
        )
    return who
