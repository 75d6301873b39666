"""The machine and this server: devices, the queue, disk, further tokens, and who did what."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import dash_mantine_components as dmc
from dash import ALL, ClientsideFunction, Dash, Input, Output, State, ctx, dcc, html, no_update

from backend.api import wire
from backend.client import ApiError, AsyncClient, calls
from backend.store.scopes import OWNER
from dashboard import ids
from dashboard.components.formatting import size
from dashboard.components.panels import message, panel, table
from dashboard.pages import storage

TICK_MS = 3000
AUDITED = 30


def layout(me: wire.CallerWire) -> Any:
    """Return the page; its parts come with the first tick. Tokens, storage and the audit are for the scope `admin`."""
    left = [panel("Devices", html.Div(id=ids.SYSTEM_DEVICES)), panel("Queue", html.Div(id=ids.SYSTEM_QUEUE))]
    right: list[Any] = [_session(me)]
    if me.scope == "admin":
        left += [_tokens(), panel("Storage", *storage.content())]
        right += [_doctor(), panel("Audit log", html.Div(id=ids.SYSTEM_AUDIT))]
    return html.Div(
        [
            dcc.Interval(id=ids.SYSTEM_TICK, interval=TICK_MS),
            html.Div([html.H1("System"), html.Span("", id=ids.SYSTEM_LINE, className="ink-2")], className="page-head"),
            html.Div(id=ids.SYSTEM_MESSAGE),
            html.Div([html.Div(column) for column in (left, right) if column], className="system-grid"),
        ],
        **{"data-page": "system", "data-may-change": str(me.may_change).lower()},
    )


SCOPES = {"read": "Read", "launch": "Launch", "admin": "Admin"}
EXPIRIES = {"": "No expiry", "86400": "1 day", "604800": "7 days", "2592000": "30 days", "31536000": "1 year"}
"""Seconds, as the field's values are text, and what they are called."""


def who_is(name: str, token_id: str | None) -> str:
    """Return how people read who did something: names are free text, so that other tokens carry their id."""
    if token_id is not None:
        return f"{name} ({token_id})"
    return "server token" if name == OWNER else name


def _session(me: wire.CallerWire) -> Any:
    facts = [["Logged in as", who_is(me.name, me.token_id)], ["Scope", SCOPES[me.scope]]]
    if me.ends_at is not None:
        facts.append(["Ends at the latest, UTC", me.ends_at[:16].replace("T", " ")])
    log_out = dmc.Button("Log out", id=ids.SYSTEM_LOG_OUT, size="xs", variant="default") if me.has_session else None
    return panel("Session", html.Div(table(["", ""], facts, "")), log_out)


def _tokens() -> Any:
    return panel(
        "Access tokens",
        html.P(
            "Read: see runs live. Launch: start and change runs too. Admin: delete runs and manage tokens too.",
            className="ink-2",
        ),
        html.Div(
            [
                dmc.TextInput(
                    id=ids.SHARE_NAME, placeholder="Recipient", size="xs", w=130, **{"aria-label": "Recipient"}
                ),
                dmc.SegmentedControl(
                    id=ids.SHARE_SCOPE,
                    data=[{"value": scope, "label": label} for scope, label in SCOPES.items()],
                    value="read",
                    size="xs",
                ),
                dmc.Select(
                    id=ids.SHARE_EXPIRES,
                    data=[{"value": value, "label": label} for value, label in EXPIRIES.items()],
                    value="2592000",
                    allowDeselect=False,
                    size="xs",
                    w=110,
                    **{"aria-label": "Expiry"},
                ),
                dmc.Button("Create token", id=ids.SHARE_MAKE, size="xs", variant="default"),
            ],
            className="row",
        ),
        html.Div(id=ids.SHARE_MADE),
        html.Div(id=ids.SYSTEM_SHARES),
    )


def _doctor() -> Any:
    return panel(
        "Does everything work?",
        html.Div(
            [
                dmc.Button("Examine", id=ids.DOCTOR, size="xs", variant="default"),
                html.Span("what runs and pages need on this machine; a few seconds", className="ink-2"),
            ],
            className="row",
        ),
        html.Div(id=ids.DOCTOR_FOUND),
    )


