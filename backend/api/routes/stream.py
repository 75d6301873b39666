"""The route of the event stream: server-sent events that replay from a sequence number and then follow live."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response

from backend.api.page_constants import MAX_STREAMED_RUNS
from backend.api.routes.context import ContextDep, EncodedRoute
from backend.api.security.permissions import current_caller
from backend.api.stream import EventStream
from backend.store import runs
from backend.store.errors import Invalid

router = APIRouter(prefix="/api/v1", tags=["stream"], route_class=EncodedRoute)


@router.get(
    "/stream",
    # Not FastAPI's own SSE: a batch of events is one write, and an unknown run gives 404 before the stream starts.
    response_model=None,
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def stream(
    context: ContextDep,
    runs_: Annotated[str, Query(alias="runs", max_length=1000, description="comma-separated run ids")],
    after: Annotated[str, Query(max_length=2000, description="seq, or run:seq,… for several runs")] = "",
    last_event_id: Annotated[str | None, Header(max_length=2000)] = None,
) -> EventStream:
    """Stream events of one or several runs, starting after `after` or Last-Event-ID.

    With several runs the id is `run:seq`; after a reconnection the other runs start again at `after`, so the client
    must skip sequence numbers that it has. Deletion of a run is announced by an event `deleted` without an id.
    """
    run_ids = list(dict.fromkeys(filter(None, runs_.split(","))))
    if not 1 <= len(run_ids) <= MAX_STREAMED_RUNS:
        raise Invalid(f"`runs` must name 1 to {MAX_STREAMED_RUNS} runs, got {len(run_ids)}")
    existing = await asyncio.to_thread(runs.read_last_seqs, context.store, run_ids)
    for run_id in run_ids:
        if run_id not in existing:
            raise runs.not_found(run_id)
    cursors = dict.fromkeys(run_ids, 0) | parse_cursors(after, run_ids) | parse_cursors(last_event_id or "", run_ids)
    return EventStream(context.hub.follow(cursors, multiplexed=len(run_ids) > 1, caller=current_caller()))


def parse_cursors(text: str, run_ids: list[str]) -> dict[str, int]:
    """Parse `after` or Last-Event-ID, `seq` or `run:seq,…`, to a sequence number for each run named."""
    cursors: dict[str, int] = {}
    for part in filter(None, text.split(",")):
        run_id, separator, seq = part.rpartition(":")
        if not re.fullmatch("[0-9]{1,10}", seq) or (run_id not in run_ids if separator else len(run_ids) != 1):
            raise Invalid(
                f"the stream position must be a number, or run:number for several of the `runs`, got {part[:100]!r}"
            )
        cursors[run_id or run_ids[0]] = int(seq)
    return cursors
