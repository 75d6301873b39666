"""The list of runs: the layout that assets/js/pages/runs-page.mjs fills, its columns, the filter's vocabulary."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypedDict, get_args

import dash_ag_grid as dag
from dash import dcc, html

from backend.api import wire
from backend.api.page_constants import MAX_NAME_LENGTH, MAX_TAG_LENGTH
from dashboard import ids
from dashboard.components.form import list_settings
from dashboard.components.panels import page_head, plotly_preload, toggle

GRID_THEME = (
    "themeQuartz.withParams({accentColor: 'var(--accent)', backgroundColor: 'var(--panel)',"
    " foregroundColor: 'var(--ink)', borderColor: 'var(--line)', headerBackgroundColor: 'var(--panel)',"
    " rowHoverColor: 'var(--background)', fontFamily: 'Inter Variable', fontSize: 13, rowHeight: 34,"
    " headerHeight: 34, cellHorizontalPadding: 10, wrapperBorderRadius: 8,"
    " selectedRowBackgroundColor: 'var(--background)'})"
)


class Column(TypedDict, total=False):
    """A column of the table; `field` is its name in the filter language, `shown` whether it is shown by default."""

    field: str
    title: str
    help: str
    kind: str
    width: int
    shown: bool
    sort: str


LEADING_COLUMNS: tuple[Column, ...] = (
    {"field": "status", "title": "Status", "kind": "status", "width": 130, "shown": True, "sort": "status"},
    {"field": "name", "title": "Name", "kind": "name", "width": 190, "shown": True, "sort": "name"},
    {"field": "head", "title": "Head", "kind": "text", "width": 106, "shown": True, "sort": "head"},
    {"field": "dataset", "title": "Data", "kind": "text", "width": 146, "shown": True, "sort": "dataset"},
    {"field": "backbone", "title": "Backbone", "kind": "text", "width": 106, "shown": True, "sort": "backbone"},
    {"field": "seed", "title": "Seed", "kind": "number", "width": 70, "shown": True, "sort": "seed"},
    {"field": "spark", "title": "NC1 curve", "kind": "spark", "width": 118, "shown": True},
)
TRAILING_COLUMNS: tuple[Column, ...] = (
    {"field": "duration", "title": "Duration", "kind": "duration", "width": 100, "shown": True, "sort": "duration"},
    {"field": "tags", "title": "Tags", "kind": "text", "width": 120, "shown": True},
    {"field": "created_at", "title": "Created, UTC", "kind": "time", "width": 140, "shown": True, "sort": "created"},
    {"field": "group", "title": "Group", "kind": "text", "width": 120, "sort": "group"},
    {"field": "epoch", "title": "Epoch", "kind": "number", "width": 84, "sort": "epoch"},
    {"field": "id", "title": "ID", "kind": "text", "width": 110, "sort": "id"},
)
METRIC_TITLES = {
    "train.nc1": "NC1",
    "train.nc2_equiangular_means": "NC2 ∠",
    "train.nc3": "NC3",
    "train.top1": "Train accuracy",
    "test.top1": "Test accuracy",
}
"""Titles of the metrics that are shown by default."""
SHOWN_METRICS = tuple(METRIC_TITLES)


class Question(NamedTuple):
    """What a dialog asks before an action."""

    title: str
    text: str
    confirm: str
    """Label of the button that carries out the action."""
    field: str | None = None
    """Label of a text that is asked for, of up to `max_length` characters."""
    max_length: int = 0


class BulkAction(NamedTuple):
    """An action on several runs: the API's name, its button's label, the start of the message when it is done."""

    name: str
    label: str
    done: str
    question: Question | None = None
    """Asked before; without a field only if some of the runs may be active."""

    def describe(self) -> dict[str, Any]:
        """Return what the script needs."""
        return {"done": self.done, "question": self.question and self.question._asdict()}


ADD_TAG = Question("Tag runs", "Runs can be filtered by their tags.", "Add tag", "Tag name", MAX_TAG_LENGTH)
REMOVE_TAG = Question(
    "Remove tag", "The tag is removed from the selected runs that have it.", "Remove tag", "Tag name", MAX_TAG_LENGTH
)
SET_GROUP = Question(
    "Set group", "Runs of a group can be listed and compared together.", "Set group", "Group name", MAX_NAME_LENGTH
)
DELETE_ACTIVE = Question(
    "Delete active runs?",
    "Some of these runs may be active. They are cancelled first. Undo restores what was measured, for a week.",
    "Delete",
)
BULK_ACTIONS = (
    BulkAction("pause", "Pause", "Pausing"),
    BulkAction("resume", "Resume", "Queued"),
    BulkAction("cancel", "Cancel", "Cancelling"),
    BulkAction("retry", "Retry", "Queued"),
    BulkAction("tag", "Tag", "Tagged", ADD_TAG),
    BulkAction("untag", "Remove tag", "Tag removed from", REMOVE_TAG),
    BulkAction("group", "Set group", "Group set for", SET_GROUP),
    BulkAction("delete", "Delete", "Deleted", DELETE_ACTIVE),
)
GROUPINGS = (("", "Ungrouped"), ("seeds", "Group by seed"))
"""Groupings that have a button."""
MORE_GROUPINGS = ("head", "dataset", "backbone", "group", "status", "optimiser.name", "optimiser.lr", "batch_size")


def list_columns(metrics: list[wire.MetricWire], schema: Mapping[str, Any]) -> list[Column]:
    """Return every column of the table: facts of a run, metrics by split, settings."""
    measured: list[Column] = []
    for metric in metrics:
        for split in ("train", "test"):
            field = f"{split}.{metric.key}"
            title = METRIC_TITLES.get(field, f"{metric.label}, {split}")
            kind = "share" if metric.share else "number"
            help_text = f"{metric.label}, {split}: {metric.formula}. {metric.reading}"
            column: Column = {
                "field": field,
                "title": title,
                "kind": kind,
                "help": help_text,
                "width": 92,
                "sort": field,
            }
            measured.append({**column, "shown": field in SHOWN_METRICS})
    order = {field: index for index, field in enumerate(SHOWN_METRICS)}
    measured.sort(key=lambda column: order.get(column["field"], len(order)))
    settings_columns: list[Column] = [
        {"field": path, "title": path, "kind": "number", "help": help_text, "width": 120, "sort": path}
        for path, help_text in list_settings(schema).items()
        if path not in ("seed",)
    ]
    return [*LEADING_COLUMNS, *measured, *TRAILING_COLUMNS, *settings_columns]


def build_vocabulary(
    columns: list[Column], schema: Mapping[str, Any], groups: list[wire.GroupSummary], data: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what the filter completes: fields with their explanations, and values of the fields that have few."""

    def kinds(part: str) -> list[str]:
        return sorted(schema["properties"][part]["discriminator"]["mapping"])

    values = {
        "status": list(get_args(wire.RunStatus)),
        "dataset": sorted(data),
        "head": kinds("head"),
        "backbone": kinds("backbone"),
        "optimiser.name": kinds("optimiser"),
        "schedule.name": kinds("schedule"),
        "loss": kinds("loss"),
        "group": [group.group for group in groups],
    }
    return {"fields": list(_list_filter_fields(columns)), "values": values}