def findings(found: list[wire.CheckResultWire]) -> Any:
    """Return what the doctor found, what is wrong first."""

    def words(finding: wire.CheckResultWire) -> str:
        return "works" if finding.ok else "missing" if finding.required else "not here, not needed"

    ordered = sorted(found, key=lambda finding: (finding.ok, not finding.required))
    rows = [
        [
            html.Span(words(each), className="" if each.ok or not each.required else "bad-words"),
            each.what,
            each.found,
            each.remedy,
        ]
        for each in ordered
    ]
    return table(["", "what", "found", "what to do"], rows, "Nothing was looked at.")


def devices(system: wire.SystemStatus) -> Any:
    """Return what runs may use, and what of it is left."""
    slots = [[device, str(count)] for device, count in system.slots.items()]
    facts = [
        ["cores", str(system.cores)],
        ["memory", size(system.memory_bytes)],
        ["this server's memory", size(system.server_memory_bytes)],
        ["free on disk", size(system.disk_free_bytes)],
        ["version", system.version],
    ]
    full = message(
        "The disk is nearly full: no further run starts. Preview a clean-up under Storage, and empty the trash.",
        bad=True,
    )
    return [
        full if system.disk_full else None,
        table(["device", "runs at once"], slots, "none"),
        table(["", ""], facts, ""),
    ]


def queue(runs: list[wire.RunWire], *, may_change: bool) -> Any:
    """Return the waiting runs in the order in which they start, with buttons that move them."""

    def move(run: wire.RunWire, index: int) -> Any:
        if not may_change:
            return ""
        up = html.Button("↑", id=ids.queue_move(run.id, "up"), className="quiet", disabled=index == 0)
        first = html.Button("first", id=ids.queue_move(run.id, "first"), className="quiet", disabled=index == 0)
        last = html.Button(
            "last", id=ids.queue_move(run.id, "last"), className="quiet", disabled=index == len(runs) - 1
        )
        return html.Span([up, first, last], className="row")

    rows = [
        [
            str(index + 1),
            dcc.Link(run.name, href=f"/runs/{run.id}", className="link"),
            str(run.priority),
            move(run, index),
        ]
        for index, run in enumerate(runs)
    ]
    if not rows:
        return html.P("Nothing waits.", className="ink-2")
    heads = [html.Td(), *(html.Th(words, scope="col") for words in ("run", "priority", "move, or drag"))]
    head = html.Thead(html.Tr(heads))
    body = [
        html.Tr([html.Td(cell) for cell in row], draggable=str(may_change).lower(), **{"data-queued": run.id})
        for row, run in zip(rows, runs, strict=True)
    ]
    return html.Table([head, html.Tbody(body)], className="queue")


def _link(run: wire.RunWire) -> Any:
    return dcc.Link(run.name, href=f"/runs/{run.id}", className="link")


def target(order: list[str], run_id: str, where: str) -> str | None:
    """Return the run before which a queued one goes; None is the end. Raises ValueError where it waits no more."""
    index = order.index(run_id)
    if where == "last":
        return None
    return order[0 if where == "first" else max(0, index - 1)]


def tokens(found: list[wire.TokenWire]) -> Any:
    """Return the further tokens, those that open something with a button that ends them."""

    def moment(text: str) -> str:
        return text[:16].replace("T", " ")

    def state(token: wire.TokenWire) -> Any:
        if token.revoked_at:
            return f"Revoked {moment(token.revoked_at)}"
        if token.expires_at and token.expires_at <= f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}":
            return "Expired"
        return html.Button("Revoke", id=ids.token_revoke(token.id), className="quiet")

    rows = [
        [
            html.Span(token.name, title=f"token {token.id}"),
            SCOPES[token.scope],
            moment(token.created_at),
            moment(token.expires_at) if token.expires_at else "Never",
            state(token),
        ]
        for token in found
    ]
    return table(["Recipient", "Scope", "Created, UTC", "Expires, UTC", ""], rows, "No additional tokens")


