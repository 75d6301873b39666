"""Middleware of the API: every change, refused ones too, is written down with who made it, and every request logged."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api.problems import problem
from backend.api.security.callers import Caller, caller
from backend.store import audit
from backend.store.database import Store, Unreachable

log = logging.getLogger("collapse.access")

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
QUESTIONS = frozenset({"/api/v1/config/check", "/api/v1/config/estimate", "/api/v1/figures/origin"})
"""What is sent by POST and changes nothing."""


class AuditMiddleware:
    """Stands around the API, inside the process too: nobody without a caller gets in, and changes are written down."""

    def __init__(self, app: ASGIApp, store: Store, observe: Callable[[str, int, float], None]) -> None:
        self._app, self._store, self._observe = app, store, observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/api/"):
            await self._app(scope, receive, send)
            return
        who, began = caller.get(), time.perf_counter()
        if who is None:
            detail = "this request has no caller; send `Authorization: Bearer TOKEN` to the server's own address"
            await problem(401, "Not logged in", detail)(scope, receive, send)
            return
        answered: int | None = None
        changes = scope["method"] not in SAFE_METHODS and scope["path"] not in QUESTIONS

        async def noting(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = message["status"]
                # Before the answer: whoever has it finds their change in the audit.
                if changes:
                    await asyncio.to_thread(self._record, who, scope["method"], scope["path"], message["status"])
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            took_s, status = time.perf_counter() - began, answered or 500
            self._observe(scope["method"], status, took_s)
            facts = {"method": scope["method"], "path": scope["path"], "status": status, "ms": round(1000 * took_s, 1)}
            log.info("request", extra={"facts": {**facts, "who": who.name, "token_id": who.token_id}})
            if answered is None and changes:
                await asyncio.to_thread(self._record, who, scope["method"], scope["path"], status)

    def _record(self, who: Caller, method: str, path: str, status: int) -> None:
        named = re.match(r"/api/v1/runs/([0-9a-z]{1,16})(/|$)", path)
        run_id = named[1] if named else None
        try:
            audit.record(self._store, who.name, who.token_id, f"{method} {path[:200]}", status, run_id=run_id)
        except Unreachable as error:
            log.warning("the audit could not be written: %s", error, extra={"facts": {"who": who.name, "path": path}})
