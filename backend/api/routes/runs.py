"""Routes of runs: launch, list, update, queue, pause, cancel, retry, delete and restore, one run or many."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response

from backend.api import run_groups, run_views, views, wire
from backend.api.page_constants import MAX_PAGE_GROUPS, MAX_PAGE_RUNS
from backend.api.routes.context import AppContext, ContextDep, EncodedRoute
from backend.api.security.permissions import require_scope
from backend.jobs import sweep
from backend.store import query, run_actions, run_filter, run_queue, runs
from backend.store.errors import Invalid, Unusable
from backend.store.runs import RunDraft
from backend.store.validation import override_settings
from ncengine.config import RunConfig

router = APIRouter(prefix="/api/v1", tags=["runs"], route_class=EncodedRoute)
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=240,
        pattern=r"^[\x21-\x7e]+$",
        description="A request repeated with the same key returns the same runs instead of creating new ones.",
    ),
]
MAX_BULK_RUNS = 10_000


def _queue_drafts(
    context: AppContext, drafts: list[RunDraft], key: str | None, response: Response
) -> list[wire.RunWire]:
    """Queue validated drafts; sets status 200 instead of 201 if the idempotency key was used before."""
    if context.supervisor.database.problem:
        raise Unusable(context.supervisor.database.problem)
    for config in {draft.config.device: draft.config for draft in drafts}.values():
        context.require_device(config)
    run_ids, new = runs.create_many(context.store, drafts, key)
    if not new:
        response.status_code = 200
    context.supervisor.wake()
    return [run_views.run_to_wire(runs.get(context.store, run_id, deleted=True)) for run_id in run_ids]


def _draft(context: AppContext, config: RunConfig, options: wire.LaunchOptions) -> RunDraft:
    """Return a run to be queued with the options of its request; raises Invalid for a config that cannot run here."""
    given: dict[str, Any] = {name: getattr(options, name) for name in wire.LaunchOptions.model_fields}
    return RunDraft(context.resolve_config(config), **given)


REPEATED: dict[int | str, dict[str, Any]] = {200: {"description": "The response to the first request with this key."}}


@router.post("/runs", status_code=201, responses=REPEATED)
def launch(context: ContextDep, body: wire.LaunchRequest, response: Response, key: Key = None) -> wire.RunWire:
    """Queue a run."""
    (run,) = _queue_drafts(context, [_draft(context, body.config, body)], key, response)
    response.headers["location"] = f"/api/v1/runs/{run.id}"
    return run


@router.post("/sweeps", status_code=201, responses=REPEATED)
def launch_sweep(context: ContextDep, body: wire.SweepRequest, response: Response, key: Key = None) -> wire.Sweep:
    """Queue every combination of a grid of settings and seeds as one group, all or none."""
    configs = sweep.expand_grid(body.config, body.grid, body.seeds)
    drafts = [_draft(context, config, body) for config in configs]
    return wire.Sweep(group=body.group, items=_queue_drafts(context, drafts, key, response))


@router.post("/runs/{run_id}/clone", status_code=201, responses=REPEATED)
def clone(
    context: ContextDep, run_id: str, body: wire.CloneRequest, response: Response, key: Key = None
) -> wire.RunWire:
    """Queue a copy of a run with some settings changed."""
    original = runs.get(context.store, run_id)
    try:
        config = override_settings(runs.parse_config(original), body.set)
    except ValueError as error:
        raise context.config_error(error) from error
    draft = replace(_draft(context, config, body), name=body.name or original.name, cloned_from=run_id)
    (run,) = _queue_drafts(context, [draft], key, response)
    return run


@router.get("/runs")
def listing(
    context: ContextDep,
    status: wire.RunStatus | None = None,
    q: Annotated[str, Query(max_length=500, description=run_filter.HELP)] = "",
    sort: Annotated[
        str, Query(max_length=100, description="a filter field; a leading - sorts in descending order")
    ] = "-created",
    cursor: Annotated[str | None, Query(max_length=1000)] = None,
    offset: Annotated[int, Query(ge=0, le=10_000_000, description="rows to skip, instead of a cursor")] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE_RUNS)] = 100,
    deleted: Annotated[bool, Query(description="list deleted runs that can still be restored")] = False,
    runs: Annotated[str | None, Query(max_length=8000, description="only these ids, comma-separated")] = None,
) -> wire.RunPage:
    """List runs page by page, newest first by default."""
    only = None if runs is None else runs.split(",")
    page = query.list_runs(
        context.store,
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
        items=[run_views.run_to_wire(row) for row in page.rows], next_cursor=page.next_cursor, total=page.total
    )


@router.post("/runs/bulk")
def bulk_action(context: ContextDep, body: wire.BulkRequest) -> wire.ItemList[wire.BulkResult]:
    """Apply one action to several runs; the response has one result for each run."""
    if (body.runs is None) == (body.q is None):
        raise Invalid("give either `runs` or a filter `q`")
    if body.action in ("delete", "restore"):
        require_scope("admin")
    run_ids = (
        body.runs if body.runs is not None else query.list_matching_ids(context.store, body.q or "", MAX_BULK_RUNS)
    )
    results = run_actions.apply_action(context.store, body.action, run_ids, body.value)
    context.supervisor.wake()
    return wire.list_of(wire.BulkResult, results)


@router.get("/groups")
def groups(context: ContextDep) -> wire.ItemList[wire.GroupSummary]:
    """List groups, newest first, with the number of runs by status."""
    summaries: dict[str, wire.GroupSummary] = {}
    for row in query.list_groups(context.store):
        summary = summaries.setdefault(row.group, wire.GroupSummary(group=row.group, created_at=row.first, runs={}))
        summary.runs[row.status] = row.runs
    return wire.ItemList[wire.GroupSummary](items=list(summaries.values()))


@router.get("/folds")
def list_run_groups(
    context: ContextDep,
    by: Annotated[str, Query(max_length=100, description="seeds, or a field of the filter")] = run_groups.SEEDS,
    q: Annotated[str, Query(max_length=500, description=run_filter.HELP)] = "",
    keys: Annotated[
        str, Query(max_length=2000, description="metrics as SPLIT.KEY, comma-separated: train.nc1")
    ] = "train.nc1",
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE_GROUPS)] = 1000,
) -> wire.RunGroupPage:
    """Group runs by a shared field, or by everything except the seed."""
    metrics = [key for key in keys.split(",") if key]
    return run_groups.group_runs(context.store, by, q=q, keys=metrics, limit=limit)


@router.get("/sparklines")
def sparklines(
    context: ContextDep,
    runs: Annotated[str, Query(max_length=2000, description="run ids, comma-separated; unknown ids are skipped")],
    key: Annotated[str, Query(max_length=100)] = "nc1",
    split: Annotated[str, Query(max_length=200)] = "train",
    points: Annotated[int, Query(ge=2, le=200)] = 40,
) -> wire.ItemList[wire.Sparkline]:
    """Return one metric of several runs over epochs, thinned to `points` values for small plots."""
    items = views.read_sparklines(context.store, runs.split(","), key, split, points)
    return wire.ItemList[wire.Sparkline](items=items)


@router.get("/queue")
def queue(context: ContextDep) -> wire.ItemList[wire.RunWire]:
    """List queued runs in the order in which they will start."""
    items = [run_views.run_to_wire(row) for row in run_queue.list_waiting(context.store, limit=500)]
    return wire.ItemList[wire.RunWire](items=items)


@router.post("/runs/{run_id}/move")
def move(context: ContextDep, run_id: str, body: wire.QueueMove) -> wire.RunWire:
    """Move a queued run before another one (it takes that run's priority) or to the end of the queue."""
    run_queue.move_before(context.store, run_id, body.before)
    return run_views.run_to_wire(runs.get(context.store, run_id))


@router.get("/runs/{run_id}")
def read(context: ContextDep, run_id: str) -> wire.RunWire:
    """Return one run."""
    return run_views.run_to_wire(runs.get(context.store, run_id))


@router.patch("/runs/{run_id}")
def change(context: ContextDep, run_id: str, body: wire.RunUpdate) -> wire.RunWire:
    """Update a run's name, tags, group, notes, priority or time limit."""
    changes = body.model_dump(exclude_unset=True)
    missing = [name for name in ("name", "tags", "notes", "priority") if changes.get(name, "") is None]
    if missing:
        raise Invalid(f"{missing[0]} cannot be null; leave it out to keep it as it is")
    if changes:
        runs.update(context.store, run_id, changes)
    return run_views.run_to_wire(runs.get(context.store, run_id))


@router.delete("/runs/{run_id}", status_code=204)
def delete(context: ContextDep, run_id: str) -> None:
    """Delete a run that has ended; POST …/restore undoes it for a week."""
    run_actions.delete(context.store, run_id)


@router.post("/runs/{run_id}/restore")
def restore(context: ContextDep, run_id: str) -> wire.RunWire:
    """Restore a deleted run."""
    run_actions.restore(context.store, run_id)
    return run_views.run_to_wire(runs.get(context.store, run_id))


@router.post("/runs/{run_id}/cancel", status_code=202)
def cancel(context: ContextDep, run_id: str) -> wire.RunWire:
    """Request a run's cancellation; its measurements so far are kept."""
    run_actions.request_cancel(context.store, run_id)
    return _notify_and_read(context, run_id)


@router.post("/runs/{run_id}/pause", status_code=202)
def pause(context: ContextDep, run_id: str) -> wire.RunWire:
    """Request a pause: a running run saves a checkpoint and frees its device, a queued one is held."""
    run_actions.request_pause(context.store, run_id)
    return _notify_and_read(context, run_id)


@router.post("/runs/{run_id}/resume", status_code=202)
def resume(context: ContextDep, run_id: str) -> wire.RunWire:
    """Queue a paused run again; it continues from its checkpoint."""
    run_actions.resume(context.store, run_id)
    return _notify_and_read(context, run_id)


@router.post("/runs/{run_id}/retry", status_code=202)
def retry(context: ContextDep, run_id: str) -> wire.RunWire:
    """Queue a failed or cancelled run again; it continues from its newest checkpoint."""
    run_actions.retry(context.store, run_id)
    return _notify_and_read(context, run_id)


def _notify_and_read(context: AppContext, run_id: str) -> wire.RunWire:
    context.supervisor.wake()
    return run_views.run_to_wire(runs.get(context.store, run_id))
