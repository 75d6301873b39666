"""Exception handlers of the application: each error becomes an RFC 9457 problem."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from backend.api.responses import problem_response
from backend.api.routes.context import AppContext
from backend.store.database import Unreachable
from backend.store.errors import CollapseError, TooManyRequests
from backend.store.validation import MAX_ERRORS, field_errors

log = logging.getLogger("collapse")


def add_error_handlers(app: FastAPI) -> None:
    """Register a handler for each type of error that a route can raise."""
    app.add_exception_handler(CollapseError, _on_collapse_error)
    for unreachable in Unreachable:
        if not issubclass(unreachable, CollapseError):
            app.add_exception_handler(unreachable, _on_unreachable)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)


async def _on_collapse_error(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, CollapseError):
        raise error
    answer = problem_response(error.status, error.title, str(error), **error.extra)
    if isinstance(error, TooManyRequests):
        answer.headers["retry-after"] = str(error.retry_after_s)
    return answer


async def _on_disconnect(_request: Request, _error: Exception) -> Response:
    return Response(status_code=499)  # only for the log: the client has gone


async def _on_unreachable(request: Request, error: Exception) -> JSONResponse:
    log.error("the database could not be used: %s", error)
    context: AppContext = request.app.state.context
    known = context.supervisor.database.problem
    detail = known or "the database cannot be reached; nothing was changed, try again in a moment"
    answer = problem_response(503, "The store cannot be used", detail)
    answer.headers["retry-after"] = "5"
    return answer


async def _on_validation_error(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    # A body can have ten thousand errors; the first few are enough to correct it.
    items: list[Mapping[str, Any]] = [
        {**item, "loc": _field_location(item["loc"])} for item in error.errors()[:MAX_ERRORS]
    ]
    fields = field_errors(items)
    detail = "; ".join(f"{e.path}: {e.message}" if e.path else e.message for e in fields)
    return problem_response(422, "Invalid input", detail, errors=[e.model_dump() for e in fields])


def _field_location(location: Sequence[str | int]) -> Sequence[str | int]:
    """Return an error's location without `body`, `query` … and without `config`, whose settings have dotted names."""
    return location[2:] if tuple(location[:2]) == ("body", "config") else location[1:]


async def _on_http_exception(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    answer = problem_response(error.status_code, "Request refused", str(error.detail))
    answer.headers.update(error.headers or {})
    return answer
