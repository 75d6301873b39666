"""The list of runs: status with live progress, final metrics, delete with confirmation and undo."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import dash_ag_grid as dag
import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, dcc, html, no_update

from backend import wire
from backend.client import ApiError, AsyncClient, calls
from dashboard import ids
from dashboard.components.frame import message, warm_up

TICK_MS = 1500
LIMIT = 500
GRID_THEME = (
    "themeQuartz.withParams({accentColor: 'var(--accent)', backgroundColor: 'var(--panel)',"
    " foregroundColor: 'var(--ink)', borderColor: 'var(--line)', headerBackgroundColor: 'var(--panel)',"
    " rowHoverColor: 'var(--background)', fontFamily: 'Inter Variable', fontSize: 13, rowHeight: 34,"
    " headerHeight: 34, cellHorizontalPadding: 10, wrapperBorderRadius: 8,"
    " selectedRowBackgroundColor: 'var(--background)'})"
)


def _number(field: str, title: str, form: str | None = None, width: int = 92) -> dict[str, Any]:
    """Return a right-aligned column, its numbers in a d3 format; an absent number stays empty."""
    column = {"field": field, "headerName": title, "type": "rightAligned", "width": width}
    if form is None:
        return column
    function = f"params.value == null ? '' : d3.format('{form}')(params.value)"
    return column | {"valueFormatter": {"function": function}}


COLUMNS: list[dict[str, Any]] = [
    {
        "field": "status",
        "headerName": "Status",
        "width": 124,
        "tooltipField": "status",
        "cellClassRules": {
            "bad-words": "params.value.startsWith('failed')",
            "active": "params.value.startsWith('running')",
        },
    },
    {"field": "name", "headerName": "Name", "flex": 1, "minWidth": 130, "cellClass": "row-link"},
    {"field": "head", "headerName": "Head", "width": 100},
    {"field": "data", "headerName": "Data", "width": 148},
    {"field": "backbone", "headerName": "Backbone", "width": 98},
    _number("seed", "Seed", width=66),
    _number("nc1", "NC1", ".3~g"),
    _number("nc2", "NC2 ∠", ".3~g"),
    _number("nc3", "NC3", ".3~g"),
    _number("train", "train", ".1%", width=80),
    _number("test", "test", ".1%", width=80),
    _number("time", "time", width=92),
    {"field": "created", "headerName": "created, UTC", "width": 148},
]


def layout() -> Any:
    """Return the page; its rows come with the first tick."""
    return html.Div(
        [
            dcc.Interval(id=ids.RUNS_TICK, interval=TICK_MS),
            dcc.Store(id=ids.RUNS_DELETED, data=[]),
            html.Div(
                [
                    html.H1("Runs"),
                    html.Span("", id=ids.RUNS_COUNT, className="ink-2"),
                    html.Div(
                        [
                            dmc.Button("Compare", id=ids.RUNS_COMPARE, variant="default", size="xs", disabled=True),
                            dmc.Button("Delete", id=ids.RUNS_DELETE, variant="default", size="xs", disabled=True),
                            dcc.Link("New run", href="/new", className="primary-link"),
                        ],
                        className="actions",
                    ),
                ],
                className="page-head",
            ),
            dmc.TextInput(
                id=ids.RUNS_FILTER, placeholder="filter by words of name or config", className="filter", debounce=200
            ),
            html.Div(
                [html.Div(id=ids.RUNS_MESSAGE), html.Button("Undo", id=ids.RUNS_UNDO, className="quiet", hidden=True)],
                className="undo-line",
            ),
            dag.AgGrid(
                id=ids.RUNS_GRID,
                columnDefs=COLUMNS,
                rowData=[],
                getRowId="params.data.id",
                defaultColDef={"sortable": True, "resizable": True, "suppressMovable": True},
                dashGridOptions={
                    "theme": {"function": GRID_THEME},
                    "rowSelection": {"mode": "multiRow", "enableClickSelection": False},
                    "animateRows": False,
                    "localeText": {"noRowsToShow": "No runs here. Start one with New run."},
                },
                style={"height": "calc(100vh - 190px)", "minHeight": 320},
                className="grid",
            ),
            warm_up(),
            dmc.Modal(
                [
                    html.P(id=ids.RUNS_CONFIRM_TEXT),
                    html.Div(
                        [
                            dmc.Button("Keep", id=ids.RUNS_CONFIRM_NO, variant="default", size="xs"),
                            dmc.Button("Delete", id=ids.RUNS_CONFIRM_YES, color="red", size="xs"),
                        ],
                        className="actions",
                    ),
                ],
                id=ids.RUNS_CONFIRM,
                title="Delete runs",
                opened=False,
                transitionProps={"duration": 0},
            ),
        ],
        **{"data-page": "runs"},
    )


def row(run: wire.RunWire, now: datetime) -> dict[str, Any]:
    """Return a run as a row of the table."""
    train, test = run.summary.get("train", {}), run.summary.get("test", {})

    def value(split: dict[str, Any], key: str) -> float | None:
        return float(split[key]) if key in split else None

    status: str = run.status
    if run.status == "running":
        asked = {"cancel": "stopping", "pause": "pausing"}.get(run.want)
        status = asked or f"running {100 * run.epoch // run.config.epochs} %"
    elif run.error:
        status = f"failed: {run.error}"
    return {
        "id": run.id,
        "status": status,
        "name": run.name,
        "head": run.config.head.name.replace("etf", "ETF"),
        "data": run.config.data.name,
        "backbone": run.config.backbone.name,
        "seed": run.config.seed,
        "nc1": value(train, "nc1"),
        "nc2": value(train, "nc2_equiangular_means"),
        "nc3": value(train, "nc3"),
        "train": value(train, "top1"),
        "test": value(test, "top1"),
        "time": elapsed(run, now),
        "created": run.created_at[:16].replace("T", " "),
        "ended": run.status in ("finished", "cancelled", "failed"),
    }


def elapsed(run: wire.RunWire, now: datetime) -> str:
    """Return how long a run has taken, in words."""
    if run.started_at is None:
        return ""
    end = datetime.fromisoformat(run.ended_at) if run.ended_at else now
    seconds = max(0, round((end - datetime.fromisoformat(run.started_at)).total_seconds()))
    minutes, rest = divmod(seconds, 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def count(page: wire.RunPage) -> str:
    """Return the line beside the title."""
    active = {status: sum(item.status == status for item in page.items) for status in ("running", "queued")}
    words = [f"{page.total} run{'' if page.total == 1 else 's'}"]
    words += [f"{number} {status}" for status, number in active.items() if number]
    if page.total > len(page.items):
        words.append(f"the newest {len(page.items)} are shown")
    return ", ".join(words)


def register(app: Dash, client: AsyncClient) -> None:
    """Keep the table up to date; open, delete, undo."""

    @app.callback(
        Output(ids.RUNS_GRID, "rowData"),
        Output(ids.RUNS_COUNT, "children"),
        Input(ids.RUNS_TICK, "n_intervals"),
        Input(ids.RUNS_FILTER, "value"),
        Input(ids.RUNS_DELETED, "data"),
    )
    async def refresh(_tick: int, words: str | None, _deleted: list[str]) -> Any:
        page = await client(calls.runs(limit=LIMIT, q=words or ""))
        now = datetime.now(UTC)
        return [row(run, now) for run in page.items], count(page)

    @app.callback(
        Output(ids.URL, "pathname", allow_duplicate=True),
        Input(ids.RUNS_GRID, "cellClicked"),
        prevent_initial_call=True,
    )
    def open_run(cell: dict[str, Any] | None) -> Any:
        if not cell or cell.get("colId") in (None, "ag-Grid-SelectionColumn"):
            return no_update
        return f"/runs/{cell['rowId']}"

    @app.callback(
        Output(ids.RUNS_DELETE, "disabled"),
        Output(ids.RUNS_DELETE, "children"),
        Output(ids.RUNS_COMPARE, "disabled"),
        Output(ids.RUNS_COMPARE, "children"),
        Input(ids.RUNS_GRID, "selectedRows"),
    )
    def selected(rows: list[dict[str, Any]] | None) -> Any:
        number = len(rows or [])
        delete, compare = (f"{word} {number}" if number else word for word in ("Delete", "Compare"))
        return number == 0, delete, number == 0, compare

    @app.callback(
        Output(ids.URL, "pathname", allow_duplicate=True),
        Output(ids.URL, "search", allow_duplicate=True),
        Input(ids.RUNS_COMPARE, "n_clicks"),
        State(ids.RUNS_GRID, "selectedRows"),
        prevent_initial_call=True,
    )
    def compare(clicks: int | None, rows: list[dict[str, Any]] | None) -> Any:
        if not clicks or not rows:
            return no_update, no_update
        return "/compare", "?runs=" + ",".join(item["id"] for item in rows)

    @app.callback(
        Output(ids.RUNS_CONFIRM, "opened"),
        Output(ids.RUNS_CONFIRM_TEXT, "children"),
        Input(ids.RUNS_DELETE, "n_clicks"),
        State(ids.RUNS_GRID, "selectedRows"),
        prevent_initial_call=True,
    )
    def confirm(clicks: int | None, rows: list[dict[str, Any]] | None) -> Any:
        if not clicks or not rows:
            return no_update, no_update
        names = ", ".join(item["name"] for item in rows[:5]) + (" …" if len(rows) > 5 else "")
        return True, f"Delete {len(rows)} run{'' if len(rows) == 1 else 's'}: {names}? Undo brings them back."

    @app.callback(
        Output(ids.RUNS_CONFIRM, "opened", allow_duplicate=True),
        Input(ids.RUNS_CONFIRM_NO, "n_clicks"),
        prevent_initial_call=True,
    )
    def keep(_clicks: int | None) -> bool:
        return False

    @app.callback(
        Output(ids.RUNS_DELETED, "data"),
        Output(ids.RUNS_MESSAGE, "children"),
        Output(ids.RUNS_UNDO, "hidden"),
        Output(ids.RUNS_CONFIRM, "opened", allow_duplicate=True),
        Output(ids.RUNS_GRID, "deselectAll"),
        Input(ids.RUNS_CONFIRM_YES, "n_clicks"),
        State(ids.RUNS_GRID, "selectedRows"),
        prevent_initial_call=True,
    )
    async def delete(clicks: int | None, rows: list[dict[str, Any]] | None) -> Any:
        if not clicks or not rows:
            return (no_update,) * 5
        done, failed = [], []
        for item in rows:
            try:
                await client(calls.delete(item["id"]))
                done.append(item["id"])
            except ApiError as error:
                failed.append(str(error))
        words = f"Deleted {len(done)} run{'' if len(done) == 1 else 's'}."
        news = [message(words)] if done else []
        return done, news + [message(text, bad=True) for text in failed], not done, False, True

    @app.callback(
        Output(ids.RUNS_DELETED, "data", allow_duplicate=True),
        Output(ids.RUNS_MESSAGE, "children", allow_duplicate=True),
        Output(ids.RUNS_UNDO, "hidden", allow_duplicate=True),
        Input(ids.RUNS_UNDO, "n_clicks"),
        State(ids.RUNS_DELETED, "data"),
        prevent_initial_call=True,
    )
    async def undo(clicks: int | None, deleted: list[str]) -> Any:
        if not clicks or not deleted:
            return no_update, no_update, no_update
        for run_id in deleted:
            await client(calls.restore(run_id))
        return [], message("Brought back."), True
