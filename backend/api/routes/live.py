"""The stream of facts: server-sent events that replay from any point and then follow."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response

from backend.api.page_constants import MAX_STREAMED_RUNS
from backend.api.routes.encoding import EncodedRoute
from backend.api.routes.runs import Here
from backend.api.security.callers import current_caller
from backend.api.stream import EventStream
from backend.store import runs
from backend.store.errors import Invalid

router = APIRouter(prefix="/api/v1", tags=["stream"], route_class=EncodedRoute)


@router.get(
    "/stream",
    # Made by hand: a batch of events is one write, and an unknown run is a 404 before the stream begins.
    response_model=None,
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def stream(
    here: Here,
    runs_: Annotated[str, Query(alias="runs", max_length=1000, description="comma-separated run ids")],
    after: Annotated[str, Query(max_length=2000, description="seq, or run:seq,… for several runs")] = "",
    last_event_id: Annotated[str | None, Header(max_length=2000)] = None,
) -> EventStream:
    """Return the events of one or several runs, from `after` or the Last-Event-ID on, and then as they come.

    With several runs the id is `run:seq`; after a reconnection the other runs start again at `after`, so a reader
    passes over numbers that it has. A run that is deleted meanwhile is announced by an event `deleted`, without a
    number.
    """
    run_ids = list(dict.fromkeys(filter(None, runs_.split(","))))
    if not 1 <= len(run_ids) <= MAX_STREAMED_RUNS:
        raise Invalid(f"`runs` must name 1 to {MAX_STREAMED_RUNS} runs, got {len(run_ids)}")
    there = await asyncio.to_thread(runs.last_seqs, here.store, run_ids)
    for run_id in run_ids:
        if run_id not in there:
            raise runs.not_found(run_id)
    cursors = dict.fromkeys(run_ids, 0) | parse_cursors(after, run_ids) | parse_cursors(last_event_id or "", run_ids)
    return EventStream(here.hub.follow(cursors, several=len(run_ids) > 1, who=current_caller()))


def parse_cursors(text: str, run_ids: list[str]) -> dict[str, int]:
    """Return where the streams of the named runs continue, from `after` or Last-Event-ID: `seq`, or `run:seq,…`."""
    cursors: dict[str, int] = {}
    for part in filter(None, text.split(",")):
        run_id, named, seq = part.rpartition(":")
        if not re.fullmatch("[0-9]{1,10}", seq) or (run_id not in run_ids if named else len(run_ids) != 1):
            raise Invalid(
                f"the stream position must be a number, or run:number for several of the `runs`, got {part[:100]!r}"
            )
        cursors[run_id or run_ids[0]] = int(seq)
    return cursors
