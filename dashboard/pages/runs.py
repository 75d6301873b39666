"""The list of runs: the frame that assets/js/pages/runs-page.mjs fills, with the columns and words that it needs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypedDict, get_args

import dash_ag_grid as dag
from dash import dcc, html

from backend.api import wire
from dashboard import ids
from dashboard.components.form import settings
from dashboard.components.panels import warm_up
from dashboard.dialogs import confirmation

GRID_THEME = (
    "themeQuartz.withParams({accentColor: 'var(--accent)', backgroundColor: 'var(--panel)',"
    " foregroundColor: 'var(--ink)', borderColor: 'var(--line)', headerBackgroundColor: 'var(--panel)',"
    " rowHoverColor: 'var(--background)', fontFamily: 'Inter Variable', fontSize: 13, rowHeight: 34,"
    " headerHeight: 34, cellHorizontalPadding: 10, wrapperBorderRadius: 8,"
    " selectedRowBackgroundColor: 'var(--background)'})"
)


class Column(TypedDict, total=False):
    """A column of the table, named as the filter language names the field; `shown` unless a person chooses others."""

    field: str
    title: str
    help: str
    kind: str
    width: int
    shown: bool
    sort: str


COLUMNS: tuple[Column, ...] = (
    {"field": "status", "title": "Status", "kind": "status", "width": 130, "shown": True, "sort": "status"},
    {"field": "name", "title": "Name", "kind": "name", "width": 190, "shown": True, "sort": "name"},
    {"field": "head", "title": "Head", "kind": "text", "width": 106, "shown": True, "sort": "head"},
    {"field": "dataset", "title": "Data", "kind": "text", "width": 146, "shown": True, "sort": "dataset"},
    {"field": "backbone", "title": "Backbone", "kind": "text", "width": 106, "shown": True, "sort": "backbone"},
    {"field": "seed", "title": "Seed", "kind": "number", "width": 70, "shown": True, "sort": "seed"},
    {"field": "spark", "title": "NC1 curve", "kind": "spark", "width": 118, "shown": True},
)
LATER: tuple[Column, ...] = (
    {"field": "duration", "title": "Time", "kind": "duration", "width": 100, "shown": True, "sort": "duration"},
    {"field": "tags", "title": "Tags", "kind": "text", "width": 120, "shown": True},
    {"field": "created_at", "title": "Created, UTC", "kind": "time", "width": 140, "shown": True, "sort": "created"},
    {"field": "group", "title": "Group", "kind": "text", "width": 120, "sort": "group"},
    {"field": "epoch", "title": "Epoch", "kind": "number", "width": 84, "sort": "epoch"},
    {"field": "id", "title": "Id", "kind": "text", "width": 110, "sort": "id"},
)
SHORT = {"train.nc1": "NC1", "train.nc2_equiangular_means": "NC2 ∠", "train.nc3": "NC3"}
SHOWN = (*SHORT, "train.top1", "test.top1")
BULK = (
    ("pause", "Pause"),
    ("resume", "Resume"),
    ("cancel", "Cancel"),
    ("retry", "Retry"),
    ("tag", "Tag"),
    ("untag", "Remove a tag"),
    ("group", "Group"),
    ("delete", "Delete"),
)
"""What may be asked of several runs at once."""
FOLDS = (("", "each run"), ("seeds", "fold seeds"))
MORE_FOLDS = ("head", "dataset", "backbone", "group", "status", "optimiser.name", "optimiser.lr", "batch_size")


def columns(metrics: list[wire.MetricWire], schema: Mapping[str, Any]) -> list[Column]:
    """Return every column that the table can show: facts of a run, each metric by split, each setting."""
    measured: list[Column] = []
    for metric in metrics:
        for split in ("train", "test"):
            field = f"{split}.{metric.key}"
            title = SHORT.get(field, f"{metric.label}, {split}" if field not in SHOWN else split)
            kind = "share" if metric.share else "number"
            words = f"{metric.label}, {split}: {metric.formula}. {metric.reading}"
            column: Column = {"field": field, "title": title, "kind": kind, "help": words, "width": 92, "sort": field}
            measured.append({**column, "shown": field in SHOWN})
    measured.sort(key=lambda column: SHOWN.index(column["field"]) if column["field"] in SHOWN else len(SHOWN))
    known: list[Column] = [
        {"field": path, "title": path, "kind": "number", "help": words, "width": 120, "sort": path}
        for path, words in settings(schema).items()
        if path not in ("seed",)
    ]
    return [*COLUMNS, *measured, *LATER, *known]


def vocabulary(
    shown: list[Column], presets: list[wire.PresetWire], groups: list[wire.GroupSummary], data: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what the filter completes: fields with their explanation, and the values of those that have few."""
    configs = [preset.config for preset in presets]
    values = {
        "status": list(get_args(wire.Status)),
        "dataset": sorted(data),
        "head": sorted({config.head.name for config in configs}),
        "backbone": sorted({config.backbone.name for config in configs}),
        "optimiser.name": sorted({config.optimiser.name for config in configs}),
        "schedule.name": sorted({config.schedule.name for config in configs}),
        "loss": sorted({config.loss.name for config in configs}),
        "group": [group.group for group in groups],
    }
    return {"fields": list(_fields(shown)), "values": values}


