"""The panel "Storage" of the system page: preview a clean-up, delete what was previewed, and manage the trash."""

from __future__ import annotations

from functools import partial
from typing import Any

import dash_mantine_components as dmc
from dash import ALL, Dash, Input, Output, ctx, html, no_update

from backend.api import wire
from backend.client import AsyncClient, calls
from dashboard import ids
from dashboard.components.formatting import format_bytes, format_files, format_time
from dashboard.components.panels import message, show_result, table

MAX_LISTED = 50
"""Items of a clean-up that are listed; others are counted."""
THIN_HELP = "Keep every n-th capture of finished runs, and the first and last one. Empty: keep all."


def content() -> list[Any]:
    """Return the panel's content before a preview."""
    return [
        html.P(
            "A clean-up deletes runs that were deleted more than a week ago, files that belong to no run, and what is "
            "selected here. Deleted files are kept in the trash for a week.",
            className="ink-2",
        ),
        html.Div(
            [
                dmc.NumberInput(
                    id=ids.STORAGE_THIN,
                    placeholder="All captures",
                    min=2,
                    size="xs",
                    w=150,
                    **{"aria-label": THIN_HELP},
                ),
                dmc.Checkbox(id=ids.STORAGE_CHECKPOINTS, label="Checkpoints of finished runs", size="xs"),
                dmc.Button("Preview clean-up", id=ids.STORAGE_PREVIEW, size="xs", variant="default"),
            ],
            className="row",
        ),
        html.P(THIN_HELP, className="field-help"),
        html.Div(id=ids.STORAGE_PLAN),
        html.Div(id=ids.STORAGE_RESULT),
        html.Div(id=ids.STORAGE_TRASH),
    ]


def plan_view(plan: wire.GcPlan) -> Any:
    """Return what a clean-up would delete, and the button that deletes exactly that."""
    if not plan.items:
        return [html.P("Nothing to delete", className="ink-2"), *_skipped("Not eligible", plan.skipped)]
    label = f"Delete {format_files(plan.count, plan.size_bytes)}"
    button = dmc.Button(label, id=ids.storage_action("delete", plan.id), size="xs", color="red")
    return [*_items(plan.items), *_skipped("Not eligible", plan.skipped), button]


def result_view(action: str, result: wire.GcResult) -> Any:
    """Return what was done ("Deleted", "Restored"), and what was not done with the reason."""
    text = f"{action} {format_files(result.count, result.size_bytes)}."
    if result.entry:
        text += " They are in the trash for a week; emptying it frees the space."
    return [message(text), *_skipped("Skipped", result.skipped)]


def trash_view(trash: wire.Trash) -> Any:
    """Return the entries of the trash, with buttons that restore an entry or empty the trash."""
    if not trash.items:
        return [html.H3("Trash"), html.P("Trash is empty", className="ink-2")]
    rows = [
        [
            format_time(entry.created_at),
            f"{entry.count:,}",
            format_bytes(entry.size_bytes),
            format_time(entry.expires_at),
            html.Button("Restore", id=ids.storage_action("restore", entry.name), className="quiet"),
        ]
        for entry in trash.items
    ]
    label = f"Permanently delete {format_files(trash.count, trash.size_bytes)}"
    button = dmc.Button(label, id=ids.storage_action("empty", trash.digest), size="xs", color="red")
    confirmation = [html.Summary("Empty trash"), html.P("This cannot be undone.", className="ink-2"), button]
    headings = ["Deleted, UTC", "Files", "Size", "Kept until, UTC", ""]
    return [html.H3("Trash"), table(headings, rows, ""), html.Details(confirmation, className="confirmation")]


def _items(items: list[wire.GcItem]) -> list[Any]:
    rows = [[item.what, item.run_id or "", f"{item.count:,}", format_bytes(item.size_bytes)] for item in items]
    more = [html.P(f"and {len(rows) - MAX_LISTED:,} more", className="ink-2")] if len(rows) > MAX_LISTED else []
    return [table(["Content", "Run", "Files", "Size"], rows[:MAX_LISTED], ""), *more]


def _skipped(title: str, skipped: list[wire.GcSkipped]) -> list[Any]:
    if not skipped:
        return []
    rows = [[each.path or f"{each.what} {each.run_id or ''}", each.reason] for each in skipped[:MAX_LISTED]]
    head = f"{title}: {len(skipped):,}" + (f", the first {MAX_LISTED} are listed" if len(skipped) > MAX_LISTED else "")
    return [html.P(head, className="ink-2"), table(["File", "Reason"], rows, "")]


def register(app: Dash, client: AsyncClient) -> None:
    """Register the callbacks that preview a clean-up, carry it out, and list the trash."""

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
            return None  # a field changed or the plan was used: it is no longer valid
        request = calls.preview_gc(thin_geometry=thin or None, checkpoints=bool(checkpoints))
        return await show_result(client(request), plan_view)

    @app.callback(
        Output(ids.STORAGE_RESULT, "children"),
        Input(ids.storage_action(ALL, ALL), "n_clicks"),
        prevent_initial_call=True,
    )
    async def act(_clicks: list[int | None]) -> Any:
        if not ctx.triggered_id or not ctx.triggered[0]["value"]:
            return no_update
        return await _carry_out(client, ctx.triggered_id["storage"], ctx.triggered_id["target"])

    @app.callback(
        Output(ids.STORAGE_TRASH, "children"),
        Input(ids.STORAGE_RESULT, "children"),
        Input(ids.STORAGE_PREVIEW, "n_clicks"),
    )
    async def list_trash(_result: Any, _clicks: int | None) -> Any:
        return trash_view(await client(calls.trash()))


async def _carry_out(client: AsyncClient, action: str, target: str) -> Any:
    """Carry out a button's action on its plan, entry or listing; return the result to show."""
    if action == "delete":
        return await show_result(client(calls.delete_plan(target)), partial(result_view, "Deleted"))
    if action == "restore":
        return await show_result(client(calls.restore_trash([target])), partial(result_view, "Restored"))
    return await show_result(client(calls.empty_trash(target)), _emptied_view)


def _emptied_view(emptied: wire.GcResult) -> Any:
    return message(f"Permanently deleted {format_files(emptied.count, emptied.size_bytes)}")
