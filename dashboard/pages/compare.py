"""The comparison of configurations: scenes with one camera, curves with the range over seeds, final metrics, settings.

Runs that differ in their seed alone are one configuration: its curves are the median and the range of its runs.
"""

from __future__ import annotations

import json
from statistics import median
from typing import Any

from dash import dcc, html

from backend.api import wire
from backend.api.run_groups import MAX_CONFIGURATIONS, Configuration, group_by_configuration
from dashboard import ids
from dashboard.components.formatting import format_count, format_number, format_percent
from dashboard.components.panels import chart_grid, explanation, page_head, toggle
from dashboard.dialogs import export
from dashboard.plots.charts import READINGS, Group, compare_figure, difference_figure
from ncengine.config.differences import config_differences
from ncfigures.catalogue import DEFAULT_THRESHOLDS
from ncfigures.palette import HEAD_COLOURS, class_colours, head_key

CHART_HEIGHT_PX = 220
MAX_LISTED_VALUES = 6
"""Values of a list that are shown; longer lists are counted."""
FINAL_METRICS = ("etf_distance_means", *READINGS)


MetricRange = tuple[float, float, float]
"""Median, minimum and maximum."""


def compute_final_range(configuration: Configuration, key: str, split: str) -> MetricRange | None:
    """Return median, minimum and maximum of a final metric over runs; None if no run has it."""
    values = [float(run.summary[split][key]) for run in configuration.runs if key in run.summary.get(split, {})]
    return (median(values), min(values), max(values)) if values else None


def find_best(values: list[MetricRange | None], direction: str) -> set[int]:
    """Return the indices with the best median; none if all are equal."""
    medians = {index: value[0] for index, value in enumerate(values) if value is not None}
    if len(set(medians.values())) < 2:
        return set()
    best = max(medians.values()) if direction == "high" else min(medians.values())
    return {index for index, value in medians.items() if value == best}


def empty() -> Any:
    """Return the page without runs."""
    return html.Div(
        [
            html.H1("Compare"),
            html.P(
                f"Select runs in the list, then Compare. Up to {MAX_CONFIGURATIONS} configurations are compared; "
                "runs that differ in their seed alone are one configuration."
            ),
            dcc.Link("Go to Runs", href="/runs", className="primary-link"),
        ],
        className="panel empty",
        **{"data-page": "compare"},
    )


def layout(runs: list[wire.RunWire], metrics: list[wire.MetricWire], groups: list[Group]) -> Any:
    """Return the page that compares runs; its script fills scenes and charts."""
    configurations = group_by_configuration(runs)
    if not configurations:
        return empty()
    known = {metric.key: metric for metric in metrics}
    seeds = max(len(configuration.runs) for configuration in configurations)
    subtitle = format_count(len(configurations), "configuration")
    subtitle += f", up to {seeds} seeds: median and range" if seeds > 1 else ""
    described = [
        {
            "label": each.label,
            "colour": f"head-{head_key(each.head)}",
            "dash": each.dash,
            "runs": [run.id for run in each.runs],
        }
        for each in configurations
    ]
    return html.Div(
        [
            page_head(
                "Compare",
                html.Span(subtitle, className="ink-2"),
                html.Button("Export figure", id=ids.EXPORT_OPEN, type="button", className="primary"),
            ),
            html.Div(
                [_scene(configuration, index) for index, configuration in enumerate(configurations)],
                className="compare-scenes",
            ),
            _replay(),
            _curves(configurations, groups),
            html.Div([_times(configurations, known), *_difference(configurations)], className="system-grid"),
            _final_metrics(configurations, known),
            _settings(configurations),
            export.modal([run for configuration in configurations for run in configuration.runs], metrics, "curves"),
        ],
        id=ids.COMPARE_PAGE,
        **{
            "data-page": "compare",
            "data-configurations": json.dumps(described),
            "data-colours": json.dumps(
                [class_colours(configuration.runs[0].classes) for configuration in configurations]
            ),
            "data-charts": json.dumps(groups),
            "data-names": json.dumps([configuration.runs[0].class_names for configuration in configurations]),
            "data-difference": json.dumps(difference_figure()),
        },
    )


def _scene(configuration: Configuration, index: int) -> Any:
    name = html.H2([html.I(className="dot", style={"background": configuration.colour()}), configuration.label])
    return html.Section(
        [
            html.Div([name, html.Span("", className="ink-2", **{"data-shown": str(index)})], className="panel-head"),
            html.Div(className="scene", **{"data-scene": str(index)}),
        ],
        className="panel compare-scene",
    )


def _replay() -> Any:
    axes = [("epoch", "Epoch"), ("step", "Step"), ("time", "Time")]
    buttons = [toggle(label, key == "epoch", by=key) for key, label in axes]
    return html.Section(
        [
            html.Button("▶", type="button", className="play", title="Play (space)", **{"data-part": "play"}),
            html.Div(**{"data-part": "slider"}, className="slider"),
            html.Span("", className="shown", **{"data-part": "shown-epoch"}),
            html.Div(buttons, className="segments", role="group", **{"aria-label": "X axis"}),
            explanation("compare-scenes"),
        ],
        className="panel replay",
    )