def _list_filter_fields(columns: list[Column]) -> Iterator[dict[str, str]]:
    yield from (
        {"name": "status", "help": ", ".join(get_args(wire.RunStatus)), "sign": ":"},
        {"name": "name", "help": "Part of the name", "sign": ":"},
        {"name": "head", "help": "Head", "sign": ":"},
        {"name": "dataset", "help": "Data set", "sign": ":"},
        {"name": "backbone", "help": "Backbone", "sign": ":"},
        {"name": "tag", "help": "A tag", "sign": ":"},
        {"name": "group", "help": "Sweep or other group", "sign": ":"},
        {"name": "created", "help": "Date, such as 2026-03-01", "sign": ">"},
        {"name": "duration", "help": "Seconds of running", "sign": "<"},
        {"name": "epoch", "help": "Last measured epoch", "sign": ">"},
    )
    for column in columns:
        if "help" not in column:
            continue
        split, _, key = column["field"].partition(".")
        if split == "train":
            yield {"name": key, "help": column["help"], "sign": "<"}
        else:
            sign = "<" if split == "test" else "="
            yield {"name": column["field"], "help": column["help"], "sign": sign}


def layout(columns: list[Column], vocabulary: Mapping[str, Any], *, may_change: bool, may_delete: bool) -> Any:
    """Return the page; its script fetches the rows. Buttons that change runs are left out unless `may_change`."""
    new_run = [dcc.Link("New run", href="/new", className="primary-link")] if may_change else []
    return html.Div(
        [
            page_head(
                "Runs",
                html.Span("", className="ink-2", **{"data-part": "count", "aria-live": "polite"}),
                html.Div(new_run, className="actions"),
            ),
            html.Div([_filter(), _grouping(columns), _column_chooser()], className="table-tools"),
            _selection(may_change, may_delete),
            dag.AgGrid(
                id=ids.RUNS_GRID,
                columnDefs=[],
                getRowId="params.data.id",
                rowModelType="infinite",
                dashGridOptions={
                    "theme": {"function": GRID_THEME},
                    "cacheBlockSize": 100,
                    "maxBlocksInCache": 6,
                    "rowSelection": {"mode": "multiRow", "enableClickSelection": False, "headerCheckbox": False},
                    "selectionColumnDef": {"headerName": "✓", "width": 44},
                    "animateRows": False,
                    "suppressCellFocus": False,
                    "suppressNoRowsOverlay": True,
                },
                style={"height": "calc(100vh - 222px)", "minHeight": 320},
                className="grid",
            ),
            _empty(may_change),
            _confirmation(),
            plotly_preload(),
        ],
        id=ids.RUNS_PAGE,
        **{
            "data-page": "runs",
            "data-columns": json.dumps(columns),
            "data-vocabulary": json.dumps(vocabulary),
            "data-actions": json.dumps({action.name: action.describe() for action in BULK_ACTIONS}),
        },
    )


