"""A route class that serialises models in the worker thread; FastAPI would do it on the event loop and block it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from fastapi import Response
from fastapi.routing import APIRoute
from pydantic import BaseModel


class EncodedRoute(APIRoute):
    """A route whose thread-run (non-async) endpoint returns its model already encoded as JSON."""

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
        injected = next((value for value in kwargs.values() if type(value) is Response), None)
        # Copy status and headers from the injected response, as FastAPI does.
        answer.status_code = (injected and injected.status_code) or status_code or 200
        if injected is not None:
            headers = ((name, value) for name, value in injected.raw_headers if name != b"content-length")
            answer.raw_headers.extend(headers)
        return answer

    return encoded
