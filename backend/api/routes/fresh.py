"""Answers that never change, or change only with what they are of: an ETag, and 304 for those who have it."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
from fastapi import Request, Response
from pydantic import BaseModel


def tag(*parts: object) -> str:
    """Return an ETag for what is wholly determined by `parts`."""
    return f'"{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}"'


def has(request: Request, etag: str) -> bool:
    """Whether who asks says that they have this very answer."""
    held = request.headers.get("if-none-match", "")
    return held == "*" or etag in (each.strip().removeprefix("W/") for each in held.split(","))


def unchanged(etag: str) -> Response:
    """Return the answer to somebody who has it."""
    return Response(status_code=304, headers={"etag": etag, "cache-control": CACHE})


NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "As it was when If-None-Match was given."}}
CACHE = "private, no-cache"
"""Kept by who asked, and asked for again each time: most answers are then 304."""


def answered(content: BaseModel | dict[str, Any], etag: str) -> Response:
    """Return JSON that its reader may keep."""
    body = content.model_dump(mode="json") if isinstance(content, BaseModel) else content
    headers = {"etag": etag, "cache-control": CACHE}
    return Response(orjson.dumps(body), media_type="application/json", headers=headers)
