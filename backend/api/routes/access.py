"""Routes of the current caller, access tokens, the audit log and diagnostics."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Query

from backend.api import wire
from backend.api.routes.context import ContextDep
from backend.api.security.permissions import current_caller
from backend.jobs import doctor
from backend.store import access
from backend.store.access import format_expiry
from backend.store.errors import Conflict, Invalid

router = APIRouter(prefix="/api/v1", tags=["access"])


@router.get("/me")
def me() -> wire.CallerWire:
    """Return the caller's name, scope and expiry."""
    who = current_caller()
    return wire.CallerWire(
        name=who.name,
        scope=who.scope,
        may_change=who.scope != "read",
        token_id=who.token_id,
        has_session=who.session is not None,
        ends_at=who.ends_at,
    )


@router.post("/logout", status_code=204)
async def log_out(context: ContextDep) -> None:
    """End the browser's session and its open streams."""
    who = current_caller()
    if who.session is None:
        raise Conflict("this request is authenticated by a token, not by a session; revoke the token instead")
    await context.authenticator.log_out(who.session)
    await context.hub.end_invalid()


@router.get("/tokens")
def list_tokens(context: ContextDep) -> wire.ItemList[wire.TokenWire]:
    """List access tokens, newest first, including revoked and expired ones."""
    return wire.list_of(wire.TokenWire, access.list_tokens(context.store))


@router.post("/tokens", status_code=201)
def create_token(context: ContextDep, body: wire.TokenRequest) -> wire.CreatedToken:
    """Create an access token; its secret is returned only once."""
    row, secret = access.create_token(context.store, body.name, body.scope, _expires_at(body))
    url = f"{context.settings.url}/?token={secret}"
    return wire.CreatedToken(**wire.TokenWire.model_validate(row).model_dump(), token=secret, url=url)


def _expires_at(body: wire.TokenRequest) -> str | None:
    if body.expires_at is not None and body.expires_in_s is not None:
        raise Invalid("give either `expires_at` or `expires_in_s`")
    if body.expires_in_s is not None:
        return format_expiry(datetime.now(UTC) + timedelta(seconds=body.expires_in_s))
    return None if body.expires_at is None else format_expiry(body.expires_at)


@router.delete("/tokens/{token_id}", status_code=204)
async def revoke(context: ContextDep, token_id: Annotated[str, Path(max_length=16)]) -> None:
    """Revoke a token and end its sessions and streams."""
    await asyncio.to_thread(access.revoke_token, context.store, token_id)
    context.authenticator.forget()
    await context.hub.end_invalid()


@router.get("/doctor")
def run_checks(context: ContextDep) -> wire.ItemList[wire.CheckResult]:
    """Run the diagnostics of this machine and data directory; takes some seconds."""
    results = doctor.run_checks(context.store.data_dir, context.settings.database_url)
    return wire.ItemList[wire.CheckResult](items=results)


@router.get("/audit")
def audit_log(
    context: ContextDep,
    run: Annotated[str | None, Query(max_length=16)] = None,
    before: Annotated[int | None, Query(ge=1, lt=2**31, description="only entries with a smaller number")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> wire.ItemList[wire.AuditEntry]:
    """Return the audit log, newest first."""
    return wire.list_of(wire.AuditEntry, access.list_audit_entries(context.store, run, before, limit))
