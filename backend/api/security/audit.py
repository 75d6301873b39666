"""Middleware that writes every change, also refused ones, to the audit log with its caller, and logs every request."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api.responses import problem_response
from backend.api.security.permissions import Caller, caller
from backend.store import access
from backend.store.database import Store, Unreachable

log = logging.getLogger("collapse.access")

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
READ_ONLY_POSTS = frozenset({"/api/v1/config/check", "/api/v1/config/estimate", "/api/v1/figures/origin"})
"""Routes that take POST and change nothing."""


class AuditMiddleware:
    """Refuses API requests without a caller, also those made inside the process, and records changes."""

    def __init__(self, app: ASGIApp, store: Store, observe: Callable[[str, int, float], None]) -> None:
        self._app, self._store, self._observe = app, store, observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/api/"):
            await self._app(scope, receive, send)
            return
        current, began = caller.get(), time.perf_counter()
        if current is None:
            detail = "this request has no caller; send `Authorization: Bearer TOKEN` to the server's own address"
            await problem_response(401, "Not logged in", detail)(scope, receive, send)
            return
        sent_status: int | None = None
        is_change = scope["method"] not in SAFE_METHODS and scope["path"] not in READ_ONLY_POSTS

        async def record_and_send(message: Message) -> None:
            nonlocal sent_status
            if message["type"] == "http.response.start":
                sent_status = message["status"]
                # Recorded before the response is sent, so that a client with the response finds its change in the log.
                if is_change:
                    await asyncio.to_thread(self._record, current, scope["method"], scope["path"], message["status"])
            await send(message)

        try:
            await self._app(scope, receive, record_and_send)
        finally:
            duration_s, status = time.perf_counter() - began, sent_status or 500
            self._observe(scope["method"], status, duration_s)
            duration_ms = round(1000 * duration_s, 1)
            facts = {"method": scope["method"], "path": scope["path"], "status": status, "ms": duration_ms}
            log.info("request", extra={"facts": {**facts, "who": current.name, "token_id": current.token_id}})
            if sent_status is None and is_change:
                await asyncio.to_thread(self._record, current, scope["method"], scope["path"], status)

    def _record(self, current: Caller, method: str, path: str, status: int) -> None:
        match = re.match(r"/api/v1/runs/([0-9a-z]{1,16})(/|$)", path)
        run_id = match[1] if match else None
        try:
            access.record_action(
                self._store, current.name, current.token_id, f"{method} {path[:200]}", status, run_id=run_id
            )
        except Unreachable as error:
            log.warning(
                "the audit log could not be written: %s", error, extra={"facts": {"who": current.name, "path": path}}
            )
