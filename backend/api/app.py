"""The one application: guard, API, stream and, where they are wanted, the pages, in one process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio.to_thread
import orjson
from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.requests import ClientDisconnect

from backend.api import wire
from backend.api.gauges import Gauges
from backend.api.json_bounds import JsonBounds
from backend.api.problems import problem
from backend.api.routes import access, archives, catalogue, docs, facts, figures, gc, live, runs
from backend.api.routes.context import Context
from backend.api.security.audit import AuditMiddleware
from backend.api.security.authority import Authority
from backend.api.security.guard import Guard, allowed_hosts
from backend.api.security.headers import content_security_policy
from backend.api.security.login import Login
from backend.api.security.permissions import ANY_API_PATH, authorize
from backend.api.stream import Hub
from backend.api.work_queue import WorkQueue
from backend.figures.process import FigureProcess, LabelledFile, StoreLocation
from backend.jobs.launcher import DataAccess
from backend.jobs.slots import device_capacities
from backend.jobs.supervisor import JobLimits, Supervisor
from backend.jobs.trash_cleaner import TrashCleaner
from backend.settings import Settings
from backend.store import runs as run_store
from backend.store.database import Store, Unreachable
from backend.store.errors import CollapseError, TooManyRequests
from backend.store.validation import MAX_ERRORS, field_errors
from ncengine import __version__
from ncengine.preset_configs import PRESETS

log = logging.getLogger("collapse")
THREADS = 8
FIGURE_PLACES, FIGURES_PER_TOKEN = 32, 16
FIGURES_KEPT_BYTES = 2**24
"""So many bytes of results are kept, for those who ask for the same figure again."""
ARCHIVE_PLACES, ARCHIVES_PER_TOKEN = 8, 4
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
PROBLEM: dict[str, Any] = {
    "model": wire.Problem,
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
ROUTERS = (
    runs.router,
    facts.router,
    figures.router,
    live.router,
    catalogue.router,
    archives.router,
    gc.router,
    access.router,
    docs.router,
)
# Event streams are left out by default; what is compressed already gains nothing.
NOT_COMPRESSED = (*DEFAULT_EXCLUDED_CONTENT_TYPES, "application/pdf", "application/octet-stream")


class Application:
    """The guarded ASGI application and its parts."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings = settings
        slots = device_capacities(settings.slots)
        threads = max(1, (os.cpu_count() or 1) // slots["cpu"]) if slots["cpu"] > 1 else None
        reading = DataAccess(
            settings.data_roots,
            settings.mirror,
            confined=True,
            memory_bytes=settings.worker_memory_bytes,
            threads=threads,
        )
        limits = JobLimits(slots, hang_s=settings.hang_s, min_free_bytes=settings.least_free_bytes)
        supervisor = Supervisor(store, warm=settings.warm, data_access=reading, limits=limits)
        authority = Authority(settings.token, store)
        hub = Hub(store, authority.ended)
        figure_queue: WorkQueue[LabelledFile] = WorkQueue(
            FIGURE_PLACES, FIGURES_PER_TOKEN, at_once=1, keep_bytes=FIGURES_KEPT_BYTES
        )
        archive_queue: WorkQueue[LabelledFile] = WorkQueue(ARCHIVE_PLACES, ARCHIVES_PER_TOKEN, at_once=2)
        gauges = Gauges(store, supervisor, hub, {"figures": figure_queue, "archives": archive_queue})
        self.context = Context(
            settings,
            store,
            supervisor,
            hub,
            FigureProcess(StoreLocation(data_dir=store.data_dir, database_url=store.url)),
            authority,
            gauges,
            figure_queue,
            archive_queue,
        )
        self.api = _api(self.context)
        self.guarded = Guard(
            self.api,
            authority=authority,
            login=Login(authority, store, cookie=f"collapse-{settings.port}"),
            hosts=allowed_hosts(settings.host, settings.port, settings.allow_hosts),
            import_bytes=settings.import_bytes,
        )

    def add_pages(self, attach: Callable[[FastAPI, Settings], Iterable[str]]) -> None:
        """Let the dashboard mount its pages on the application; what it returns are its inline scripts' hashes."""
        self.guarded.policy = content_security_policy(attach(self.api, self.settings))


def _api(context: Context) -> FastAPI:
    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        if context.settings.demonstration and run_store.is_empty(context.store):
            run_store.create(context.store, PRESETS["first-light"](), name="first-light", demonstration=True)
        # Forty threads, the default, would each keep an arena of memory; the store has one writer at a time anyway.
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS, "store"))
        context.supervisor.start()
        # FastAPI prepares its routes when the first request is matched, which takes a tenth of a second and more.
        for route in app.router.routes:
            route.matches({"type": "http", "method": "GET", "path": "/api", "root_path": "", "headers": []})
        async with context.hub:
            with TrashCleaner(context.store).running():
                yield
        context.supervisor.close()
        context.figure_queue.close()
        context.archive_queue.close()
        context.figure_process.close()

    app = FastAPI(
        title="Collapse Lab",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
        responses=dict.fromkeys((400, 401, 403, 404, 405, 409, 413, 422, 429, 503), PROBLEM),
        dependencies=[Depends(authorize)],
    )
    app.state.context = context
    for router in ROUTERS:
        app.include_router(router)
    app.add_middleware(JsonBounds)
    app.add_middleware(AuditMiddleware, store=context.store, observe=context.gauges.observe)
    app.add_middleware(
        GZipMiddleware,
        minimum_size=1024,
        compresslevel=4,
        thread_minimum_size=2**14,  # smaller ones take less than a millisecond of the event loop
        exclude_content_types=NOT_COMPRESSED,
    )

    @app.get("/healthz", tags=["catalogue"])
    async def healthz() -> dict[str, str]:
        """Answer that the server is up."""
        return {"status": "ok", "version": __version__}

    @app.get("/readyz", tags=["catalogue"], responses={503: {"model": wire.Ready}})
    def readyz(response: Response) -> wire.Ready:
        """Answer whether runs can be taken: the database answers, the supervisor looks, the disk has room.

        It needs no token, so that it names what is wrong and no path; `/api/v1/readiness` says the rest.
        """
        found = context.gauges.readiness()
        response.status_code = 200 if not found else 503
        return wire.Ready(ready=not found, problems=list(found))

    @app.get("/prometheus", tags=["catalogue"], response_class=PlainTextResponse)
    def prometheus() -> PlainTextResponse:
        """Return the server's numbers in Prometheus's text format."""
        return PlainTextResponse(context.gauges.exposition(), media_type=CONTENT_TYPE_LATEST)

    @app.api_route(ANY_API_PATH, methods=METHODS, include_in_schema=False)
    def unknown(path: str) -> None:
        """Answer what is not there with a problem, before the pages take it."""
        allowed = _methods_at(app, f"/api/{path}")
        if allowed:
            detail = f"/api/{path} takes {' and '.join(allowed)}; /api/docs lists what is done with what"
            raise HTTPException(405, detail, {"allow": ", ".join(allowed)})
        raise HTTPException(404, f"there is no /api/{path[:200]}; /api/docs lists what is")

    def openapi() -> Response:
        """Describe the API; in a thread, since describing it takes half a second the first time."""
        return Response(orjson.dumps(app.openapi()), media_type="application/json")

    # Before FastAPI's own of this path, which works on the event loop.
    dependencies = [Depends(authorize)]
    app.router.routes.insert(
        0, APIRoute("/api/v1/openapi.json", openapi, include_in_schema=False, dependencies=dependencies)
    )
    app.add_exception_handler(CollapseError, _on_error)
    for unreachable in Unreachable:
        if not issubclass(unreachable, CollapseError):
            app.add_exception_handler(unreachable, _on_unreachable)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    return app


