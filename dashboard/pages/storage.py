"""The panel "Storage" of the system page: a clean-up is previewed, then deleted as it was previewed; the trash."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
from dash import ALL, Dash, Input, Output, ctx, html, no_update

from backend.api import wire
from backend.client import ApiError, AsyncClient, calls
from dashboard import ids
from dashboard.components.formatting import size
from dashboard.components.panels import message, table

LISTED = 50
THIN = "Keep every n-th capture of finished runs, the first and the last; empty keeps all."


def content() -> list[Any]:
    """Return what is in the panel before anything is asked for."""
    return [
        html.P(
            "Runs deleted more than a week ago, files that belong to nothing, and what is chosen here. Deleted files "
            "are kept in the trash for a week.",
            className="ink-2",
        ),
        html.Div(
            [
                dmc.NumberInput(
                    id=ids.STORAGE_THIN, placeholder="all captures", min=2, size="xs", w=150, **{"aria-label": THIN}
                ),
                dmc.Checkbox(id=ids.STORAGE_CHECKPOINTS, label="Checkpoints of finished runs", size="xs"),
                dmc.Button("Preview clean-up", id=ids.STORAGE_PREVIEW, size="xs", variant="default"),
            ],
            className="row",
        ),
        html.P(THIN, className="field-help"),
        html.Div(id=ids.STORAGE_PLAN),
        html.Div(id=ids.STORAGE_RESULT),
        html.Div(id=ids.STORAGE_TRASH),
    ]


def files_of(count: int, size_bytes: int) -> str:
    """Return "12 files (2.8 MB)"."""
    return f"{count:,} {'file' if count == 1 else 'files'} ({size(size_bytes)})"


def plan_view(plan: wire.GcPlan) -> Any:
    """Return what a clean-up would delete, with the button that deletes exactly that."""
    if not plan.items:
        return [html.P("Nothing can be deleted.", className="ink-2"), *_skipped("Left alone", plan.skipped)]
    label = f"Delete {files_of(plan.count, plan.size_bytes)}"
    button = dmc.Button(label, id=ids.storage_action("delete", plan.id), size="xs", color="red")
    return [*_items(plan.items), *_skipped("Left alone", plan.skipped), button]


def result_view(done: str, result: wire.GcResult) -> Any:
    """Return what was deleted or restored, and what was left with the reason."""
    words = f"{done} {files_of(result.count, result.size_bytes)}."
    if result.entry:
        words += " They are in the trash for a week; their space is free once it is emptied."
    return [message(words), *_skipped("Left as it was", result.skipped)]


def trash_view(trash: wire.Trash) -> Any:
    """Return what is in the trash, with buttons that restore an entry or empty it all."""
    if not trash.items:
        return [html.H3("Trash"), html.P("The trash is empty.", className="ink-2")]
    rows = [
        [
            _moment(entry.created_at),
            f"{entry.count:,}",
            size(entry.size_bytes),
            _moment(entry.expires_at),
            html.Button("Restore", id=ids.storage_action("restore", entry.name), className="quiet"),
        ]
        for entry in trash.items
    ]
    label = f"Remove {files_of(trash.count, trash.size_bytes)} for good"
    button = dmc.Button(label, id=ids.storage_action("empty", trash.digest), size="xs", color="red")
    confirmation = [html.Summary("Empty trash"), html.P("This cannot be undone.", className="ink-2"), button]
    heads = ["deleted, UTC", "files", "size", "kept until, UTC", ""]
    return [html.H3("Trash"), table(heads, rows, ""), html.Details(confirmation, className="confirmation")]


def _items(items: list[wire.GcItem]) -> list[Any]:
    rows = [[item.what, item.run_id or "", f"{item.count:,}", size(item.size_bytes)] for item in items]
    more = [html.P(f"and {len(rows) - LISTED:,} more", className="ink-2")] if len(rows) > LISTED else []
    return [table(["what", "run", "files", "size"], rows[:LISTED], ""), *more]


def _skipped(words: str, skipped: list[wire.GcSkipped]) -> list[Any]:
    if not skipped:
        return []
    rows = [[each.path or f"{each.what} {each.run_id or ''}", each.reason] for each in skipped[:LISTED]]
    head = f"{words}: {len(skipped):,}" + (f", of which {LISTED} are listed" if len(skipped) > LISTED else "")
    return [html.P(head, className="ink-2"), table(["file", "reason"], rows, "")]


def _moment(at: str) -> str:
    return at[:16].replace("T", " ")


def register(app: Dash, client: AsyncClient) -> None:
    """Preview a clean-up, carry out what was previewed, and list the trash."""

    @app.callback(
        Output(ids.STORAGE_PLAN, "children"),
        Input(ids.STORAGE_PREVIEW, "n_clicks"),
        Input(ids.STORAGE_THIN, "value"),
        Input(ids.STORAGE_CHECKPOINTS, "checked"),
        Input(ids.STORAGE_RESULT, "children"),
        prevent_initial_call=True,
        running=[(Output(ids.STORAGE_PREVIEW, "loading"), True, False)],
    )
    async def preview(_clicks: int | None, thin: Any, checkpoints: bool | None, _result: Any) -> Any:
        if f"{ids.STORAGE_PREVIEW}.n_clicks" not in ctx.triggered_prop_ids:
            return None  # the fields changed, or the plan was used: it is not shown any more
        try:
            return plan_view(await client(calls.preview_gc(thin_geometry=thin or None, checkpoints=bool(checkpoints))))
        except ApiError as error:
            return message(str(error), bad=True)

    @app.callback(
        Output(ids.STORAGE_RESULT, "children"),
        Input(ids.storage_action(ALL, ALL), "n_clicks"),
        prevent_initial_call=True,
    )
    async def act(_clicks: list[int | None]) -> Any:
        if not ctx.triggered_id or not ctx.triggered[0]["value"]:
            return no_update
        try:
            return await _carried_out(client, ctx.triggered_id["storage"], ctx.triggered_id["named"])
        except ApiError as error:
            return message(str(error), bad=True)

    @app.callback(
        Output(ids.STORAGE_TRASH, "children"),
        Input(ids.STORAGE_RESULT, "children"),
        Input(ids.STORAGE_PREVIEW, "n_clicks"),
    )
    async def list_trash(_result: Any, _clicks: int | None) -> Any:
        return trash_view(await client(calls.trash()))


async def _carried_out(client: AsyncClient, action: str, named: str) -> Any:
    """Do what a button says, with the plan, entry or listing that it was shown with; return what came of it."""
    if action == "delete":
        return result_view("Deleted", await client(calls.delete_plan(named)))
    if action == "restore":
        return result_view("Restored", await client(calls.restore_trash([named])))
    emptied = await client(calls.empty_trash(named))
    return message(f"Removed {files_of(emptied.count, emptied.size_bytes)} for good.")
