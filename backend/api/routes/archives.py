"""Runs as files, in and out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse

from backend.api import views, wire
from backend.api.routes.context import token_id
from backend.api.routes.encoding import EncodedRoute
from backend.api.routes.runs import Here
from backend.api.transfer import TransferStream, while_connected
from backend.api.work_queue import Place
from backend.store import runs
from backend.store.archive import reader, writer
from backend.store.errors import Invalid

router = APIRouter(prefix="/api/v1", tags=["archives"], route_class=EncodedRoute)


async def _transfer(here: Here, request: Request) -> AsyncIterator[Place]:
    """FastAPI dependency: a place in the queue of archives, held until the answer is sent."""
    async with contextlib.AsyncExitStack() as held:
        yield await while_connected(request, held.enter_async_context(here.archive_queue.place(token_id())))


@router.get("/runs/{run_id}/archive.zip", response_class=StreamingResponse)
async def export(here: Here, place: Annotated[Place, Depends(_transfer)], run_id: str) -> Response:
    """Return an ended or paused run as one file, which another Collapse Lab imports."""
    chunks = await place.run(writer.archive_run, here.store, run_id)
    headers = {"content-disposition": f'attachment; filename="{run_id}.collapse.zip"'}
    return TransferStream(place, chunks, media_type="application/zip", headers=headers)


@router.post(
    "/imports",
    status_code=201,
    responses={200: {"description": "The run was here already."}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def import_run(here: Here, request: Request, response: Response) -> wire.RunWire:
    """Bring an archived run in; the same archive gives the same run. What is not wholly right is refused whole."""
    kind = request.headers.get("content-type", "").partition(";")[0]
    if kind not in ("application/zip", "application/octet-stream"):
        raise Invalid(f"an archive is sent as application/zip, got {kind or 'no content-type'!r}")
    upload = here.store.data_dir / "imports" / f"{runs.new_id()}.zip.partial"
    await asyncio.to_thread(upload.parent.mkdir, parents=True, exist_ok=True, mode=0o700)
    try:
        with await asyncio.to_thread(upload.open, "wb") as stream:
            async for chunk in request.stream():
                await asyncio.to_thread(stream.write, chunk)
        most = here.settings.import_bytes
        async with here.archive_queue.place(token_id()) as place:
            run_id, new = await place.run(reader.import_archive, here.store, upload, most)
    finally:
        await asyncio.to_thread(upload.unlink, missing_ok=True)
    if not new:
        response.status_code = 200
    response.headers["location"] = f"/api/v1/runs/{run_id}"
    return views.run_wire(await asyncio.to_thread(runs.get, here.store, run_id))
