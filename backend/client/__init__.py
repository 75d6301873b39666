"""The typed HTTP client.

A *call* describes a request and the type of its response; a method of `calls` makes it, and either client sends it:

    with Client("http://127.0.0.1:8050", token) as client:
        run = client(calls.launch({"data": {"name": "digits"}}, tags=["first"]))     # a wire.RunWire
        client(calls.pause(run.id))

    async with AsyncClient("http://127.0.0.1:8050", token) as client:
        page = await client(calls.runs(q="head:nearest-etf nc1<0.05"))               # a wire.RunPage

Error responses raise `ApiError`, which has the server's problem details. The names load on first use, so that
commands without a server do not import an HTTP client.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backend.client.client import AsyncClient, Client, RetryWait
    from backend.client.operations import ApiError, calls

__all__ = ["ApiError", "AsyncClient", "Client", "RetryWait", "calls"]
_MODULES = {"ApiError": "operations", "calls": "operations"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"backend.client.{_MODULES.get(name, 'client')}"), name)
