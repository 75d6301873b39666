"""The system page: devices, queue, session, access tokens, storage, diagnostics, audit log."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import dash_mantine_components as dmc
from dash import ALL, ClientsideFunction, Dash, Input, Output, State, ctx, dcc, html, no_update

from backend.api import wire
from backend.client import AsyncClient, calls
from backend.store.scopes import OWNER
from dashboard import ids
from dashboard.components.formatting import format_bytes, format_time
from dashboard.components.panels import message, page_head, panel, show_result, table
from dashboard.pages import storage

REFRESH_INTERVAL_MS = 3000
AUDIT_ENTRIES = 30
SCOPES = {"read": "Read-only", "launch": "Launch", "admin": "Full"}
"""Labels of scopes."""
EXPIRIES = {"": "No expiry", "86400": "1 day", "604800": "7 days", "2592000": "30 days", "31536000": "1 year"}
"""Labels of expiries, by seconds as text, which is what the field holds."""
DEFAULT_EXPIRY = "2592000"
DEFAULT_RECIPIENT = "co-author"
API_PREFIX = "/api/v1"
AUDIT_ACTIONS = (
    ("POST /runs", "Launched run"),
    ("POST /sweeps", "Launched sweep"),
    ("POST /runs/{}/clone", "Cloned run"),
    ("POST /runs/bulk", "Changed several runs"),
    ("POST /runs/{}/move", "Moved run in queue"),
    ("PATCH /runs/{}", "Edited run"),
    ("DELETE /runs/{}", "Deleted run"),
    ("POST /runs/{}/restore", "Restored run"),
    ("POST /runs/{}/cancel", "Cancelled run"),
    ("POST /runs/{}/pause", "Paused run"),
    ("POST /runs/{}/resume", "Resumed run"),
    ("POST /runs/{}/retry", "Retried run"),
    ("POST /imports", "Imported archive"),
    ("POST /tokens", "Created access token"),
    ("DELETE /tokens/{}", "Revoked access token"),
    ("POST /gc", "Previewed clean-up"),
    ("POST /gc/{}/delete", "Deleted files"),
    ("POST /trash/restore", "Restored files"),
    ("POST /trash/empty", "Emptied trash"),
    ("POST /logout", "Logged out"),
    ("log in", "Logged in"),
    ("token create {}", "Created access token"),
    ("token revoke {}", "Revoked access token"),
)
"""Methods and paths below the prefix, and actions of the command line, with `{}` for an id; and their descriptions."""
_AUDIT_PATTERNS = tuple((re.escape(route).replace(r"\{\}", "[^/]+"), text) for route, text in AUDIT_ACTIONS)


def layout(me: wire.CallerWire) -> Any:
    """Return the page; callbacks fill its panels. Tokens, storage, diagnostics and audit need the scope `admin`."""
    left = [panel("Devices", html.Div(id=ids.SYSTEM_DEVICES)), panel("Queue", html.Div(id=ids.SYSTEM_QUEUE))]
    right: list[Any] = [_session(me)]
    if me.scope == "admin":
        left += [_tokens_panel(), panel("Storage", *storage.content())]
        right += [_diagnostics_panel(), panel("Audit log", html.Div(id=ids.SYSTEM_AUDIT))]
    return html.Div(
        [
            dcc.Interval(id=ids.SYSTEM_INTERVAL, interval=REFRESH_INTERVAL_MS),
            page_head("System", html.Span("", id=ids.SYSTEM_SUMMARY, className="ink-2")),
            html.Div(id=ids.SYSTEM_MESSAGE),
            html.Div([html.Div(column) for column in (left, right) if column], className="system-grid"),
        ],
        **{"data-page": "system", "data-may-change": str(me.may_change).lower()},
    )


def format_caller(name: str, token_id: str | None) -> str:
    """Return the name of a request's caller; names of tokens are free text, so their ids are added."""
    if token_id is not None:
        return f"{name} ({token_id})"
    return "server token" if name == OWNER else name


def _session(me: wire.CallerWire) -> Any:
    facts = [["Logged in as", format_caller(me.name, me.token_id)], ["Scope", SCOPES[me.scope]]]
    if me.ends_at is not None:
        facts.append(["Expires, UTC", format_time(me.ends_at)])
    log_out = dmc.Button("Log out", id=ids.SYSTEM_LOG_OUT, size="xs", variant="default") if me.has_session else None
    return panel("Session", html.Div(table(["", ""], facts, "")), log_out)


