"""Figures as files: true vectors, pictures, the drawn numbers, tables; and where a file comes from."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import Field

from backend import wire
from backend.figure_catalogue import MEDIA_TYPES, FigureName, Format
from backend.figure_options import Options
from backend.paper.gather import gather, listed
from backend.paper.provenance import read
from backend.paper.replay import replay
from backend.routes.context import Context
from backend.routes.runs import Here

router = APIRouter(prefix="/api/v1", tags=["figures"])


class FigureQuery(Options):
    """A figure's options, and whether the browser is to save the file."""

    download: bool = False
    """Answer as a file to be saved."""


class FiguresQuery(FigureQuery):
    """The same, of several runs."""

    runs: str = Field(max_length=8000)
    """Ids, comma-separated; runs that differ in their seed alone are one entry."""


@router.get("/runs/{run_id}/figures/{figure}.{format}", response_class=Response)
def figure(
    here: Here, run_id: str, figure: FigureName, format: Format, query: Annotated[FigureQuery, Query()]
) -> Response:
    """Return a figure of a run; as `json` it is Plotly's, with caption and notices in `layout.meta`."""
    return _drawn(here, [run_id], figure, format, query)


@router.get("/figures/{figure}.{format}", response_class=Response)
def figure_of_runs(here: Here, figure: FigureName, format: Format, query: Annotated[FiguresQuery, Query()]) -> Response:
    """Return a figure of several runs: medians and ranges over seeds, heads beside each other."""
    return _drawn(here, listed(query.runs), figure, format, query)


def _drawn(here: Context, run_ids: list[str], figure: FigureName, format: Format, query: FigureQuery) -> Response:
    options = Options.model_validate({name: getattr(query, name) for name in Options.model_fields})
    request = gather(here.store, run_ids, figure, format, options)
    content = here.paper.render(request)
    name = f"{request.entries[0].label}-{figure}.{format}".replace('"', "").replace("/", "-")
    ascii_name = name.encode("ascii", "replace").decode().replace("\n", " ").replace("\r", " ")
    disposition = "attachment" if query.download else "inline"
    headers = {"content-disposition": f'{disposition}; filename="{ascii_name}"'}
    return Response(content, media_type=MEDIA_TYPES[format], headers=headers)


@router.get("/runs/{run_id}/replay.html", response_class=HTMLResponse)
def whole_run(here: Here, run_id: str) -> HTMLResponse:
    """Return a run as one page that works offline: scene, slider, cosines, curves."""
    return _offline(here, [run_id])


@router.get("/replay.html", response_class=HTMLResponse)
def whole_runs(here: Here, runs: Annotated[str, Query(max_length=8000)]) -> HTMLResponse:
    """Return several runs side by side as one page that works offline; seeds are one entry, as in figures."""
    return _offline(here, listed(runs))


def _offline(here: Context, run_ids: list[str]) -> HTMLResponse:
    content = replay(here.store, run_ids)
    headers = {"content-disposition": f'attachment; filename="{"-".join(run_ids[:4])}-replay.html"'}
    return HTMLResponse(content, headers=headers)


@router.post("/figures/origin", openapi_extra={"requestBody": {"content": {"application/octet-stream": {}}}})
async def origin(request: Request) -> wire.Origin:
    """Return where a figure's file comes from, and the page that shows the same view."""
    found = await asyncio.to_thread(read, await request.body())
    return wire.Origin(address=found.address(), **found.model_dump())
