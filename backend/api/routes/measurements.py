"""Routes of one run's data: events, metrics, geometry, samples, features, attempts, log, resources, files."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import orjson
import sqlalchemy as sa
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse, PlainTextResponse, StreamingResponse

from backend.api import run_views, views, wire
from backend.api.responses import (
    CACHE_CONTROL,
    NOT_MODIFIED,
    cacheable_json_response,
    etag_matches,
    make_etag,
    not_modified_response,
)
from backend.api.routes.context import ContextDep, EncodedRoute
from backend.store import artifacts, curves, event_log, run_attempts, runs
from backend.store.archive.zip_stream import stream_npz
from backend.store.errors import NotFound, Unusable
from ncengine import __version__
from ncengine.files.array_file import map_arrays

router = APIRouter(prefix="/api/v1", tags=["run data"], route_class=EncodedRoute)


@router.get("/runs/{run_id}/overview", response_model=wire.RunOverview)
def overview(context: ContextDep, run_id: str, points: Annotated[int, Query(ge=2, le=10_000)] = 1000) -> Response:
    """Return everything a run page needs to start: the stream continues after `seq`."""
    content = orjson.dumps(views.read_overview(context.store, run_id, points))
    return Response(content, media_type="application/json", headers={"cache-control": "no-store"})


@router.get("/runs/{run_id}/events")
def events(
    context: ContextDep,
    run_id: str,
    after: Annotated[int, Query(ge=0, lt=2**31)] = 0,
    limit: Annotated[int, Query(ge=1, le=2000)] = 500,
) -> wire.EventPage:
    """Return events in order, starting after sequence number `after`."""
    runs.get(context.store, run_id)
    rows = event_log.list_events(context.store, run_id, after, limit)
    return wire.EventPage(
        items=[run_views.event_to_json(row) for row in rows], next_after=rows[-1].seq if rows else after
    )


@router.get(
    "/runs/{run_id}/metrics",
    response_model=wire.MetricSeries,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def metrics(
    context: ContextDep,
    run_id: str,
    keys: Annotated[str | None, Query(max_length=2000, description="comma-separated; all metrics by default")] = None,
    format: Literal["json", "csv"] = "json",
    points: Annotated[
        int, Query(ge=2, le=100_000, description="longer curves are thinned to the extremes at about this many epochs")
    ] = 100_000,
) -> Any:
    """Return metrics over epochs, as JSON or as CSV with one column per split and key."""
    wanted = None if keys is None else [key.strip() for key in keys.split(",")]
    series = views.read_series(context.store, run_id, wanted, points)
    if format == "json":
        return series
    return Response(curves.format_csv(series.epochs, series.values), media_type="text/csv")


@router.get("/runs/{run_id}/geometry", response_model=wire.GeometryWire, responses=NOT_MODIFIED)
def geometry(
    context: ContextDep,
    request: Request,
    run_id: str,
    epoch: Annotated[float | None, Query(ge=0)] = None,
    view: Annotated[str | None, Query(max_length=20, description="pca or tetrahedron instead of the run's own")] = None,
    classes: Annotated[
        str | None, Query(max_length=100, description="four classes for view=tetrahedron: 0,3,5,8")
    ] = None,
    arrays: Annotated[str | None, Query(max_length=1000, description="additional arrays, comma-separated")] = None,
) -> Response:
    """Return the newest capture at or before `epoch`, or the newest of all."""
    four = tuple(views.parse_four_classes(classes)) if classes else ()
    names = tuple(name.strip() for name in arrays.split(",")) if arrays else ()
    runs.get(context.store, run_id)
    seq = views.find_event(context.store, run_id, "GeometryCaptured", epoch).seq
    etag = make_etag(__version__, run_id, seq, view, four, names)
    if etag_matches(request, etag):
        return not_modified_response(etag)
    return cacheable_json_response(
        views.read_geometry(context.store, run_id, epoch, view=view, four=four, names=names), etag
    )


@router.get("/runs/{run_id}/samples", responses=NOT_MODIFIED, response_model=wire.SampleImages)
def samples(context: ContextDep, request: Request, run_id: str) -> Response:
    """Return thumbnails of the training samples in captures, for image data."""
    etag = make_etag(__version__, run_id)
    row = views.find_samples(context.store, run_id)
    if etag_matches(request, etag):
        return not_modified_response(etag)
    return cacheable_json_response(views.read_samples(context.store, row), etag)


@router.get("/runs/{run_id}/features.npz", response_class=StreamingResponse)
def features(context: ContextDep, run_id: str, epoch: Annotated[float | None, Query(ge=0)] = None) -> StreamingResponse:
    """Return the newest penultimate features kept at or before `epoch` as a NumPy archive (.npz)."""
    at, path = views.find_features(context.store, run_id, epoch)
    headers = {"content-disposition": f'attachment; filename="{run_id}-features-epoch-{at:g}.npz"'}
    return StreamingResponse(stream_npz(map_arrays(path)), media_type="application/zip", headers=headers)


@router.get("/runs/{run_id}/milestones")
def milestones(
    context: ContextDep,
    run_id: str,
    threshold: Annotated[float, Query(description="value at or beyond which the metric counts as collapsed")],
    key: Annotated[str, Query(max_length=100)] = "nc1",
    split: Annotated[str, Query(max_length=200)] = "train",
) -> wire.Milestones:
    """Return the first epoch of the terminal phase, and the first from which on a metric stays beyond a threshold."""
    return views.find_milestones(context.store, run_id, key, split, threshold)


@router.get("/runs/{run_id}/attempts")
def attempts(context: ContextDep, run_id: str) -> wire.ItemList[wire.AttemptWire]:
    """List a run's attempts with their outcomes."""
    return wire.list_of(wire.AttemptWire, run_attempts.list_attempts(context.store, run_id))