def _tokens_panel() -> Any:
    help_text = "Read-only: view runs. Launch: also start and change runs. Full: also delete runs and manage tokens."
    fields = [
        dmc.TextInput(id=ids.TOKEN_NAME, placeholder="Recipient", size="xs", w=130, **{"aria-label": "Recipient"}),
        dmc.SegmentedControl(id=ids.TOKEN_SCOPE, data=_options(SCOPES), value="read", size="xs"),
        dmc.Select(
            id=ids.TOKEN_EXPIRY,
            data=_options(EXPIRIES),
            value=DEFAULT_EXPIRY,
            allowDeselect=False,
            size="xs",
            w=110,
            **{"aria-label": "Expiry"},
        ),
        dmc.Button("Create token", id=ids.TOKEN_CREATE, size="xs", variant="default"),
    ]
    return panel(
        "Access tokens",
        html.P(help_text, className="ink-2"),
        html.Div(fields, className="row"),
        html.Div(id=ids.TOKEN_CREATED),
        html.Div(id=ids.TOKENS),
    )


def _options(labels: dict[str, str]) -> list[dict[str, str]]:
    return [{"value": value, "label": label} for value, label in labels.items()]


def _diagnostics_panel() -> Any:
    run = dmc.Button("Run checks", id=ids.DIAGNOSTICS_RUN, size="xs", variant="default")
    help_text = html.Span("What runs and pages need on this machine. Takes a few seconds.", className="ink-2")
    return panel("Diagnostics", html.Div([run, help_text], className="row"), html.Div(id=ids.DIAGNOSTICS_RESULTS))


def diagnostics_view(results: list[wire.CheckResult]) -> Any:
    """Return the results of the checks, failed ones first."""

    def status(result: wire.CheckResult) -> str:
        return "OK" if result.ok else "Missing" if result.required else "Optional, missing"

    def row(result: wire.CheckResult) -> list[Any]:
        is_failed = result.required and not result.ok
        mark = html.Span(status(result), className="error-text" if is_failed else "")
        return [mark, result.what, result.found, result.remedy]

    ordered = sorted(results, key=lambda result: (result.ok, not result.required))
    return table(["Status", "Check", "Result", "Remedy"], [row(result) for result in ordered], "No checks")


def devices_view(system: wire.SystemStatus) -> Any:
    """Return the devices with their slots, and the machine's resources."""
    slots = [[device, str(count)] for device, count in system.slots.items()]
    facts = [
        ["Cores", str(system.cores)],
        ["Memory", format_bytes(system.memory_bytes)],
        ["Server memory", format_bytes(system.server_memory_bytes)],
        ["Free disk space", format_bytes(system.disk_free_bytes)],
        ["Version", system.version],
    ]
    disk_full = (
        "The disk is nearly full: no more runs are started. Preview a clean-up under Storage, and empty the trash."
    )
    return [
        message(disk_full, is_error=True) if system.disk_full else None,
        table(["Device", "Slots"], slots, "No devices"),
        table(["", ""], facts, ""),
    ]


def queue_view(runs: list[wire.RunWire], *, may_change: bool) -> Any:
    """Return the queued runs in the order in which they start, with buttons that move them."""
    if not runs:
        return html.P("Queue empty", className="ink-2")
    headings = [html.Td(), *(html.Th(text, scope="col") for text in ("Run", "Priority", "Move"))]
    body = []
    for index, run in enumerate(runs):
        link = dcc.Link(run.name, href=f"/runs/{run.id}", className="link")
        move = _move_buttons(run.id, index, len(runs)) if may_change else ""
        cells = [html.Td(cell) for cell in (str(index + 1), link, str(run.priority), move)]
        body.append(html.Tr(cells, draggable=str(may_change).lower(), **{"data-queued": run.id}))
    return html.Table([html.Thead(html.Tr(headings)), html.Tbody(body)], className="queue")


def _move_buttons(run_id: str, index: int, count: int) -> Any:
    def button(label: str, title: str, position: str, *, disabled: bool) -> Any:
        button_id = ids.queue_move(run_id, position)
        return html.Button(label, id=button_id, title=title, className="quiet", disabled=disabled)

    buttons = [
        button("↑", "Move up", "up", disabled=index == 0),
        button("First", "Move to the front", "first", disabled=index == 0),
        button("Last", "Move to the end", "last", disabled=index == count - 1),
    ]
    return html.Span(buttons, className="row")


def find_successor(order: list[str], run_id: str, position: str) -> str | None:
    """Return the run before which a queued run is moved; None is the end. Raises ValueError if it is not queued."""
    index = order.index(run_id)
    if position == "last":
        return None
    return order[0 if position == "first" else max(0, index - 1)]


def tokens_view(tokens: list[wire.TokenWire]) -> Any:
    """Return the additional tokens; valid ones have a button that revokes them."""

    def state(token: wire.TokenWire) -> Any:
        if token.revoked_at:
            return f"Revoked {format_time(token.revoked_at)}"
        if token.expires_at and token.expires_at <= f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}":
            return "Expired"
        return html.Button("Revoke", id=ids.token_revoke(token.id), className="quiet")

    rows = [
        [
            html.Span(token.name, title=f"token {token.id}"),
            SCOPES[token.scope],
            format_time(token.created_at),
            format_time(token.expires_at) if token.expires_at else "Never",
            state(token),
        ]
        for token in tokens
    ]
    return table(["Recipient", "Scope", "Created, UTC", "Expires, UTC", ""], rows, "No additional tokens")


