"""Models are encoded in the thread that made them: FastAPI would do it on the event loop, where everybody waits."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from fastapi import Response
from fastapi.routing import APIRoute
from pydantic import BaseModel


class EncodedRoute(APIRoute):
    """A route whose function, where it runs in a thread, returns its model as JSON bytes."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **given: Any) -> None:
        wrapped = endpoint if inspect.iscoroutinefunction(endpoint) else _encoding(endpoint, given.get("status_code"))
        super().__init__(path, wrapped, **given)


def _encoding(endpoint: Callable[..., Any], status_code: int | None) -> Callable[..., Any]:
    @functools.wraps(endpoint)
    def encoded(*args: Any, **kwargs: Any) -> Any:
        found = endpoint(*args, **kwargs)
        if not isinstance(found, BaseModel):
            return found
        answer = Response(found.model_dump_json(), media_type="application/json")
        asked = next((value for value in kwargs.values() if type(value) is Response), None)
        # What the function set on the response that it was given, as FastAPI would take it over.
        answer.status_code = (asked and asked.status_code) or status_code or 200
        if asked is not None:
            answer.raw_headers.extend((name, value) for name, value in asked.raw_headers if name != b"content-length")
        return answer

    return encoded
