"""The three scopes of an access token; each includes the one before."""

from __future__ import annotations

from typing import Literal, get_args

TokenScope = Literal["read", "launch", "admin"]
SCOPES: tuple[TokenScope, ...] = get_args(TokenScope)
"""In ascending order: view everything; start and change runs; delete runs, manage tokens, read the audit log."""

OWNER = "owner"
"""Name of the server's own token in the audit log. Another token may have the same name, but also has an id."""


def includes(granted: TokenScope, needed: TokenScope) -> bool:
    """Return whether a token with scope `granted` may do what scope `needed` allows."""
    return SCOPES.index(granted) >= SCOPES.index(needed)
