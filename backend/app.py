"""The one application: guard, API, stream and, where they are wanted, the pages, in one process."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio.to_thread
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from backend import wire
from backend.errors import CollapseError
from backend.jobs.local import Reading
from backend.jobs.supervisor import Supervisor
from backend.paper.process import PaperProcess
from backend.routes import catalogue, facts, figures, live, runs
from backend.routes.context import Context
from backend.security import Guard, allowed_hosts
from backend.settings import Settings
from backend.store import runs as run_store
from backend.store.database import Store, Unreachable
from backend.stream import Wakeups
from ncengine import __version__
from ncengine.preset_configs import PRESETS

log = logging.getLogger("collapse")
THREADS = 8


class Application:
    """The guarded ASGI application and its parts."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings = settings
        self.context = Context(
            settings=settings,
            store=store,
            supervisor=Supervisor(
                store, warm=settings.warm, reading=Reading(settings.data_roots, settings.mirror, confined=True)
            ),
            wakeups=Wakeups(store),
            paper=PaperProcess(),
        )
        self.api = _api(self.context)
        hosts = allowed_hosts(settings.host, settings.port, settings.allow_hosts)
        self.guarded: ASGIApp = Guard(self.api, token=settings.token, hosts=hosts, cookie=f"collapse-{settings.port}")

    def add_pages(self, attach: Callable[[FastAPI, Settings], None]) -> None:
        """Let the dashboard mount its pages on the application."""
        attach(self.api, self.settings)


def _api(context: Context) -> FastAPI:
    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        if context.settings.demonstration and run_store.is_empty(context.store):
            run_store.create(context.store, PRESETS["first-light"](), name="first-light", demonstration=True)
        # Forty threads, the default, would each keep an arena of memory; the store has one writer at a time anyway.
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        context.supervisor.start()
        async with context.wakeups:
            yield
        context.supervisor.close()
        context.paper.close()

    app = FastAPI(
        title="Collapse Lab",
        version=__version__,
        lifespan=lifespan,
        docs_url="/api/docs",
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
        responses={code: {"model": wire.Problem} for code in (401, 403, 404, 409, 422)},
    )
    app.state.context = context
    for router in (runs.router, facts.router, catalogue.router, live.router, figures.router):
        app.include_router(router)

    @app.get("/healthz", tags=["catalogue"])
    async def healthz() -> dict[str, str]:
        """Answer that the server is up."""
        return {"status": "ok", "version": __version__}

    @app.api_route("/api/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
    async def unknown(path: str) -> None:
        """Answer what is not there with a problem, before the pages take it."""
        raise HTTPException(404, f"there is no /api/{path}; /api/docs lists what is")

    app.add_exception_handler(CollapseError, _on_error)
    for unreachable in Unreachable:
        app.add_exception_handler(unreachable, _on_unreachable)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    return app


def problem(status: int, title: str, detail: str, **extra: Any) -> JSONResponse:
    """Return an RFC 9457 problem."""
    content = {"type": "about:blank", "title": title, "status": status, "detail": detail, **extra}
    return JSONResponse(content, status_code=status, media_type="application/problem+json")


async def _on_error(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, CollapseError):
        raise error
    return problem(error.status, error.title, str(error), **error.extra)


async def _on_unreachable(_request: Request, error: Exception) -> JSONResponse:
    log.error("the database could not be used: %s", error)
    detail = "the database cannot be reached or written just now; nothing was changed, try again in a moment"
    answer = problem(503, "The store cannot be used", detail)
    answer.headers["retry-after"] = "5"
    return answer


async def _on_invalid(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    found = []
    for item in error.errors():
        in_config = tuple(item["loc"][:2]) == ("body", "config")
        found += wire.field_errors([item], drop=2 if in_config else 1)
    detail = "; ".join(f"{e.path}: {e.message}" if e.path else e.message for e in found)
    return problem(422, "Invalid input", detail, errors=[e.model_dump() for e in found])


async def _on_http(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    return problem(error.status_code, "Request refused", str(error.detail))
