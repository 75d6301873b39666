"""The typed HTTP client.

A *call* says what is asked and what comes back; it is made by a method of `calls` and sent by either client:

    with Client("http://127.0.0.1:8050", token) as client:
        run = client(calls.launch({"data": {"name": "digits"}}, tags=["first"]))     # a wire.RunWire
        client(calls.pause(run.id))

    async with AsyncClient("http://127.0.0.1:8050", token) as client:
        page = await client(calls.runs(q="head:nearest-etf nc1<0.05"))               # a wire.RunPage

Each operation of the API is written down once, with its types, for both. Errors are `ApiError`, with the server's
problem whole.
"""

from backend.client.client import AsyncClient, Client, Wait
from backend.client.operations import ApiError, calls

__all__ = ["ApiError", "AsyncClient", "Client", "Wait", "calls"]
