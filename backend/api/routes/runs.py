"""Runs over HTTP: launch, sweep, clone, list, read, change, queue, pause, stop, retry, delete, restore; one or many."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Response

from backend.api import views, wire
from backend.api.routes.context import Context, context
from backend.api.routes.encoding import EncodedRoute
from backend.api.security.callers import require_scope
from backend.jobs import sweep
from backend.store import bulk, query, run_filter, run_groups, run_queue, run_status, runs
from backend.store.errors import Invalid, Unusable
from backend.store.runs import RunDraft
from ncengine.config import with_overrides

router = APIRouter(prefix="/api/v1", tags=["runs"], route_class=EncodedRoute)
Here = Annotated[Context, Depends(context)]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=240,
        pattern=r"^[\x21-\x7e]+$",
        description="Sent again with the same key, a request gives the same runs instead of further ones.",
    ),
]
MOST_AT_ONCE = 10_000


def _launched(here: Context, drafts: list[RunDraft], key: str | None, response: Response) -> list[wire.RunWire]:
    """Queue drafts whose configs are checked; the answer says 200 instead of 201 where they were queued before."""
    if here.supervisor.database.problem:
        raise Unusable(here.supervisor.database.problem)
    for config in {draft.config.device: draft.config for draft in drafts}.values():
        here.require_device(config)
    run_ids, new = runs.create_many(here.store, drafts, key)
    if not new:
        response.status_code = 200
    here.supervisor.wake()
    return [views.run_wire(runs.get(here.store, run_id, deleted=True)) for run_id in run_ids]


def _facts(body: wire.RunFacts) -> dict[str, object]:
    return {name: getattr(body, name) for name in wire.RunFacts.model_fields}


HELD: dict[int | str, dict[str, Any]] = {200: {"description": "What the same Idempotency-Key gave before."}}


@router.post("/runs", status_code=201, responses=HELD)
def launch(here: Here, body: wire.NewRun, response: Response, key: Key = None) -> wire.RunWire:
    """Queue a run."""
    draft = RunDraft(here.settled(body.config), **_facts(body))  # type: ignore[arg-type]
    (run,) = _launched(here, [draft], key, response)
    response.headers["location"] = f"/api/v1/runs/{run.id}"
    return run


@router.post("/sweeps", status_code=201, responses=HELD)
def launch_sweep(here: Here, body: wire.NewSweep, response: Response, key: Key = None) -> wire.Sweep:
    """Queue runs over a grid of settings and seeds as one group, all or none."""
    configs = sweep.expand_grid(body.config, body.grid, body.seeds)
    facts = _facts(body)
    drafts = [RunDraft(here.settled(config), **facts) for config in configs]  # type: ignore[arg-type]
    return wire.Sweep(group=body.group, items=_launched(here, drafts, key, response))


@router.post("/runs/{run_id}/clone", status_code=201, responses=HELD)
def clone(here: Here, run_id: str, body: wire.NewClone, response: Response, key: Key = None) -> wire.RunWire:
    """Queue a run with the config of another one, some settings changed."""
    original = runs.get(here.store, run_id)
    try:
        config = with_overrides(runs.config_of(original), body.set)
    except ValueError as error:
        raise here.invalid(error) from error
    facts = _facts(body) | {"name": body.name or original.name, "cloned_from": run_id}
    (run,) = _launched(here, [RunDraft(here.settled(config), **facts)], key, response)  # type: ignore[arg-type]
    return run


@router.get("/runs")
def listing(
    here: Here,
    status: wire.Status | None = None,
    q: Annotated[str, Query(max_length=500, description=run_filter.HELP)] = "",
    sort: Annotated[
        str, Query(max_length=100, description="a field of the filter; - before it: descending")
    ] = "-created",
    cursor: Annotated[str | None, Query(max_length=1000)] = None,
    offset: Annotated[int, Query(ge=0, le=10_000_000, description="rows to leave out, instead of a cursor")] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    deleted: Annotated[bool, Query(description="those that were deleted and can still be restored")] = False,
    runs: Annotated[str | None, Query(max_length=8000, description="only these ids, comma-separated")] = None,
) -> wire.RunPage:
    """Return a page of runs, newest first unless `sort` says otherwise."""
    only = None if runs is None else runs.split(",")
    found = query.list_runs(
        here.store,
        status=status,
        q=q,
        sort=sort,
        cursor=cursor,
        offset=offset,
        limit=limit,
        deleted=deleted,
        only=only,
    )
    return wire.RunPage(
        items=[views.run_wire(row) for row in found.rows], next_cursor=found.next_cursor, total=found.total
    )


@router.post("/runs/bulk")
def in_bulk(here: Here, body: wire.Bulk) -> wire.Items[wire.BulkResult]:
    """Do one thing to several runs; each is answered for itself."""
    if (body.runs is None) == (body.q is None):
        raise Invalid("name the runs either by `runs` or by a filter `q`")
    if body.action in ("delete", "restore"):
        require_scope("admin")
    run_ids = body.runs if body.runs is not None else query.matching_ids(here.store, body.q or "", MOST_AT_ONCE)
    outcomes = bulk.apply_action(here.store, body.action, run_ids, body.value)
    here.supervisor.wake()
    items = [wire.BulkResult(id=each.run_id, done=each.refusal is None, detail=each.refusal or "") for each in outcomes]
    return wire.Items[wire.BulkResult](items=items)


@router.get("/groups")
def groups(here: Here) -> wire.Items[wire.Group]:
    """Return the groups, newest first, and how many runs of each state they hold."""
    found: dict[str, wire.Group] = {}
    for row in query.list_groups(here.store):
        held = found.setdefault(row.group, wire.Group(group=row.group, created_at=row.first, runs={}))
        held.runs[row.status] = row.runs
    return wire.Items[wire.Group](items=list(found.values()))


@router.get("/folds")
def folded(
    here: Here,
    by: Annotated[str, Query(max_length=100, description="seeds, or a field of the filter")] = run_groups.SEEDS,
    q: Annotated[str, Query(max_length=500, description=run_filter.HELP)] = "",
    keys: Annotated[
        str, Query(max_length=2000, description="metrics with their split, comma-separated: train.nc1")
    ] = "train.nc1",
    limit: Annotated[int, Query(ge=1, le=2000)] = 1000,
) -> wire.Folds:
    """Return runs folded into rows: those that differ in nothing but the seed, or have a field in common."""
    found, total = run_groups.group_runs(here.store, by, q=q, keys=[key for key in keys.split(",") if key], limit=limit)
    return wire.Folds(items=[_fold(group) for group in found], total=total)


def _fold(group: run_groups.RunGroup) -> wire.Fold:
    spreads = {
        key: wire.Spread(median=each.median, least=each.min, most=each.max, runs=each.count)
        for key, each in group.ranges.items()
    }
    return wire.Fold(
        value=group.value,
        runs=group.run_ids,
        states=group.status_counts,
        created_at=group.created_at,
        shared=group.shared,
        spreads=spreads,
    )


@router.get("/sparklines")
def sparklines(
    here: Here,
    runs: Annotated[str, Query(max_length=2000, description="ids, comma-separated; those not there are left out")],
    key: Annotated[str, Query(max_length=100)] = "nc1",
    split: Annotated[str, Query(max_length=200)] = "train",
    points: Annotated[int, Query(ge=2, le=200)] = 40,
) -> wire.Items[wire.Sparkline]:
    """Return one metric of several runs over their epochs, as few points as a small picture needs."""
    items = views.sparklines(here.store, runs.split(","), key, split, points)
    return wire.Items[wire.Sparkline](items=items)


@router.get("/queue")
def queue(here: Here) -> wire.Items[wire.RunWire]:
    """Return the queued runs in the order in which they will start."""
    items = [views.run_wire(row) for row in run_queue.list_waiting(here.store, limit=500)]
    return wire.Items[wire.RunWire](items=items)


@router.post("/runs/{run_id}/move")
def move(here: Here, run_id: str, body: wire.Move) -> wire.RunWire:
    """Move a queued run before another one, taking its priority, or to the end of the queue."""
    run_queue.move_before(here.store, run_id, body.before)
    return views.run_wire(runs.get(here.store, run_id))


@router.get("/runs/{run_id}")
def read(here: Here, run_id: str) -> wire.RunWire:
    """Return one run."""
    return views.run_wire(runs.get(here.store, run_id))


@router.patch("/runs/{run_id}")
def change(here: Here, run_id: str, body: wire.RunChanges) -> wire.RunWire:
    """Change a run's name, tags, group, notes, priority or time limit."""
    changes = body.model_dump(exclude_unset=True)
    missing = [name for name in ("name", "tags", "notes", "priority") if changes.get(name, "") is None]
    if missing:
        raise Invalid(f"{missing[0]} cannot be null; leave it out to keep it as it is")
    if changes:
        runs.update(here.store, run_id, changes)
    return views.run_wire(runs.get(here.store, run_id))


