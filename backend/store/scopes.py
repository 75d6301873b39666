"""The three scopes of a token, each of which includes the one before."""

from __future__ import annotations

from typing import Literal, get_args

TokenScope = Literal["read", "launch", "admin"]
SCOPES: tuple[TokenScope, ...] = get_args(TokenScope)
"""From the least to the most: see everything; start and change runs; delete runs, manage tokens, read the audit."""

OWNER = "owner"
"""How the audit names the server's own token. A further token may have the same name, but also has an id."""


def includes(held: TokenScope, needed: TokenScope) -> bool:
    """Return whether a token of one scope may do what another scope allows."""
    return SCOPES.index(held) >= SCOPES.index(needed)
