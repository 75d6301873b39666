"""Runs over HTTP: launch, list, read, change, stop, retry, delete, restore; their events, metrics and geometry."""

from __future__ import annotations

import csv
import io
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Response
from fastapi.responses import StreamingResponse

from backend import views, wire
from backend.errors import Invalid
from backend.npz import streamed
from backend.routes.context import Context, context
from backend.store import event_log, runs
from ncengine.array_file import mapped

router = APIRouter(prefix="/api/v1", tags=["runs"])
Here = Annotated[Context, Depends(context)]


@router.post("/runs", status_code=201)
def launch(
    here: Here,
    body: wire.NewRun,
    response: Response,
    idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
) -> wire.RunWire:
    """Queue a run. The same Idempotency-Key gives the same run again instead of a second one."""
    config = here.settled(body.config)
    here.require_device(config)
    run_id, new = runs.create(
        here.store, config, name=body.name, tags=body.tags, group=body.group, idempotency_key=idempotency_key
    )
    if not new:
        response.status_code = 200
    here.supervisor.nudge()
    response.headers["location"] = f"/api/v1/runs/{run_id}"
    return views.run_wire(runs.get(here.store, run_id))


@router.get("/runs")
def listing(
    here: Here,
    status: wire.Status | None = None,
    q: Annotated[str, Query(max_length=500, description="words that the name or the config must contain")] = "",
    cursor: Annotated[str | None, Query(max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> wire.RunPage:
    """Return runs, newest first."""
    rows, next_cursor, total = runs.listing(here.store, status=status, words=q, cursor=cursor, limit=limit)
    return wire.RunPage(items=[views.run_wire(row) for row in rows], next_cursor=next_cursor, total=total)


@router.get("/runs/{run_id}")
def read(here: Here, run_id: str) -> wire.RunWire:
    """Return one run."""
    return views.run_wire(runs.get(here.store, run_id))


@router.patch("/runs/{run_id}")
def change(here: Here, run_id: str, body: wire.RunChanges) -> wire.RunWire:
    """Change a run's name, tags or group."""
    changes = body.model_dump(exclude_unset=True)
    if changes:
        runs.rename(here.store, run_id, changes)
    return views.run_wire(runs.get(here.store, run_id))


@router.delete("/runs/{run_id}", status_code=204)
def delete(here: Here, run_id: str) -> None:
    """Delete an ended run; POST …/restore brings it back."""
    runs.delete(here.store, run_id)


@router.post("/runs/{run_id}/restore")
def restore(here: Here, run_id: str) -> wire.RunWire:
    """Bring a deleted run back."""
    runs.restore(here.store, run_id)
    return views.run_wire(runs.get(here.store, run_id))


@router.post("/runs/{run_id}/cancel", status_code=202)
def cancel(here: Here, run_id: str) -> wire.RunWire:
    """Ask a run to stop; its numbers so far stay."""
    runs.request_cancel(here.store, run_id)
    here.supervisor.nudge()
    return views.run_wire(runs.get(here.store, run_id))


@router.post("/runs/{run_id}/retry", status_code=202)
def retry(here: Here, run_id: str) -> wire.RunWire:
    """Queue a failed or cancelled run again; it continues from its newest checkpoint."""
    runs.retry(here.store, run_id)
    here.supervisor.nudge()
    return views.run_wire(runs.get(here.store, run_id))


@router.get("/runs/{run_id}/events")
def events(
    here: Here,
    run_id: str,
    after: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=2000)] = 500,
) -> wire.EventPage:
    """Return events in order, from the one after `after`."""
    runs.get(here.store, run_id)
    rows = event_log.after(here.store, run_id, after, limit)
    return wire.EventPage(items=[views.event_json(row) for row in rows], next_after=rows[-1].seq if rows else after)


@router.get("/runs/{run_id}/metrics", response_model=wire.Series)
def metrics(
    here: Here,
    run_id: str,
    keys: Annotated[str | None, Query(max_length=2000, description="comma-separated; all where it is left out")] = None,
    format: Literal["json", "csv"] = "json",
) -> Any:
    """Return metrics over epochs, as JSON or CSV with a column for each split and key."""
    found = views.series(here.store, run_id, None if keys is None else [key.strip() for key in keys.split(",")])
    if format == "json":
        return found
    columns = {f"{split}/{key}": values for split, known in found.values.items() for key, values in known.items()}
    return Response(
        table(["epoch", *columns], zip(found.epochs, *columns.values(), strict=True)), media_type="text/csv"
    )


def table(header: list[str], rows: Any) -> str:
    """Return a CSV table."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


@router.get("/runs/{run_id}/geometry")
def geometry(
    here: Here,
    run_id: str,
    epoch: Annotated[float | None, Query(ge=0)] = None,
    view: Annotated[str | None, Query(max_length=20, description="pca or tetrahedron instead of the run's own")] = None,
    classes: Annotated[str | None, Query(max_length=100, description="four classes of a tetrahedron: 0,3,5,8")] = None,
    arrays: Annotated[str | None, Query(max_length=1000, description="further arrays, comma-separated")] = None,
) -> wire.Geometry:
    """Return the capture at or before `epoch`, or the newest."""
    four = tuple(_whole_number(part, "classes") for part in classes.split(",")) if classes else ()
    names = tuple(name.strip() for name in arrays.split(",")) if arrays else ()
    return views.geometry(here.store, run_id, epoch, view=view, four=four, names=names)


@router.get("/runs/{run_id}/features.npz", response_class=StreamingResponse)
def features(here: Here, run_id: str, epoch: Annotated[float | None, Query(ge=0)] = None) -> StreamingResponse:
    """Return the penultimate features kept at or before `epoch`, or the newest, as arrays for NumPy."""
    at, path = views.features(here.store, run_id, epoch)
    headers = {"content-disposition": f'attachment; filename="{run_id}-features-epoch-{at:g}.npz"'}
    return StreamingResponse(streamed(mapped(path)), media_type="application/zip", headers=headers)


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


def _whole_number(text: str, name: str) -> int:
    if not text.strip().isdigit():
        raise Invalid(f"{name} must be whole numbers with commas between them, got {text!r}")
    return int(text)


def parse_cursors(text: str, run_ids: list[str]) -> dict[str, int]:
    """Return where each run's stream continues, from `after` or Last-Event-ID: `seq`, or `run:seq,…`."""
    cursors = dict.fromkeys(run_ids, 0)
    for part in filter(None, text.split(",")):
        run_id, _, seq = part.rpartition(":")
        if not seq.isdigit() or (run_id and run_id not in cursors) or (not run_id and len(run_ids) != 1):
            raise Invalid(f"the stream position must be a number, or run:number for several runs, got {part!r}")
        cursors[run_id or run_ids[0]] = int(seq)
    return cursors