def describe_action(action: str) -> str:
    """Return the description of an action such as `POST /api/v1/runs/abc/cancel`, or the action itself if unknown."""
    route = action.replace(f" {API_PREFIX}/", " /", 1)
    return next((text for pattern, text in _AUDIT_PATTERNS if re.fullmatch(pattern, route)), action)


def audit_view(entries: list[wire.AuditEntry]) -> Any:
    """Return the audit log, newest entries first."""
    rows = [
        [
            format_time(entry.at, seconds=True),
            format_caller(entry.who, entry.token_id),
            html.Span(describe_action(entry.action), title=entry.action),
            entry.run_id or "",
            str(entry.status),
        ]
        for entry in entries
    ]
    return table(["Time, UTC", "Caller", "Action", "Run", "Status"], rows, "No changes yet")


def register(app: Dash, client: AsyncClient) -> None:
    """Register the page's callbacks."""
    app.clientside_callback(
        ClientsideFunction("collapse", "logOut"),
        Output(ids.SYSTEM_LOG_OUT, "loading"),
        Input(ids.SYSTEM_LOG_OUT, "n_clicks"),
        prevent_initial_call=True,
    )
    _register_refresh(app, client)
    _register_actions(app, client)
    storage.register(app, client)


def _register_refresh(app: Dash, client: AsyncClient) -> None:
    @app.callback(
        Output(ids.SYSTEM_SUMMARY, "children"),
        Output(ids.SYSTEM_DEVICES, "children"),
        Output(ids.SYSTEM_QUEUE, "children"),
        Input(ids.SYSTEM_INTERVAL, "n_intervals"),
        Input(ids.SYSTEM_MESSAGE, "children"),
    )
    async def refresh(_intervals: int, _message: Any) -> Any:
        system, queued, me = await client(calls.system()), await client(calls.queue()), await client(calls.me())
        summary = f"{system.running} running, {system.queued} queued"
        return summary, devices_view(system), queue_view(queued, may_change=me.may_change)

    @app.callback(
        Output(ids.TOKENS, "children"),
        Output(ids.SYSTEM_AUDIT, "children"),
        Input(ids.SYSTEM_SUMMARY, "children"),
        Input(ids.TOKEN_CREATED, "children"),
        Input(ids.SYSTEM_MESSAGE, "children"),
    )
    async def refresh_admin(_summary: str, _created: Any, _message: Any) -> Any:
        return tokens_view(await client(calls.tokens())), audit_view(await client(calls.audit(limit=AUDIT_ENTRIES)))


def _register_actions(app: Dash, client: AsyncClient) -> None:
    @app.callback(
        Output(ids.SYSTEM_MESSAGE, "children"),
        Input(ids.queue_move(ALL, ALL), "n_clicks"),
        Input(ids.token_revoke(ALL), "n_clicks"),
        prevent_initial_call=True,
    )
    async def act(_moves: list[int | None], _revokes: list[int | None]) -> Any:
        if not ctx.triggered_id or not ctx.triggered[0]["value"]:
            return no_update
        return await show_result(_act(client, dict(ctx.triggered_id)), message)

    @app.callback(
        Output(ids.TOKEN_CREATED, "children"),
        Input(ids.TOKEN_CREATE, "n_clicks"),
        State(ids.TOKEN_NAME, "value"),
        State(ids.TOKEN_SCOPE, "value"),
        State(ids.TOKEN_EXPIRY, "value"),
        prevent_initial_call=True,
    )
    async def create_token(clicks: int | None, name: str | None, scope: str, expiry: str | None) -> Any:
        if not clicks:
            return no_update
        seconds = int(expiry) if expiry else None
        request = calls.create_token(name or DEFAULT_RECIPIENT, scope, expires_in_s=seconds)
        return await show_result(client(request), _created_view)

    @app.callback(
        Output(ids.DIAGNOSTICS_RESULTS, "children"),
        Input(ids.DIAGNOSTICS_RUN, "n_clicks"),
        prevent_initial_call=True,
        running=[(Output(ids.DIAGNOSTICS_RUN, "loading"), True, False)],
    )
    async def run_diagnostics(clicks: int | None) -> Any:
        return diagnostics_view(await client(calls.doctor())) if clicks else no_update


def _created_view(token: wire.CreatedToken) -> Any:
    notice = html.P("Copy this link now. It is not shown again.", className="ink-2")
    return [notice, html.Pre(token.url, className="command"), dcc.Clipboard(content=token.url, title="Copy")]


async def _act(client: AsyncClient, button: dict[str, str]) -> str:
    """Revoke a token or move a queued run, as a button's id says; return the message to show."""
    if "token" in button:
        await client(calls.revoke_token(button["token"]))
        return "Token revoked"
    order = [run.id for run in await client(calls.queue())]
    try:
        before = find_successor(order, button["run"], button["position"])
    except ValueError:
        return "Run not moved: already started"
    await client(calls.move(button["run"], before))
    return "Run moved"
