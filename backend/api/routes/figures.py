"""Routes that render figures and replays of runs, and read a figure file's provenance."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import Field

from backend.api import wire
from backend.api.downloads import until_disconnect
from backend.api.routes.context import AppContext, ContextDep, EncodedRoute, queue_owner
from backend.figures.collect import MAX_RUNS, figure_errors
from backend.figures.process import FigureJob, Job, LabelledFile, ReplayJob
from backend.store.errors import Invalid
from backend.store.runs import compute_fingerprint
from ncfigures.catalogue import MEDIA_TYPES, FigureName, Format
from ncfigures.options import FigureOptions, check_figure, split_list
from ncfigures.provenance import read_provenance

router = APIRouter(prefix="/api/v1", tags=["figures"], route_class=EncodedRoute)


class FigureQuery(FigureOptions):
    """FigureOptions of a figure, and whether the browser downloads the file."""

    download: bool = False
    """Send as an attachment."""


class MultiRunFigureQuery(FigureQuery):
    """FigureOptions of a figure of several runs."""

    runs: str = Field(max_length=8000)
    """Run ids, comma-separated; runs that differ only in their seed are aggregated."""


@router.get("/runs/{run_id}/figures/{figure}.{format}", response_class=Response)
async def figure(
    context: ContextDep,
    request: Request,
    run_id: str,
    figure: FigureName,
    format: Format,
    query: Annotated[FigureQuery, Query()],
) -> Response:
    """Render a figure of a run; format `json` is for Plotly, with caption and notices in `layout.meta`."""
    return await _figure(context, request, [run_id], figure, format, query)


@router.get("/figures/{figure}.{format}", response_class=Response)
async def figure_of_runs(
    context: ContextDep,
    request: Request,
    figure: FigureName,
    format: Format,
    query: Annotated[MultiRunFigureQuery, Query()],
) -> Response:
    """Render a figure of several runs, with medians and ranges over seeds."""
    return await _figure(context, request, split_list(query.runs), figure, format, query)


async def _figure(
    context: AppContext, request: Request, run_ids: list[str], figure: FigureName, format: Format, query: FigureQuery
) -> Response:
    options = FigureOptions.model_validate({name: getattr(query, name) for name in FigureOptions.model_fields})
    with figure_errors():
        check_figure(figure, format, options)
    job = FigureJob(runs=_unique_ids(run_ids), figure=figure, format=format, options=options)
    content, label = await _render(context, request, job)
    name = f"{label}-{figure}.{format}".replace('"', "").replace("/", "-")
    ascii_name = name.encode("ascii", "replace").decode().replace("\n", " ").replace("\r", " ")
    disposition = "attachment" if query.download else "inline"
    headers = {"content-disposition": f'{disposition}; filename="{ascii_name}"'}
    return Response(content, media_type=MEDIA_TYPES[format], headers=headers)


@router.get("/runs/{run_id}/replay.html", response_class=HTMLResponse)
async def replay(context: ContextDep, request: Request, run_id: str) -> HTMLResponse:
    """Return an offline replay of a run: one HTML file with scene, slider, cosines and curves."""
    return await _replay(context, request, [run_id])


@router.get("/replay.html", response_class=HTMLResponse)
async def replay_of_runs(
    context: ContextDep, request: Request, runs: Annotated[str, Query(max_length=8000)]
) -> HTMLResponse:
    """Return an offline replay of several runs side by side; seeds are aggregated as in figures."""
    return await _replay(context, request, split_list(runs))


async def _replay(context: AppContext, request: Request, run_ids: list[str]) -> HTMLResponse:
    content, label = await _render(context, request, ReplayJob(runs=_unique_ids(run_ids)))
    return HTMLResponse(content, headers={"content-disposition": f'attachment; filename="{label}-replay.html"'})


def _unique_ids(run_ids: list[str]) -> list[str]:
    unique = list(dict.fromkeys(run_ids))
    if not 0 < len(unique) <= MAX_RUNS:
        raise Invalid(f"name 1 to {MAX_RUNS} runs, got {len(unique)}")
    return unique


async def _render(context: AppContext, request: Request, job: Job) -> LabelledFile:
    """Return a job's file from the figure process; equal requests share one result while the runs do not change."""
    key = job.model_dump_json(), await asyncio.to_thread(compute_fingerprint, context.store, job.runs)
    work = context.figure_queue.submit(key, queue_owner(), lambda: context.figure_process.make(job))
    return await until_disconnect(work, request.receive)


@router.post("/figures/origin", openapi_extra={"requestBody": {"content": {"application/octet-stream": {}}}})
async def provenance(request: Request) -> wire.FigureProvenance:
    """Read the provenance in a figure file, and the address of the page with the same view."""
    content = await request.body()
    with figure_errors():
        origin = await asyncio.to_thread(read_provenance, content)
    return wire.FigureProvenance(address=origin.address(), **origin.model_dump())