def _filter() -> Any:
    example = "dataset:digits nc1<0.05 -tag:broken"
    return html.Div(
        [
            html.Span(**{"data-part": "filter", "data-placeholder": f"Filter, such as {example}"}),
            html.Ul(id=ids.RUNS_COMPLETIONS, role="listbox", hidden=True, **{"aria-label": "Completions"}),
            html.P("", className="field-problem", role="alert", **{"data-part": "filter-problem"}),
        ],
        className="filter",
        **{"data-filter": ""},
    )


def _grouping(columns: list[Column]) -> Any:
    """Return the choice of what runs are grouped by."""
    buttons = [toggle(label, by == "", by=by) for by, label in GROUPINGS]
    fields = [*MORE_GROUPINGS, *(c["field"] for c in columns if c.get("sort") == c["title"])]
    return html.Div(
        [
            html.Div(buttons, className="segments", role="group", **{"aria-label": "Grouping"}),
            html.Span(**{"data-part": "more-groupings", "data-fields": json.dumps(list(dict.fromkeys(fields)))}),
        ],
        className="row",
    )


def _column_chooser() -> Any:
    """Return the choice of columns; its script fills the list."""
    return html.Details(
        [
            html.Summary("Columns", className="pill"),
            html.Div(
                [
                    html.Div(**{"data-part": "column-search"}),
                    html.Ul(**{"data-part": "column-list"}),
                    html.Button("Reset columns", className="quiet", **{"data-part": "columns-reset"}),
                ],
                className="sheet",
            ),
        ],
        className="columns",
    )


def _selection(may_change: bool, may_delete: bool) -> Any:
    """Return the selection and the buttons of bulk actions."""
    actions = [each for each in BULK_ACTIONS if may_change and (may_delete or each.name != "delete")]
    return html.Div(
        [
            html.Span("", **{"data-part": "selected"}),
            html.Button("", className="quiet", hidden=True, **{"data-part": "select-all"}),
            html.Div(
                [
                    html.Button("Compare", className="quiet", disabled=True, **{"data-part": "compare"}),
                    *(
                        html.Button(action.label, className="quiet", disabled=True, **{"data-bulk": action.name})
                        for action in actions
                    ),
                ],
                className="row",
            ),
        ],
        className="selection",
    )


def _empty(may_change: bool) -> Any:
    """Return what is shown while there are no runs."""
    text = "No runs yet. The demonstration trains a small network on handwritten digits and shows its neural collapse."
    start = html.Button("Start demonstration", className="primary", **{"data-part": "demonstrate"})
    return html.Div(
        [html.P(text), start] if may_change else [html.P("No runs yet")],
        className="panel empty",
        hidden=True,
        **{"data-part": "empty"},
    )


def _confirmation() -> Any:
    """Return the dialog that confirms a bulk action or asks for its value, closed; its script fills it."""
    buttons = [
        html.Button("Cancel", className="quiet", value="no"),
        html.Button("", className="primary", value="yes", **{"data-part": "confirm-yes"}),
    ]
    content = [
        html.H2("", **{"data-part": "confirm-title"}),
        html.P("", **{"data-part": "confirm-text"}),
        html.Div(**{"data-part": "confirm-field"}),
        html.Div(buttons, className="actions"),
    ]
    return html.Dialog(
        html.Form(content, method="dialog"), className="help", **{"data-part": "confirm", "aria-label": "Confirm"}
    )