def audit(entries: list[wire.AuditEntry]) -> Any:
    """Return who did what, newest first."""
    rows = [
        [
            entry.at[:19].replace("T", " "),
            who_is(entry.who, entry.token_id),
            entry.action,
            entry.run_id or "",
            str(entry.status),
        ]
        for entry in entries
    ]
    return table(["Time, UTC", "Who", "Action", "Run", "Status"], rows, "No changes yet")


def register(app: Dash, client: AsyncClient) -> None:
    """Keep the page up to date; move what waits, make and revoke tokens."""
    app.clientside_callback(
        ClientsideFunction("collapse", "logOut"),
        Output(ids.SYSTEM_LOG_OUT, "loading"),
        Input(ids.SYSTEM_LOG_OUT, "n_clicks"),
        prevent_initial_call=True,
    )

    @app.callback(
        Output(ids.SYSTEM_LINE, "children"),
        Output(ids.SYSTEM_DEVICES, "children"),
        Output(ids.SYSTEM_QUEUE, "children"),
        Input(ids.SYSTEM_TICK, "n_intervals"),
        Input(ids.SYSTEM_MESSAGE, "children"),
    )
    async def refresh(_tick: int, _news: Any) -> Any:
        system, waiting, me = await client(calls.system()), await client(calls.queue()), await client(calls.me())
        line = f"{system.running} running, {system.queued} queued"
        return line, devices(system), queue(waiting, may_change=me.may_change)

    @app.callback(
        Output(ids.SYSTEM_SHARES, "children"),
        Output(ids.SYSTEM_AUDIT, "children"),
        Input(ids.SYSTEM_LINE, "children"),
        Input(ids.SHARE_MADE, "children"),
        Input(ids.SYSTEM_MESSAGE, "children"),
    )
    async def owned(_line: str, _made: Any, _news: Any) -> Any:
        return tokens(await client(calls.tokens())), audit(await client(calls.audit(limit=AUDITED)))

    @app.callback(
        Output(ids.SYSTEM_MESSAGE, "children"),
        Input(ids.queue_move(ALL, ALL), "n_clicks"),
        Input(ids.token_revoke(ALL), "n_clicks"),
        prevent_initial_call=True,
    )
    async def act(_moves: list[int | None], _revokes: list[int | None]) -> Any:
        if not ctx.triggered_id or not ctx.triggered[0]["value"]:
            return no_update
        try:
            return message(await _acted(client, dict(ctx.triggered_id)))
        except ApiError as error:
            return message(str(error), bad=True)

    @app.callback(
        Output(ids.SHARE_MADE, "children"),
        Input(ids.SHARE_MAKE, "n_clicks"),
        State(ids.SHARE_NAME, "value"),
        State(ids.SHARE_SCOPE, "value"),
        State(ids.SHARE_EXPIRES, "value"),
        prevent_initial_call=True,
    )
    async def make(clicks: int | None, name: str | None, scope: str, expires: str | None) -> Any:
        if not clicks:
            return no_update
        try:
            seconds = int(expires) if expires else None
            made = await client(calls.create_token(name or "a co-author", scope, expires_in_s=seconds))
        except ApiError as error:
            return message(str(error), bad=True)
        told = html.P("Send this link; it is shown this once.", className="ink-2")
        return [told, html.Pre(made.url, className="command"), dcc.Clipboard(content=made.url, title="Copy")]

    @app.callback(
        Output(ids.DOCTOR_FOUND, "children"),
        Input(ids.DOCTOR, "n_clicks"),
        prevent_initial_call=True,
        running=[(Output(ids.DOCTOR, "loading"), True, False)],
    )
    async def examine(clicks: int | None) -> Any:
        return findings(await client(calls.doctor())) if clicks else no_update

    storage.register(app, client)


async def _acted(client: AsyncClient, pressed: dict[str, str]) -> str:
    """Revoke a token or move a run that waits, as the button that was pressed says; return what to tell."""
    if "token" in pressed:
        await client(calls.revoke_token(pressed["token"]))
        return "Token revoked"
    order = [run.id for run in await client(calls.queue())]
    try:
        place = target(order, pressed["run"], pressed["where"])
    except ValueError:
        return "It has started meanwhile."
    await client(calls.move(pressed["run"], place))
    return "Moved."
