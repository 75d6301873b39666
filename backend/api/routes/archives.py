"""Routes that export a run as an archive and import one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse

from backend.api import run_views, wire
from backend.api.downloads import DownloadResponse, until_disconnect
from backend.api.routes.context import ContextDep, EncodedRoute, queue_owner
from backend.api.work_queue import QueueSlot
from backend.store import runs
from backend.store.archive import reader, writer
from backend.store.errors import Invalid

router = APIRouter(prefix="/api/v1", tags=["archives"], route_class=EncodedRoute)


async def _archive_slot(context: ContextDep, request: Request) -> AsyncIterator[QueueSlot]:
    """FastAPI dependency: a slot in the archive queue, held until the response is sent."""
    async with contextlib.AsyncExitStack() as stack:
        waiting = stack.enter_async_context(context.archive_queue.slot(queue_owner()))
        yield await until_disconnect(waiting, request.receive)


@router.get("/runs/{run_id}/archive.zip", response_class=StreamingResponse)
async def export(context: ContextDep, slot: Annotated[QueueSlot, Depends(_archive_slot)], run_id: str) -> Response:
    """Return an ended or paused run as one file for import into another Collapse Lab."""
    chunks = await slot.run(writer.archive_run, context.store, run_id)
    headers = {"content-disposition": f'attachment; filename="{run_id}.collapse.zip"'}
    return DownloadResponse(slot, chunks, media_type="application/zip", headers=headers)


@router.post(
    "/imports",
    status_code=201,
    responses={200: {"description": "The run exists already."}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def import_run(context: ContextDep, request: Request, response: Response) -> wire.RunWire:
    """Import an archived run; importing it again returns the same run. An invalid archive changes nothing."""
    kind = request.headers.get("content-type", "").partition(";")[0]
    if kind not in ("application/zip", "application/octet-stream"):
        raise Invalid(f"an archive is sent as application/zip, got {kind or 'no content-type'!r}")
    upload = context.store.data_dir / "imports" / f"{runs.make_run_id()}.zip.partial"
    await asyncio.to_thread(upload.parent.mkdir, parents=True, exist_ok=True, mode=0o700)
    try:
        with await asyncio.to_thread(upload.open, "wb") as stream:
            async for chunk in request.stream():
                await asyncio.to_thread(stream.write, chunk)
        async with context.archive_queue.slot(queue_owner()) as slot:
            run_id, new = await slot.run(reader.import_archive, context.store, upload, context.settings.import_bytes)
    finally:
        await asyncio.to_thread(upload.unlink, missing_ok=True)
    if not new:
        response.status_code = 200
    response.headers["location"] = f"/api/v1/runs/{run_id}"
    return run_views.run_to_wire(await asyncio.to_thread(runs.get, context.store, run_id))