@router.delete("/runs/{run_id}", status_code=204)
def delete(here: Here, run_id: str) -> None:
    """Delete an ended run; for a week POST …/restore brings it back."""
    run_status.delete(here.store, run_id)


@router.post("/runs/{run_id}/restore")
def restore(here: Here, run_id: str) -> wire.RunWire:
    """Bring a deleted run back."""
    run_status.restore(here.store, run_id)
    return views.run_wire(runs.get(here.store, run_id))


@router.post("/runs/{run_id}/cancel", status_code=202)
def cancel(here: Here, run_id: str) -> wire.RunWire:
    """Ask a run to stop; its numbers so far stay."""
    run_status.request_cancel(here.store, run_id)
    return _asked(here, run_id)


@router.post("/runs/{run_id}/pause", status_code=202)
def pause(here: Here, run_id: str) -> wire.RunWire:
    """Ask a run to save a checkpoint and release its device, or hold a queued one back."""
    run_status.request_pause(here.store, run_id)
    return _asked(here, run_id)


@router.post("/runs/{run_id}/resume", status_code=202)
def resume(here: Here, run_id: str) -> wire.RunWire:
    """Queue a paused run again; it continues where it stopped."""
    run_status.resume(here.store, run_id)
    return _asked(here, run_id)


@router.post("/runs/{run_id}/retry", status_code=202)
def retry(here: Here, run_id: str) -> wire.RunWire:
    """Queue a failed or cancelled run again; it continues from its newest checkpoint."""
    run_status.retry(here.store, run_id)
    return _asked(here, run_id)


def _asked(here: Context, run_id: str) -> wire.RunWire:
    here.supervisor.wake()
    return views.run_wire(runs.get(here.store, run_id))
