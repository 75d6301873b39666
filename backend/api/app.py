"""The one ASGI application: guard, API, event stream and, if added, the pages, in one process."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio.to_thread
import orjson
from fastapi import Depends, FastAPI, Response
from fastapi.routing import APIRoute
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware

from backend.api import wire
from backend.api.error_handlers import add_error_handlers
from backend.api.json_limits import JsonLimits
from backend.api.monitoring import ServerMonitor
from backend.api.routes import access, archives, catalogue, docs, figures, gc, health, measurements, runs, stream
from backend.api.routes.context import AppContext
from backend.api.security.audit import AuditMiddleware
from backend.api.security.authenticator import Authenticator
from backend.api.security.guard import Guard, list_allowed_hosts, make_content_security_policy
from backend.api.security.login import Login
from backend.api.security.permissions import authorize
from backend.api.stream import StreamHub
from backend.api.work_queue import WorkQueue
from backend.figures.process import FigureProcess, LabelledFile, StoreLocation
from backend.jobs.launcher import DataAccess
from backend.jobs.slots import count_slots
from backend.jobs.supervisor import JobLimits, Supervisor
from backend.jobs.trash_cleaner import TrashCleaner
from backend.settings import Settings
from backend.store import runs as run_store
from backend.store.database import Store
from ncengine import __version__
from ncengine.preset_configs import PRESETS

MAX_THREADS = 8
FIGURE_QUEUE_LENGTH, FIGURES_PER_TOKEN = 32, 16
FIGURE_CACHE_BYTES = 2**24
"""Size of the cache of rendered figures."""
ARCHIVE_QUEUE_LENGTH, ARCHIVES_PER_TOKEN = 8, 4
PROBLEM_RESPONSE: dict[str, Any] = {
    "model": wire.Problem,
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
# `health` is last: it has the route that answers unknown paths.
ROUTERS = tuple(
    module.router for module in (runs, measurements, figures, stream, catalogue, archives, gc, access, docs, health)
)
# Event streams are excluded by default; files that are compressed already gain nothing.
NOT_COMPRESSED = (*DEFAULT_EXCLUDED_CONTENT_TYPES, "application/pdf", "application/octet-stream")


class Application:
    """The guarded ASGI application and its parts."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings = settings
        supervisor = _make_supervisor(settings, store)
        authenticator = Authenticator(settings.token, store)
        hub = StreamHub(store, authenticator.ended)
        figure_queue: WorkQueue[LabelledFile] = WorkQueue(
            FIGURE_QUEUE_LENGTH, FIGURES_PER_TOKEN, workers=1, cache_bytes=FIGURE_CACHE_BYTES
        )
        archive_queue: WorkQueue[LabelledFile] = WorkQueue(ARCHIVE_QUEUE_LENGTH, ARCHIVES_PER_TOKEN, workers=2)
        monitor = ServerMonitor(store, supervisor, hub, {"figures": figure_queue, "archives": archive_queue})
        self.context = AppContext(
            settings,
            store,
            supervisor,
            hub,
            FigureProcess(StoreLocation(data_dir=store.data_dir, database_url=store.url)),
            authenticator,
            monitor,
            figure_queue,
            archive_queue,
        )
        self.api = _make_api(self.context)
        self.guarded = Guard(
            self.api,
            authenticator=authenticator,
            login=Login(authenticator, store, cookie=f"collapse-{settings.port}"),
            hosts=list_allowed_hosts(settings.host, settings.port, settings.allow_hosts),
            import_bytes=settings.import_bytes,
        )

    def add_pages(self, attach: Callable[[FastAPI, Settings], Iterable[str]]) -> None:
        """Let the dashboard mount its pages on the application; `attach` returns its inline scripts' hashes."""
        self.guarded.policy = make_content_security_policy(attach(self.api, self.settings))


def _make_supervisor(settings: Settings, store: Store) -> Supervisor:
    slots = count_slots(settings.slots)
    threads = max(1, (os.cpu_count() or 1) // slots["cpu"]) if slots["cpu"] > 1 else None
    data_access = DataAccess(
        settings.data_roots,
        settings.mirror,
        confined=True,
        memory_bytes=settings.worker_memory_bytes,
        threads=threads,
    )
    limits = JobLimits(slots, hang_s=settings.hang_s, min_free_bytes=settings.min_free_bytes)
    return Supervisor(store, warm=settings.warm, data_access=data_access, limits=limits)


def _make_api(context: AppContext) -> FastAPI:
    """Build the FastAPI application with all routes, middleware and error handlers."""
    app = FastAPI(
        title="Collapse Lab",
        version=__version__,
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
        responses=dict.fromkeys((400, 401, 403, 404, 405, 409, 413, 422, 429, 503), PROBLEM_RESPONSE),
        dependencies=[Depends(authorize)],
    )
    app.state.context = context
    for router in ROUTERS:
        app.include_router(router)
    app.add_middleware(JsonLimits)
    app.add_middleware(AuditMiddleware, store=context.store, observe=context.monitor.observe)
    app.add_middleware(
        GZipMiddleware,
        minimum_size=1024,
        compresslevel=4,
        thread_minimum_size=2**14,  # smaller ones take less than a millisecond of the event loop
        exclude_content_types=NOT_COMPRESSED,
    )
    _replace_openapi_route(app)
    add_error_handlers(app)
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Start the demonstration run, the supervisor, the stream hub and the trash cleaner; stop them at the end."""
    context: AppContext = app.state.context
    if context.settings.demonstration and run_store.is_empty(context.store):
        run_store.create(context.store, PRESETS["first-light"](), name="first-light", demonstration=True)
    # The default of forty threads would cost an arena of memory each; the store has one writer at a time anyway.
    anyio.to_thread.current_default_thread_limiter().total_tokens = MAX_THREADS
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(MAX_THREADS, "store"))
    context.supervisor.start()
    # FastAPI prepares its routes at the first match, which takes more than 0.1 s; do it before the first request.
    for route in app.router.routes:
        route.matches({"type": "http", "method": "GET", "path": "/api", "root_path": "", "headers": []})
    async with context.hub:
        with TrashCleaner(context.store).running():
            yield
    context.supervisor.close()
    context.figure_queue.close()
    context.archive_queue.close()
    context.figure_process.close()


def _replace_openapi_route(app: FastAPI) -> None:
    """Serve the OpenAPI document from a thread: FastAPI would build it on the event loop, which takes 0.5 s."""

    def openapi() -> Response:
        return Response(orjson.dumps(app.openapi()), media_type="application/json")

    # Inserted first, before FastAPI's own route of this path.
    dependencies = [Depends(authorize)]
    app.router.routes.insert(
        0, APIRoute("/api/v1/openapi.json", openapi, include_in_schema=False, dependencies=dependencies)
    )