@router.get("/runs/{run_id}/log", response_class=PlainTextResponse)
def log(
    context: ContextDep,
    run_id: str,
    tail: Annotated[int, Query(ge=1, le=2**20, description="bytes from the end")] = 65536,
) -> PlainTextResponse:
    """Return the end of a run's worker log as text."""
    runs.get(context.store, run_id)
    path = artifacts.worker_log_path(context.store, run_id)
    if not path.exists():
        return PlainTextResponse("")
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - tail))
        content = stream.read(tail)
    text = content.decode(errors="replace")
    return PlainTextResponse(text.partition("\n")[2] if size > tail and "\n" in text else text)


@router.get("/runs/{run_id}/readings")
def list_resource_samples(
    context: ContextDep, run_id: str, points: Annotated[int, Query(ge=2, le=10_000)] = 1000
) -> wire.ItemList[wire.ResourceSampleWire]:
    """Return CPU, memory and GPU use of a run's process over time."""
    runs.get(context.store, run_id)
    return wire.list_of(wire.ResourceSampleWire, run_attempts.list_resource_samples(context.store, run_id, points))


@router.get("/runs/{run_id}/artifacts")
def files(context: ContextDep, run_id: str) -> wire.ItemList[wire.ArtifactWire]:
    """List a run's artifacts: geometry, checkpoints, features, sample thumbnails."""
    runs.get(context.store, run_id)
    rows = [row for kind in artifacts.KINDS for row in artifacts.list_rows(context.store, run_id, kind)]
    return wire.ItemList[wire.ArtifactWire](items=[_artifact(row) for row in rows])


def _artifact(row: sa.Row[Any]) -> wire.ArtifactWire:
    columns = {name: getattr(row, name) for name in wire.ArtifactWire.model_fields if name != "href"}
    return wire.ArtifactWire(**columns, href=f"/api/v1/runs/{row.run_id}/artifacts/{row.kind}/{row.step}")


@router.get("/runs/{run_id}/artifacts/{kind}/{step}", response_class=FileResponse, responses=NOT_MODIFIED)
def file(context: ContextDep, request: Request, run_id: str, kind: artifacts.ArtifactKind, step: int) -> Response:
    """Return one artifact in the safetensors format."""
    runs.get(context.store, run_id)
    row = artifacts.find_row(context.store, run_id, kind, step) if 0 <= step < 2**31 else None
    if row is None:
        raise NotFound(f"run {run_id} has no {kind} at step {step}; GET /api/v1/runs/{run_id}/artifacts lists them")
    etag = f'"{row.sha256}"'
    if etag_matches(request, etag):
        return not_modified_response(etag)
    path = artifacts.verified_path(context.store, row)
    if path is None:
        raise Unusable(f"the {kind} of run {run_id} at step {step} is damaged or missing on disk")
    headers = {"etag": etag, "cache-control": CACHE_CONTROL}
    return FileResponse(path, media_type="application/octet-stream", filename=f"{run_id}-{path.name}", headers=headers)
