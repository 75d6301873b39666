"""Tokens and the audit: who may do what, and who did."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Path, Query

from backend import doctor, wire
from backend.errors import Forbidden
from backend.routes.runs import Here
from backend.security import OWNER, caller
from backend.store import tokens

router = APIRouter(prefix="/api/v1", tags=["access"])


@router.get("/me")
def me() -> wire.Me:
    """Return whose token was sent, and whether it may change things."""
    who = caller.get() or OWNER
    return wire.Me(name=who.name, may_change=who.may_change)


def _require_change() -> None:
    who = caller.get()
    if who is not None and not who.may_change:
        raise Forbidden(f"the token of {who.name!r} may only read runs; ask the server's owner")


@router.get("/tokens")
def listing(here: Here) -> wire.Items[wire.TokenWire]:
    """Return the further tokens of this server, newest first, revoked ones too."""
    _require_change()
    items = [_wire(row) for row in tokens.listing(here.store)]
    return wire.Items[wire.TokenWire](items=items)


@router.post("/tokens", status_code=201)
def make(here: Here, body: wire.NewToken) -> wire.TokenMade:
    """Make a further token; what it says is told this once."""
    row, secret = tokens.create(here.store, body.name, body.scope)
    url = f"{here.settings.url}/?token={secret}"
    return wire.TokenMade(**_wire(row).model_dump(), token=secret, url=url)


@router.delete("/tokens/{token_id}", status_code=204)
async def revoke(here: Here, token_id: Annotated[str, Path(max_length=16)]) -> None:
    """Revoke a token: it opens nothing any more, and the streams that it opened end."""
    await asyncio.to_thread(tokens.revoke, here.store, token_id)
    here.authority.forget()
    here.hub.revoke(token_id)


@router.get("/doctor")
def examine(here: Here) -> wire.Items[wire.Finding]:
    """Look at everything that runs and pages need on this machine; it takes some seconds."""
    _require_change()
    found = doctor.examine(here.store.data_dir, here.settings.database_url)
    return wire.Items[wire.Finding](items=[wire.Finding(**dataclasses.asdict(each)) for each in found])


@router.get("/audit")
def audit(
    here: Here,
    run: Annotated[str | None, Query(max_length=16)] = None,
    before: Annotated[int | None, Query(ge=1, lt=2**31, description="entries older than this number")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> wire.Items[wire.AuditEntry]:
    """Return who did what, newest first."""
    _require_change()
    rows = tokens.noted(here.store, run, before, limit)
    names = wire.AuditEntry.model_fields
    items = [wire.AuditEntry(**{name: getattr(row, name) for name in names}) for row in rows]
    return wire.Items[wire.AuditEntry](items=items)


def _wire(row: sa.Row[Any]) -> wire.TokenWire:
    return wire.TokenWire(**{name: getattr(row, name) for name in wire.TokenWire.model_fields})