def _methods_at(app: FastAPI, path: str) -> list[str]:
    """Return the methods that the API has at a path."""
    for template, operations in app.openapi()["paths"].items():
        parts = re.split(r"\{[^}]+\}", template)
        if re.fullmatch("[^/]+".join(map(re.escape, parts)), path):
            return sorted(method.upper() for method in operations)
    return []


async def _on_error(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, CollapseError):
        raise error
    answer = problem(error.status, error.title, str(error), **error.extra)
    if isinstance(error, TooManyRequests):
        answer.headers["retry-after"] = str(error.retry_after_s)
    return answer


async def _on_disconnect(_request: Request, _error: Exception) -> Response:
    return Response(status_code=499)  # for the log alone: nobody is there to read it


async def _on_unreachable(request: Request, error: Exception) -> JSONResponse:
    log.error("the database could not be used: %s", error)
    context: Context = request.app.state.context
    known = context.supervisor.database.problem
    detail = known or "the database cannot be reached or written just now; nothing was changed, try again in a moment"
    answer = problem(503, "The store cannot be used", detail)
    answer.headers["retry-after"] = "5"
    return answer


async def _on_invalid(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    found = []
    # What was sent may be wrong in ten thousand places; the first few say what to do.
    for item in error.errors()[:MAX_ERRORS]:
        in_config = tuple(item["loc"][:2]) == ("body", "config")
        found += field_errors([item], drop=2 if in_config else 1)
    detail = "; ".join(f"{e.path}: {e.message}" if e.path else e.message for e in found)
    return problem(422, "Invalid input", detail, errors=[e.model_dump() for e in found])


async def _on_http(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    answer = problem(error.status_code, "Request refused", str(error.detail))
    answer.headers.update(error.headers or {})
    return answer