def _fields(shown: list[Column]) -> Iterator[dict[str, str]]:
    yield from (
        {"name": "status", "help": "queued, running, paused, finished, cancelled, failed", "sign": ":"},
        {"name": "name", "help": "words of the name", "sign": ":"},
        {"name": "head", "help": "the classifier", "sign": ":"},
        {"name": "dataset", "help": "the data set", "sign": ":"},
        {"name": "backbone", "help": "the network", "sign": ":"},
        {"name": "tag", "help": "one of its tags", "sign": ":"},
        {"name": "group", "help": "a sweep or another group", "sign": ":"},
        {"name": "created", "help": "a date such as 2026-03-01", "sign": ">"},
        {"name": "duration", "help": "seconds of running", "sign": "<"},
        {"name": "epoch", "help": "the last epoch measured", "sign": ">"},
    )
    for column in shown:
        if "help" not in column:
            continue
        split, _, key = column["field"].partition(".")
        if split == "train":
            yield {"name": key, "help": column["help"], "sign": "<"}
        else:
            sign = "<" if split == "test" else "="
            yield {"name": column["field"], "help": column["help"], "sign": sign}


def layout(shown: list[Column], words: Mapping[str, Any], *, may_change: bool, may_delete: bool) -> Any:
    """Return the page; its rows come by its script. Those who may only read have no buttons that change."""
    return html.Div(
        [
            html.Div(
                [
                    html.H1("Runs"),
                    html.Span("", className="ink-2", **{"data-part": "count", "aria-live": "polite"}),
                    html.Div(
                        [dcc.Link("New run", href="/new", className="primary-link")] if may_change else [],
                        className="actions",
                    ),
                ],
                className="page-head",
            ),
            html.Div([_filter(), _folding(shown), _chooser(shown)], className="table-tools"),
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
            confirmation.dialog(),
            warm_up(),
        ],
        id=ids.RUNS_PAGE,
        **{"data-page": "runs", "data-columns": json.dumps(shown), "data-vocabulary": json.dumps(words)},
    )


def _filter() -> Any:
    place = "dataset:digits nc1<0.05 -tag:broken"
    return html.Div(
        [
            html.Span(**{"data-part": "filter", "data-placeholder": f"filter, such as {place}"}),
            html.Ul(id=ids.RUNS_COMPLETIONS, role="listbox", hidden=True, **{"aria-label": "Completions"}),
            html.P("", className="field-problem", role="alert", **{"data-part": "filter-problem"}),
        ],
        className="filter",
        **{"data-filter": ""},
    )


def _folding(shown: list[Column]) -> Any:
    """Return the choice of what is one row."""
    buttons = [
        html.Button(words, type="button", **{"data-by": by, "aria-pressed": str(by == "").lower()})
        for by, words in FOLDS
    ]
    settings_first = [*MORE_FOLDS, *(c["field"] for c in shown if c.get("sort") == c["title"])]
    return html.Div(
        [
            html.Div(buttons, className="segments", role="group", **{"aria-label": "One row for"}),
            html.Span(
                **{"data-part": "more-folds", "data-fields": json.dumps(list(dict.fromkeys(settings_first)))},
            ),
        ],
        className="row",
    )


def _chooser(shown: list[Column]) -> Any:
    """Return the choice of columns; its script ticks those that are shown."""
    return html.Details(
        [
            html.Summary("columns", className="pill"),
            html.Div(
                [
                    html.Div(**{"data-part": "column-search"}),
                    html.Ul(**{"data-part": "column-list"}),
                    html.Button("as at first", className="quiet", **{"data-part": "columns-reset"}),
                ],
                className="sheet",
            ),
        ],
        className="columns",
    )


def _selection(may_change: bool, may_delete: bool) -> Any:
    """Return the line of what can be done with the selected runs; empty it says how to select."""
    asked = [(action, words) for action, words in BULK if may_change and (may_delete or action != "delete")]
    return html.Div(
        [
            html.Span("", **{"data-part": "selected"}),
            html.Button("", className="quiet", hidden=True, **{"data-part": "select-all"}),
            html.Div(
                [
                    html.Button("Compare", className="quiet", disabled=True, **{"data-part": "compare"}),
                    *(
                        html.Button(words, className="quiet", disabled=True, **{"data-bulk": action})
                        for action, words in asked
                    ),
                ],
                className="row",
            ),
        ],
        className="selection",
    )


def _empty(may_change: bool) -> Any:
    """Return what stands there while no run does."""
    words = "No run yet. The demonstration trains a small network on real digits and shows its class means collapse."
    start = html.Button("Start the demonstration", className="primary", **{"data-part": "demonstrate"})
    return html.Div(
        [html.P(words), start] if may_change else [html.P("No run yet.")],
        className="panel empty",
        hidden=True,
        **{"data-part": "empty"},
    )
