"""The caller of a request, and the scope that each route needs.

An API route missing in the table is refused; a test compares the table with OpenAPI.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

from starlette.requests import HTTPConnection

from backend.store.errors import Forbidden
from backend.store.scopes import TokenScope, includes

Requirement = TokenScope | Literal["none"]
"""A scope, or none for routes without authentication."""

ROUTES: dict[Requirement, str] = {
    "none": """
        GET /healthz
        GET /readyz
    """,
    "read": """
        GET /api/v1/me
        POST /api/v1/logout
        GET /docs
        GET /docs/{path:path}
        GET /api/docs
        GET /api/docs/{name}
        GET /api/v1/openapi.json
        GET /api/v1/presets
        GET /api/v1/schema/config
        POST /api/v1/config/check
        POST /api/v1/config/estimate
        GET /api/v1/data
        GET /api/v1/metrics
        GET /api/v1/system
        GET /api/v1/readiness
        GET /api/v1/runs
        GET /api/v1/runs/{run_id}
        GET /api/v1/runs/{run_id}/overview
        GET /api/v1/runs/{run_id}/events
        GET /api/v1/runs/{run_id}/metrics
        GET /api/v1/runs/{run_id}/geometry
        GET /api/v1/runs/{run_id}/samples
        GET /api/v1/runs/{run_id}/features.npz
        GET /api/v1/runs/{run_id}/milestones
        GET /api/v1/runs/{run_id}/attempts
        GET /api/v1/runs/{run_id}/log
        GET /api/v1/runs/{run_id}/readings
        GET /api/v1/runs/{run_id}/artifacts
        GET /api/v1/runs/{run_id}/artifacts/{kind}/{step}
        GET /api/v1/runs/{run_id}/figures/{figure}.{format}
        GET /api/v1/runs/{run_id}/replay.html
        GET /api/v1/runs/{run_id}/archive.zip
        GET /api/v1/figures/{figure}.{format}
        GET /api/v1/replay.html
        POST /api/v1/figures/origin
        GET /api/v1/stream
        GET /api/v1/groups
        GET /api/v1/folds
        GET /api/v1/sparklines
        GET /api/v1/queue
        GET /api/v1/trash
    """,
    # Bulk actions that delete or restore ask for `admin` in the route, where the action is known.
    "launch": """
        POST /api/v1/runs
        POST /api/v1/sweeps
        POST /api/v1/imports
        POST /api/v1/runs/bulk
        PATCH /api/v1/runs/{run_id}
        POST /api/v1/runs/{run_id}/clone
        POST /api/v1/runs/{run_id}/move
        POST /api/v1/runs/{run_id}/cancel
        POST /api/v1/runs/{run_id}/pause
        POST /api/v1/runs/{run_id}/resume
        POST /api/v1/runs/{run_id}/retry
    """,
    "admin": """
        DELETE /api/v1/runs/{run_id}
        POST /api/v1/runs/{run_id}/restore
        POST /api/v1/gc
        GET /api/v1/gc/{plan}
        POST /api/v1/gc/{plan}/delete
        POST /api/v1/trash/empty
        POST /api/v1/trash/restore
        GET /api/v1/tokens
        POST /api/v1/tokens
        DELETE /api/v1/tokens/{token_id}
        GET /api/v1/audit
        GET /api/v1/doctor
        GET /prometheus
    """,
}
REQUIREMENTS: dict[str, Requirement] = {
    line.strip(): requirement for requirement, text in ROUTES.items() for line in text.strip().splitlines()
}
"""By method and path template."""
ANY_API_PATH = "/api/{path:path}"
"""The path of the route that answers 404 and 405."""


def requirement_of(method: str, path: str) -> Requirement | None:
    """Return what a route needs, by its path template; None if nothing is declared."""
    requirement = REQUIREMENTS.get(f"{method} {path}")
    if requirement is None and (path == ANY_API_PATH or not path.startswith("/api/")):
        # Pages show data of the API, which checks the scope of their caller again.
        return "read"
    return requirement


async def authorize(connection: HTTPConnection) -> None:
    """FastAPI dependency of every route: raise Forbidden unless the caller has the scope."""
    method, path = connection.scope.get("method", "GET"), getattr(connection.scope.get("route"), "path", "")
    requirement = requirement_of(method, path)
    if requirement is None:
        current_caller()
        raise Forbidden(f"no scope is declared for {method} {path}; declare it in backend/api/security/permissions.py")
    if requirement != "none":
        require_scope(requirement)


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