def _curves(configurations: list[Configuration], groups: list[Group]) -> Any:
    buttons = [toggle(group["title"], index == 0, group=str(index)) for index, group in enumerate(groups)]
    lines = [(each.label, HEAD_COLOURS["light"][head_key(each.head)], each.dash) for each in configurations]
    return html.Section(
        [
            html.Div([html.Div(buttons, className="segments"), explanation("compare-curves")], className="panel-head"),
            chart_grid(groups[0]["charts"], ids.compare_chart, compare_figure(lines), CHART_HEIGHT_PX),
        ],
        className="panel compare-curves",
        **{"data-part": "curves"},
    )


def _times(configurations: list[Configuration], known: dict[str, wire.MetricWire]) -> Any:
    """Return the panel of the time to collapse; its script fills the bars."""
    metrics = [
        {"key": key, "label": known[key].label, "threshold": threshold, "direction": known[key].direction}
        for key, threshold in DEFAULT_THRESHOLDS.items()
    ]
    rows = [
        html.Div(
            [
                html.Span(configuration.label, className="time-name"),
                html.Div(className="time-bar", style={"--bar": configuration.colour()}, **{"data-time": str(index)}),
                html.Span("", className="time-text", **{"data-time-text": str(index)}),
            ],
            className="time-row",
        )
        for index, configuration in enumerate(configurations)
    ]
    return html.Section(
        [
            _head("Time to collapse", "time-options", "time"),
            html.Div(rows),
        ],
        className="panel facts times",
        **{"data-part": "times", "data-metrics": json.dumps(metrics)},
    )


def _head(title: str, options: str, explanation_name: str) -> Any:
    return html.Div(
        [html.H2(title), html.Span(className="row", **{"data-part": options}), explanation(explanation_name)],
        className="panel-head",
    )


def _difference(configurations: list[Configuration]) -> list[Any]:
    """Return the panel of the difference of two configurations' cosines, if there are two; its script fills it."""
    if len(configurations) < 2:
        return []
    panel = html.Section(
        [
            _head("Difference of cosines", "difference-options", "difference"),
            html.Div(className="difference", **{"data-part": "difference"}),
            html.P("", className="ink-2", **{"data-part": "difference-text"}),
        ],
        className="panel facts",
    )
    return [panel]


def _final_metrics(configurations: list[Configuration], known: dict[str, wire.MetricWire]) -> Any:
    columns = [(key, split) for key in FINAL_METRICS for split in ("train", "test")]
    ranges = {
        column: [compute_final_range(configuration, *column) for configuration in configurations] for column in columns
    }
    ranges = {column: values for column, values in ranges.items() if any(values)}
    best = {column: find_best(values, known[column[0]].direction) for column, values in ranges.items()}

    def cell(column: tuple[str, str], index: int) -> Any:
        value = ranges[column][index]
        if value is None:
            return html.Td("")
        is_share = known[column[0]].share
        middle, low, high = (format_percent(part, digits=2) if is_share else format_number(part) for part in value)
        shown_median: Any = html.B(middle, title="Best median") if index in best[column] else middle
        value_range = html.Span(f" [{low}, {high}]", className="ink-2") if len(configurations[index].runs) > 1 else None
        return html.Td([shown_median, value_range])

    head = html.Tr([html.Td(), *(html.Th(f"{known[key].label}, {split}", scope="col") for key, split in ranges)])
    rows = [
        html.Tr([html.Th(configuration.label, scope="row"), *(cell(column, index) for column in ranges)])
        for index, configuration in enumerate(configurations)
    ]
    table = html.Table([html.Thead(head), html.Tbody(rows)])
    return html.Section(
        [html.Div(html.H2("Final metrics: median [min, max]"), className="panel-head"), table],
        className="panel facts",
        tabIndex="0",
        **{"data-part": "final-metrics", "aria-label": "Final metrics"},
    )


def _settings(configurations: list[Configuration]) -> Any:
    rows = config_differences([configuration.runs[0].config for configuration in configurations])
    head = html.Tr([html.Td(), *(html.Th(configuration.label, scope="col") for configuration in configurations)])
    body = [
        html.Tr([html.Th(key, scope="row"), *(html.Td(_format_setting(value)) for value in values)])
        for key, values in rows
    ]
    content = (
        html.Table([html.Thead(head), html.Tbody(body)]) if rows else html.P("Only seeds differ", className="ink-2")
    )
    return html.Section(
        [html.Div(html.H2("Settings that differ"), className="panel-head"), content],
        className="panel facts",
        tabIndex="0",
        **{"data-part": "differing-settings", "aria-label": "Settings that differ"},
    )


def _format_setting(value: Any) -> str:
    if isinstance(value, list):
        return f"{len(value)} values" if len(value) > MAX_LISTED_VALUES else ", ".join(map(str, value))
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
