"""Callers, tokens and the audit log."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, Field

from backend.api.wire.base import WireModel, example_config
from backend.store.scopes import TokenScope
from backend.store.validation import Name


class CallerWire(WireModel):
    """The authenticated caller: name and scope of its token, or of the token that opened its session."""

    name: str
    """Free text; `owner` for the server's own token, which has no `token_id`."""
    scope: TokenScope
    may_change: bool
    token_id: str | None
    has_session: bool
    """Whether a browser session is used, which can log out."""
    ends_at: str | None
    """Expiry of the session or token, UTC."""


class TokenRequest(WireModel):
    """A token to create, with or without an expiry."""

    model_config = example_config(name="a co-author", scope="read", expires_in_s=2_592_000)
    name: Name
    """Free text; it gives no rights."""
    scope: TokenScope = "read"
    expires_at: AwareDatetime | None = None
    """Expiry, ISO 8601 with an offset."""
    expires_in_s: Annotated[int, Field(ge=60, le=315_360_000)] | None = None
    """Lifetime in seconds, instead of `expires_at`."""


class TokenWire(WireModel):
    """A token without its secret."""

    id: str
    name: str
    scope: TokenScope
    created_at: str
    expires_at: str | None
    revoked_at: str | None


class CreatedToken(TokenWire):
    """A new token with its secret, which is returned only once."""

    token: str
    url: str
    """The URL to send to its user."""


class AuditEntry(WireModel):
    """An entry of the audit log: caller, action and response status."""

    number: int
    at: str
    who: str
    """The token's name, free text; `owner` without `token_id` is the server's own token."""
    token_id: str | None
    action: str
    run_id: str | None
    status: int
