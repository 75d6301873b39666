"""The facts of a run over HTTP: events, metrics, geometry, samples, features, attempts, log, readings, files."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse

from backend.api import views, wire
from backend.api.routes import fresh
from backend.api.routes.encoding import EncodedRoute
from backend.api.routes.runs import Here
from backend.store import artifacts, curves, event_log, resource_samples, run_attempts, runs
from backend.store.archive.writer import file_chunks
from backend.store.archive.zip_stream import stream_npz
from backend.store.errors import NotFound, Unusable
from ncengine import __version__
from ncengine.files.array_file import map_arrays

router = APIRouter(prefix="/api/v1", tags=["facts"], route_class=EncodedRoute)


@router.get("/runs/{run_id}/overview", response_model=wire.Overview)
def overview(here: Here, run_id: str, points: Annotated[int, Query(ge=2, le=10_000)] = 1000) -> Response:
    """Return all that a page of a run begins with; what comes later follows its `seq` on the stream."""
    content = orjson.dumps(views.overview(here.store, run_id, points))
    return Response(content, media_type="application/json", headers={"cache-control": "no-store"})


@router.get("/runs/{run_id}/events")
def events(
    here: Here,
    run_id: str,
    after: Annotated[int, Query(ge=0, lt=2**31)] = 0,
    limit: Annotated[int, Query(ge=1, le=2000)] = 500,
) -> wire.EventPage:
    """Return events in order, from the one after `after`."""
    runs.get(here.store, run_id)
    rows = event_log.after(here.store, run_id, after, limit)
    return wire.EventPage(items=[views.event_json(row) for row in rows], next_after=rows[-1].seq if rows else after)


@router.get(
    "/runs/{run_id}/metrics",
    response_model=wire.Series,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def metrics(
    here: Here,
    run_id: str,
    keys: Annotated[str | None, Query(max_length=2000, description="comma-separated; all where it is left out")] = None,
    format: Literal["json", "csv"] = "json",
    points: Annotated[
        int, Query(ge=2, le=100_000, description="extremes at about so many places, where there are more epochs")
    ] = 100_000,
) -> Any:
    """Return metrics over epochs, as JSON or CSV with a column for each split and key."""
    wanted = None if keys is None else [key.strip() for key in keys.split(",")]
    found = views.series(here.store, run_id, wanted, points)
    if format == "json":
        return found
    return Response(curves.to_csv(found.epochs, found.values), media_type="text/csv")


@router.get("/runs/{run_id}/geometry", response_model=wire.Geometry, responses=fresh.NOT_MODIFIED)
def geometry(
    here: Here,
    request: Request,
    run_id: str,
    epoch: Annotated[float | None, Query(ge=0)] = None,
    view: Annotated[str | None, Query(max_length=20, description="pca or tetrahedron instead of the run's own")] = None,
    classes: Annotated[str | None, Query(max_length=100, description="four classes of a tetrahedron: 0,3,5,8")] = None,
    arrays: Annotated[str | None, Query(max_length=1000, description="further arrays, comma-separated")] = None,
) -> Response:
    """Return the capture at or before `epoch`, or the newest."""
    four = tuple(views.four_classes(classes)) if classes else ()
    names = tuple(name.strip() for name in arrays.split(",")) if arrays else ()
    runs.get(here.store, run_id)
    seq = views.at_epoch(here.store, run_id, "GeometryCaptured", epoch).seq
    etag = fresh.tag(__version__, run_id, seq, view, four, names)
    if fresh.has(request, etag):
        return fresh.unchanged(etag)
    return fresh.answered(views.geometry(here.store, run_id, epoch, view=view, four=four, names=names), etag)


@router.get("/runs/{run_id}/samples", responses=fresh.NOT_MODIFIED, response_model=wire.Samples)
def samples(here: Here, request: Request, run_id: str) -> Response:
    """Return small pictures of the training samples that captures hold the features of, where they are images."""
    etag = fresh.tag(__version__, run_id)
    row = views.pictured(here.store, run_id)
    return fresh.unchanged(etag) if fresh.has(request, etag) else fresh.answered(views.samples(here.store, row), etag)


@router.get("/runs/{run_id}/features.npz", response_class=StreamingResponse)
def features(here: Here, run_id: str, epoch: Annotated[float | None, Query(ge=0)] = None) -> StreamingResponse:
    """Return the penultimate features kept at or before `epoch`, or the newest, as arrays for NumPy."""
    at, path = views.features(here.store, run_id, epoch)
    headers = {"content-disposition": f'attachment; filename="{run_id}-features-epoch-{at:g}.npz"'}
    return StreamingResponse(stream_npz(map_arrays(path)), media_type="application/zip", headers=headers)


@router.get("/runs/{run_id}/milestones")
def milestones(
    here: Here,
    run_id: str,
    threshold: Annotated[float, Query(description="the value at or beyond which the metric counts as collapsed")],
    key: Annotated[str, Query(max_length=100)] = "nc1",
    split: Annotated[str, Query(max_length=200)] = "train",
) -> wire.Milestones:
    """Return when the terminal phase began, and the first epoch from which on a metric stays beyond a threshold."""
    return views.milestones(here.store, run_id, key, split, threshold)


@router.get("/runs/{run_id}/attempts")
def attempts(here: Here, run_id: str) -> wire.Items[wire.AttemptWire]:
    """Return every attempt at a run, with how it ended."""
    items = [views.attempt_wire(row) for row in run_attempts.list_of_run(here.store, run_id)]
    return wire.Items[wire.AttemptWire](items=items)


@router.get("/runs/{run_id}/log", response_class=PlainTextResponse)
def log(
    here: Here, run_id: str, tail: Annotated[int, Query(ge=1, le=2**20, description="bytes from the end")] = 65536
) -> PlainTextResponse:
    """Return the end of what a run's worker processes wrote, as text."""
    runs.get(here.store, run_id)
    path = artifacts.log_path(here.store, run_id)
    if not path.exists():
        return PlainTextResponse("")
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - tail))
        content = stream.read(tail)
    text = content.decode(errors="replace")
    return PlainTextResponse(text.partition("\n")[2] if size > tail and "\n" in text else text)


