"""Responses that many routes and middlewares send: problems, HTML pages, and JSON with an ETag."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import orjson
from fastapi import Request, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel
from starlette.responses import JSONResponse


def problem_response(status: int, title: str, detail: str, **extra: Any) -> JSONResponse:
    """Return an RFC 9457 problem."""
    content = {"type": "about:blank", "title": title, "status": status, "detail": detail, **extra}
    return JSONResponse(content, status_code=status, media_type="application/problem+json")


TEMPLATES = Path(__file__).with_name("templates")
_environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)


def render_page(template: str, **values: object) -> str:
    """Return a template of `backend/api/templates` filled with values, which are escaped."""
    return _environment.get_template(template).render(values)


NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "Not modified since If-None-Match was given."}}
CACHE_CONTROL = "private, no-cache"
"""The client may store the response and revalidates it on each use; most of these requests are answered with 304."""


def make_etag(*parts: object) -> str:
    """Return an ETag for a response that `parts` determine."""
    return f'"{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}"'


def etag_matches(request: Request, etag: str) -> bool:
    """Return whether the request's If-None-Match names this ETag."""
    candidates = request.headers.get("if-none-match", "")
    return candidates == "*" or etag in (each.strip().removeprefix("W/") for each in candidates.split(","))


def not_modified_response(etag: str) -> Response:
    """Return the 304 response."""
    return Response(status_code=304, headers={"etag": etag, "cache-control": CACHE_CONTROL})


def cacheable_json_response(content: BaseModel | dict[str, Any], etag: str) -> Response:
    """Return a JSON response with an ETag."""
    body = content.model_dump(mode="json") if isinstance(content, BaseModel) else content
    headers = {"etag": etag, "cache-control": CACHE_CONTROL}
    return Response(orjson.dumps(body), media_type="application/json", headers=headers)
