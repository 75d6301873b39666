"""Figures as files: true vectors, pictures, the drawn numbers, tables; and where a file comes from."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import Field

from backend.api import wire
from backend.api.routes.context import Context, token_id
from backend.api.routes.encoding import EncodedRoute
from backend.api.routes.runs import Here
from backend.api.transfer import while_connected
from backend.figures.collect import MAX_RUNS
from backend.figures.errors import figure_errors
from backend.figures.process import FigureJob, Job, LabelledFile, ReplayJob
from backend.store.errors import Invalid
from backend.store.runs import fingerprint
from ncfigures.catalogue import MEDIA_TYPES, FigureName, Format
from ncfigures.options import FigureOptions, check_figure, split_list
from ncfigures.provenance import read_provenance

router = APIRouter(prefix="/api/v1", tags=["figures"], route_class=EncodedRoute)


class FigureQuery(FigureOptions):
    """A figure's options, and whether the browser is to save the file."""

    download: bool = False
    """Answer as a file to be saved."""


class FiguresQuery(FigureQuery):
    """The same, of several runs."""

    runs: str = Field(max_length=8000)
    """Ids, comma-separated; runs that differ in their seed alone are one entry."""


@router.get("/runs/{run_id}/figures/{figure}.{format}", response_class=Response)
async def figure(
    here: Here,
    request: Request,
    run_id: str,
    figure: FigureName,
    format: Format,
    query: Annotated[FigureQuery, Query()],
) -> Response:
    """Return a figure of a run; as `json` it is Plotly's, with caption and notices in `layout.meta`."""
    return await _figure(here, request, [run_id], figure, format, query)


@router.get("/figures/{figure}.{format}", response_class=Response)
async def figure_of_runs(
    here: Here, request: Request, figure: FigureName, format: Format, query: Annotated[FiguresQuery, Query()]
) -> Response:
    """Return a figure of several runs: medians and ranges over seeds, heads beside each other."""
    return await _figure(here, request, split_list(query.runs), figure, format, query)


async def _figure(
    here: Context, request: Request, run_ids: list[str], figure: FigureName, format: Format, query: FigureQuery
) -> Response:
    options = FigureOptions.model_validate({name: getattr(query, name) for name in FigureOptions.model_fields})
    with figure_errors():
        check_figure(figure, format, options)
    job = FigureJob(runs=_distinct(run_ids), figure=figure, format=format, options=options)
    content, label = await _made(here, request, job)
    name = f"{label}-{figure}.{format}".replace('"', "").replace("/", "-")
    ascii_name = name.encode("ascii", "replace").decode().replace("\n", " ").replace("\r", " ")
    disposition = "attachment" if query.download else "inline"
    headers = {"content-disposition": f'{disposition}; filename="{ascii_name}"'}
    return Response(content, media_type=MEDIA_TYPES[format], headers=headers)


@router.get("/runs/{run_id}/replay.html", response_class=HTMLResponse)
async def whole_run(here: Here, request: Request, run_id: str) -> HTMLResponse:
    """Return a run as one page that works offline: scene, slider, cosines, curves."""
    return await _replay(here, request, [run_id])


@router.get("/replay.html", response_class=HTMLResponse)
async def whole_runs(here: Here, request: Request, runs: Annotated[str, Query(max_length=8000)]) -> HTMLResponse:
    """Return several runs side by side as one page that works offline; seeds are one entry, as in figures."""
    return await _replay(here, request, split_list(runs))


async def _replay(here: Context, request: Request, run_ids: list[str]) -> HTMLResponse:
    content, label = await _made(here, request, ReplayJob(runs=_distinct(run_ids)))
    return HTMLResponse(content, headers={"content-disposition": f'attachment; filename="{label}-replay.html"'})


def _distinct(run_ids: list[str]) -> list[str]:
    found = list(dict.fromkeys(run_ids))
    if not 0 < len(found) <= MAX_RUNS:
        raise Invalid(f"name 1 to {MAX_RUNS} runs, got {len(found)}")
    return found


async def _made(here: Context, request: Request, job: Job) -> LabelledFile:
    """Return a job's file from the figure process: one for all who ask for the same while the runs do not change."""
    key = job.model_dump_json(), await asyncio.to_thread(fingerprint, here.store, job.runs)
    work = here.figure_queue.submit(key, token_id(), lambda: here.figure_process.make(job))
    return await while_connected(request, work)


@router.post("/figures/origin", openapi_extra={"requestBody": {"content": {"application/octet-stream": {}}}})
async def origin(request: Request) -> wire.Origin:
    """Return where a figure's file comes from, and the page that shows the same view."""
    with figure_errors():
        found = await asyncio.to_thread(read_provenance, await request.body())
    return wire.Origin(address=found.address(), **found.model_dump())
