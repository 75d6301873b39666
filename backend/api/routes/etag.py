"""ETags of responses that change only together with their inputs, and the 304 answer for clients that have them."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
from fastapi import Request, Response
from pydantic import BaseModel

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


def not_modified(etag: str) -> Response:
    """Return the 304 response."""
    return Response(status_code=304, headers={"etag": etag, "cache-control": CACHE_CONTROL})


def cacheable_json(content: BaseModel | dict[str, Any], etag: str) -> Response:
    """Return a JSON response with an ETag."""
    body = content.model_dump(mode="json") if isinstance(content, BaseModel) else content
    headers = {"etag": etag, "cache-control": CACHE_CONTROL}
    return Response(orjson.dumps(body), media_type="application/json", headers=headers)