@router.get("/runs/{run_id}/readings")
def machine_readings(
    here: Here, run_id: str, points: Annotated[int, Query(ge=2, le=10_000)] = 1000
) -> wire.Items[wire.ReadingWire]:
    """Return what a run's process took of processor, memory and GPU over time."""
    runs.get(here.store, run_id)
    items = [views.reading_wire(row) for row in resource_samples.list_of_run(here.store, run_id, points)]
    return wire.Items[wire.ReadingWire](items=items)


@router.get("/runs/{run_id}/artifacts")
def files(here: Here, run_id: str) -> wire.Items[wire.ArtifactWire]:
    """Return the run's files of arrays: geometry, checkpoints, features, pictures of samples."""
    runs.get(here.store, run_id)
    items = [views.artifact_wire(row) for kind in artifacts.KINDS for row in artifacts.rows(here.store, run_id, kind)]
    return wire.Items[wire.ArtifactWire](items=items)


@router.get("/runs/{run_id}/artifacts/{kind}/{step}", response_class=StreamingResponse, responses=fresh.NOT_MODIFIED)
def file(here: Here, request: Request, run_id: str, kind: artifacts.ArtifactKind, step: int) -> Response:
    """Return one file, in the safetensors format."""
    runs.get(here.store, run_id)
    row = artifacts.row_at(here.store, run_id, kind, step) if 0 <= step < 2**31 else None
    if row is None:
        raise NotFound(f"run {run_id} has no {kind} at step {step}; GET /api/v1/runs/{run_id}/artifacts lists them")
    etag = f'"{row.sha256}"'
    if fresh.has(request, etag):
        return fresh.unchanged(etag)
    path = artifacts.verified_path(here.store, row)
    if path is None:
        raise Unusable(f"the {kind} of run {run_id} at step {step} is damaged or missing on disk")
    name = f'attachment; filename="{run_id}-{path.name}"'
    headers = {"content-disposition": name, "etag": etag, "cache-control": fresh.CACHE}
    return StreamingResponse(file_chunks(path), media_type="application/octet-stream", headers=headers)
