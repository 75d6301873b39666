"""Runs as files, in and out."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from backend import archive, views, wire
from backend.errors import Invalid
from backend.routes.runs import Here
from backend.store import runs

router = APIRouter(prefix="/api/v1", tags=["archives"])


@router.get("/runs/{run_id}/archive.zip", response_class=StreamingResponse)
def export(here: Here, run_id: str) -> StreamingResponse:
    """Return an ended or paused run as one file, which another Collapse Lab imports."""
    chunks = archive.archived(here.store, run_id)
    headers = {"content-disposition": f'attachment; filename="{run_id}.collapse.zip"'}
    return StreamingResponse(chunks, media_type="application/zip", headers=headers)


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
        run_id, new = await asyncio.to_thread(archive.import_archive, here.store, upload, most)
    finally:
        await asyncio.to_thread(upload.unlink, missing_ok=True)
    if not new:
        response.status_code = 200
    response.headers["location"] = f"/api/v1/runs/{run_id}"
    return views.run_wire(await asyncio.to_thread(runs.get, here.store, run_id))
