"""Routes for monitors: liveness, readiness, Prometheus metrics; and the answer to unknown API paths."""

from __future__ import annotations

import re

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from backend.api import wire
from backend.api.routes.context import ContextDep
from backend.api.security.permissions import ANY_API_PATH
from ncengine import __version__

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
router = APIRouter(tags=["catalogue"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Return that the server is up, and its version."""
    return {"status": "ok", "version": __version__}


@router.get("/readyz", responses={503: {"model": wire.Readiness}})
def readyz(context: ContextDep, response: Response) -> wire.Readiness:
    """Return whether the server can take runs: database, supervisor and disk space.

    No token is needed, so problems are named without paths; `/api/v1/readiness` has the details.
    """
    problems = context.monitor.readiness()
    response.status_code = 200 if not problems else 503
    return wire.Readiness(ready=not problems, problems=list(problems))


@router.get("/prometheus", response_class=PlainTextResponse)
def prometheus(context: ContextDep) -> PlainTextResponse:
    """Return the server's metrics in Prometheus's text format."""
    return PlainTextResponse(context.monitor.exposition(), media_type=CONTENT_TYPE_LATEST)


@router.api_route(ANY_API_PATH, methods=METHODS, include_in_schema=False)
def unknown_path(request: Request, path: str) -> None:
    """Answer an unknown API path or method with a problem; without this route the pages would answer it."""
    allowed = _methods_at(request.app, f"/api/{path}")
    if allowed:
        detail = f"/api/{path} takes {' and '.join(allowed)}; see /api/docs"
        raise HTTPException(405, detail, {"allow": ", ".join(allowed)})
    raise HTTPException(404, f"there is no /api/{path[:200]}; see /api/docs")


def _methods_at(app: FastAPI, path: str) -> list[str]:
    """Return the methods that the API accepts at a path."""
    for template, operations in app.openapi()["paths"].items():
        parts = re.split(r"\{[^}]+\}", template)
        if re.fullmatch("[^/]+".join(map(re.escape, parts)), path):
            return sorted(method.upper() for method in operations)
    return []
