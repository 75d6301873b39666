"""Callers, tokens and the audit log."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, Field

from backend.api.wire.base import WireModel, example_config
from backend.store.scopes import TokenScope
from backend.store.validation import Name


class CallerWire(WireModel):
    """Who asks: the name and the rights of the token that was sent, or that the session was opened with."""

    name: str
    """Free text, for people; `owner` for the server's own token, which has no `token_id`."""
    scope: TokenScope
    may_change: bool
    token_id: str | None
    has_session: bool
    """A browser that is logged in, and can log out."""
    ends_at: str | None
    """When the session or the token ends, UTC."""


class TokenRequest(WireModel):
    """A token to make, of one scope, with an end or without."""

    model_config = example_config(name="a co-author", scope="read", expires_in_s=2_592_000)
    name: Name
    """Free text, for people: it gives no rights."""
    scope: TokenScope = "read"
    expires_at: AwareDatetime | None = None
    """When it ends, ISO 8601 with an offset."""
    expires_in_s: Annotated[int, Field(ge=60, le=315_360_000)] | None = None
    """In how many seconds it ends, instead of `expires_at`."""


class TokenWire(WireModel):
    """A token, without what it says."""

    id: str
    name: str
    scope: TokenScope
    created_at: str
    expires_at: str | None
    revoked_at: str | None


class CreatedToken(TokenWire):
    """A new token with what it says, told this once."""

    token: str
    url: str
    """The address to send to whoever is to use it."""


class AuditEntry(WireModel):
    """Who did what, and how it was answered."""

    number: int
    at: str
    who: str
    """The token's name, which is free text: `owner` with no `token_id` is the server's own token."""
    token_id: str | None
    action: str
    run_id: str | None
    status: int
