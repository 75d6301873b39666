"""Who asks, tokens, the audit, and what the machine lacks."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Path, Query

from backend.api import wire
from backend.api.routes.runs import Here
from backend.api.security.callers import current_caller
from backend.api.security.expiry import expiry
from backend.jobs import doctor
from backend.store import audit as audit_store
from backend.store import tokens
from backend.store.errors import Conflict, Invalid

router = APIRouter(prefix="/api/v1", tags=["access"])


@router.get("/me")
def me() -> wire.Me:
    """Return who asks, and what they may do."""
    who = current_caller()
    return wire.Me(
        name=who.name,
        scope=who.scope,
        may_change=who.scope != "read",
        token_id=who.token_id,
        has_session=who.session is not None,
        ends_at=who.ends_at,
    )


@router.post("/logout", status_code=204)
async def log_out(here: Here) -> None:
    """End the browser's session, and the streams that it opened."""
    who = current_caller()
    if who.session is None:
        raise Conflict("this request carries a token, which is no session; revoke the token to end it")
    await here.authority.log_out(who.session)
    await here.hub.end_invalid()


@router.get("/tokens")
def listing(here: Here) -> wire.Items[wire.TokenWire]:
    """Return the further tokens of this server, newest first, revoked and expired ones too."""
    items = [_wire(row) for row in tokens.list_tokens(here.store)]
    return wire.Items[wire.TokenWire](items=items)


@router.post("/tokens", status_code=201)
def make(here: Here, body: wire.NewToken) -> wire.TokenMade:
    """Make a further token; what it says is told this once."""
    row, secret = tokens.create(here.store, body.name, body.scope, _end(body))
    url = f"{here.settings.url}/?token={secret}"
    return wire.TokenMade(**_wire(row).model_dump(), token=secret, url=url)


def _end(body: wire.NewToken) -> str | None:
    if body.expires_at is not None and body.expires_in_s is not None:
        raise Invalid("give either `expires_at` or `expires_in_s`")
    if body.expires_in_s is not None:
        return expiry(datetime.now(UTC) + timedelta(seconds=body.expires_in_s))
    return None if body.expires_at is None else expiry(body.expires_at)


@router.delete("/tokens/{token_id}", status_code=204)
async def revoke(here: Here, token_id: Annotated[str, Path(max_length=16)]) -> None:
    """Revoke a token: it opens nothing any more, and the sessions and streams that it opened end."""
    await asyncio.to_thread(tokens.revoke, here.store, token_id)
    here.authority.forget()
    await here.hub.end_invalid()


@router.get("/doctor")
def examine(here: Here) -> wire.Items[wire.Finding]:
    """Look at everything that runs and pages need on this machine; it takes some seconds."""
    found = doctor.run_checks(here.store.data_dir, here.settings.database_url)
    return wire.Items[wire.Finding](items=[wire.Finding(**dataclasses.asdict(each)) for each in found])


@router.get("/audit")
def audit(
    here: Here,
    run: Annotated[str | None, Query(max_length=16)] = None,
    before: Annotated[int | None, Query(ge=1, lt=2**31, description="entries older than this number")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> wire.Items[wire.AuditEntry]:
    """Return who did what, newest first."""
    rows = audit_store.entries(here.store, run, before, limit)
    names = wire.AuditEntry.model_fields
    items = [wire.AuditEntry(**{name: getattr(row, name) for name in names}) for row in rows]
    return wire.Items[wire.AuditEntry](items=items)


def _wire(row: sa.Row[Any]) -> wire.TokenWire:
    return wire.TokenWire(**{name: getattr(row, name) for name in wire.TokenWire.model_fields})
