"""`collapse token`: create, list and revoke access tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.services import ServiceOptions, with_service
from backend.store.scopes import TokenScope

if TYPE_CHECKING:
    from backend.api.wire import TokenWire

app = typer.Typer(no_args_is_help=True, help="Access tokens, such as a read-only one for a co-author.")


@app.command("create")
@with_service
def create(
    name: Annotated[str, typer.Argument(help="Name for the audit log.")],
    service: ServiceOptions,
    scope: Annotated[
        TokenScope,
        typer.Option(help="read; launch: start and change runs too; admin: delete runs and manage tokens too."),
    ] = "read",
    read_only: Annotated[bool, typer.Option("--read-only", help="The same as --scope read.")] = False,
    expires: Annotated[
        str | None, typer.Option(help="Expiry: 30d, 12h, 2w or a date (default: never).", metavar="WHEN")
    ] = None,
) -> None:
    """Create a token and print it once."""
    from backend.store.access import parse_expiry
    from backend.store.errors import Invalid

    if read_only and scope != "read":
        raise Invalid(f"--read-only and --scope {scope} exclude each other; leave one of them out")
    if not name.strip() or len(name) > 200 or not name.isprintable():
        raise Invalid(f"the name must be 1 to 200 printable characters, got {name[:50]!r}")
    expires_at = None if expires is None else parse_expiry(expires)
    with service.open(create=True) as opened:
        created = opened.create_token(name, scope, expires_at)
    print(f"{created.id}  {created.token}")
    if created.url:
        print(created.url)


@app.command("list")
@with_service
def list_tokens(service: ServiceOptions) -> None:
    """List tokens, newest first: id, creation time, scope, state, name."""
    with service.open() as opened:
        for token in opened.list_tokens():
            print(f"{token.id}  {token.created_at[:16]}  {token.scope:6}  {_state(token):24}  {token.name}")


@app.command("revoke")
@with_service
def revoke(token_id: Annotated[str, typer.Argument(metavar="ID")], service: ServiceOptions) -> None:
    """Revoke a token; its sessions and streams end within a second."""
    with service.open() as opened:
        opened.revoke_token(token_id)
    print(f"revoked {token_id}")


def _state(token: TokenWire) -> str:
    from backend.store.clock import now

    if token.revoked_at:
        return f"revoked {token.revoked_at[:16]}"
    if token.expires_at is None:
        return "does not expire"
    return f"{'expired' if token.expires_at <= now() else 'expires'} {token.expires_at[:16]}"
