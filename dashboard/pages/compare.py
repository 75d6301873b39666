"""Runs side by side: scenes with one camera and one epoch, curves with the range over seeds, finals, settings.

Runs that differ in nothing but their seed are one entry: its curves are the median with the range of its runs.
"""

from __future__ import annotations

import json
from statistics import median
from typing import Any

from dash import dcc, html

from backend.api import wire
from backend.api.configurations import Configuration, differences, group_by_configuration
from dashboard import ids
from dashboard.components.explanations import why
from dashboard.dialogs import export
from dashboard.pages.run import FLAT_CONFIG
from dashboard.plots.charts import READINGS, Group, compare_figure, difference_figure
from ncfigures.catalogue import DEFAULT_THRESHOLDS
from ncfigures.palette import HEADS, class_colours

CHART_PX = 220
MARKS = ("etf_distance_means", *READINGS)


def finals(entry: Configuration, key: str, split: str) -> tuple[float, float, float] | None:
    """Return median, least and largest of a final metric over an entry's runs; None where none has it."""
    values = [float(run.summary[split][key]) for run in entry.runs if key in run.summary.get(split, {})]
    return (median(values), min(values), max(values)) if values else None


def best(values: list[tuple[float, float, float] | None], direction: str) -> set[int]:
    """Return the entries whose median is best; none where nothing is better than anything else."""
    medians = {index: value[0] for index, value in enumerate(values) if value is not None}
    if len(set(medians.values())) < 2:
        return set()
    leading = max(medians.values()) if direction == "high" else min(medians.values())
    return {index for index, value in medians.items() if value == leading}


def empty() -> Any:
    """Return the page before something is chosen."""
    return html.Div(
        [
            html.H1("Compare"),
            html.P(
                "Choose up to eight runs in the list, then press Compare. Runs that differ in their seed alone fold."
            ),
            dcc.Link("Runs", href="/runs", className="primary-link"),
        ],
        className="panel empty",
        **{"data-page": "compare"},
    )


def layout(runs: list[wire.RunWire], metrics: list[wire.MetricWire], groups: list[Group]) -> Any:
    """Return the page of these runs; its script fills scenes and curves."""
    found = group_by_configuration(runs)
    if not found:
        return empty()
    known = {metric.key: metric for metric in metrics}
    seeds = max(len(entry.runs) for entry in found)
    words = f"{len(found)} {'entry' if len(found) == 1 else 'entries'}"
    words += f", up to {seeds} seeds: median and range" if seeds > 1 else ""
    described = [
        {"label": entry.label, "head": entry.head, "dash": entry.dash, "runs": [run.id for run in entry.runs]}
        for entry in found
    ]
    return html.Div(
        [
            html.Div(
                [
                    html.H1("Compare"),
                    html.Span(words, className="ink-2"),
                    html.Button("Export figure", id=ids.EXPORT_OPEN, type="button", className="primary"),
                ],
                className="page-head",
            ),
            html.Div([_scene(entry, index) for index, entry in enumerate(found)], className="compare-scenes"),
            _replay(),
            _curves(found, groups),
            html.Div([_times(found, known), *_difference(found)], className="system-grid"),
            _finals(found, known),
            _settings(found),
            export.modal([run for entry in found for run in entry.runs], metrics, "curves"),
        ],
        id=ids.COMPARE_PAGE,
        **{
            "data-page": "compare",
            "data-entries": json.dumps(described),
            "data-colours": json.dumps([class_colours(entry.runs[0].classes) for entry in found]),
            "data-charts": json.dumps(groups),
            "data-names": json.dumps([entry.runs[0].class_names for entry in found]),
            "data-difference": json.dumps(difference_figure()),
        },
    )


def _scene(entry: Configuration, index: int) -> Any:
    name = html.H2([html.I(className="dot", style={"background": entry.colour()}), entry.label])
    return html.Section(
        [
            html.Div([name, html.Span("", className="ink-2", **{"data-shown": str(index)})], className="panel-head"),
            html.Div(className="scene", **{"data-scene": str(index)}),
        ],
        className="panel compare-scene",
    )


def _replay() -> Any:
    by = [("epoch", "by epoch"), ("step", "by step"), ("time", "by time")]
    buttons = [
        html.Button(words, type="button", **{"data-by": key, "aria-pressed": str(key == "epoch").lower()})
        for key, words in by
    ]
    return html.Section(
        [
            html.Button("▶", type="button", className="play", title="Play (space)", **{"data-part": "play"}),
            html.Div(**{"data-part": "slider"}, className="slider"),
            html.Span("", className="shown", **{"data-part": "shown-epoch"}),
            html.Div(buttons, className="segments"),
            why("compare-scenes"),
        ],
        className="panel replay",
    )


def _curves(found: list[Configuration], groups: list[Group]) -> Any:
    pressed = [
        html.Button(group["name"], type="button", **{"data-group": str(index), "aria-pressed": str(index == 0).lower()})
        for index, group in enumerate(groups)
    ]
    cells = [
        html.Div(
            [
                html.H3(chart["title"], title=chart.get("help", ""), **{"data-chart-title": str(index)}),
                dcc.Graph(
                    id=ids.compare_chart(index),
                    figure=compare_figure([(entry.label, HEADS["light"][entry.head], entry.dash) for entry in found]),
                    config=FLAT_CONFIG,
                    style={"height": CHART_PX},
                    responsive=True,
                ),
            ]
        )
        for index, chart in enumerate(groups[0]["charts"])
    ]
    return html.Section(
        [
            html.Div([html.Div(pressed, className="segments"), why("compare-curves")], className="panel-head"),
            html.Div(cells, className="charts"),
        ],
        className="panel compare-curves",
        **{"data-part": "curves"},
    )


def _times(found: list[Configuration], known: dict[str, wire.MetricWire]) -> Any:
    """Return the bars of the time to collapse; their script fills them."""
    offered = [
        {"key": key, "words": known[key].label, "threshold": threshold, "direction": known[key].direction}
        for key, threshold in DEFAULT_THRESHOLDS.items()
    ]
    rows = [
        html.Div(
            [
                html.Span(entry.label, className="time-name"),
                html.Div(className="time-bar", style={"--bar": entry.colour()}, **{"data-time": str(index)}),
                html.Span("", className="time-words", **{"data-time-words": str(index)}),
            ],
            className="time-row",
        )
        for index, entry in enumerate(found)
    ]
    return html.Section(
        [
            _head("Time to collapse", "time-options", "time"),
            html.Div(rows),
        ],
        className="panel facts times",
        **{"data-part": "times", "data-offered": json.dumps(offered)},
    )


def _head(title: str, options: str, explained: str) -> Any:
    return html.Div(
        [html.H2(title), html.Span(className="row", **{"data-part": options}), why(explained)], className="panel-head"
    )


def _difference(found: list[Configuration]) -> list[Any]:
    """Return the place of the difference of two entries' angles, where there are two; its script fills it."""
    if len(found) < 2:
        return []
    panel = html.Section(
        [
            _head("Difference of cosines", "difference-options", "difference"),
            html.Div(className="difference", **{"data-part": "difference"}),
            html.P("", className="ink-2", **{"data-part": "difference-words"}),
        ],
        className="panel facts",
    )
    return [panel]


def _number(value: float, *, share: bool) -> str:
    return f"{100 * value:.2f} %" if share else f"{value:.3g}"


def _finals(found: list[Configuration], known: dict[str, wire.MetricWire]) -> Any:
    columns = [(key, split) for key in MARKS for split in ("train", "test")]
    shown = {place: [finals(entry, *place) for entry in found] for place in columns}
    shown = {place: values for place, values in shown.items() if any(values)}
    leading = {place: best(values, known[place[0]].direction) for place, values in shown.items()}

    def cell(place: tuple[str, str], index: int) -> Any:
        value = shown[place][index]
        if value is None:
            return html.Td("")
        share = known[place[0]].share
        middle, least, most = (_number(part, share=share) for part in value)
        mark: Any = html.B(middle, title="the best of the medians") if index in leading[place] else middle
        ranged = html.Span(f" [{least}, {most}]", className="ink-2") if len(found[index].runs) > 1 else None
        return html.Td([mark, ranged])

    head = html.Tr([html.Td(), *(html.Th(f"{known[key].label}, {split}", scope="col") for key, split in shown)])
    rows = [
        html.Tr([html.Th(entry.label, scope="row"), *(cell(place, index) for place in shown)])
        for index, entry in enumerate(found)
    ]
    table = html.Table([html.Thead(head), html.Tbody(rows)])
    return html.Section(
        [html.Div(html.H2("At the end: median [least, largest]"), className="panel-head"), table],
        className="panel facts",
        tabIndex="0",
        **{"data-part": "finals", "aria-label": "Metrics at the end"},
    )


def _settings(found: list[Configuration]) -> Any:
    rows = differences([entry.runs[0].config for entry in found])
    head = html.Tr([html.Td(), *(html.Th(entry.label, scope="col") for entry in found)])
    body = [html.Tr([html.Th(key, scope="row"), *(html.Td(_words(value)) for value in values)]) for key, values in rows]
    content = (
        html.Table([html.Thead(head), html.Tbody(body)])
        if rows
        else html.P("They differ in nothing but the seed.", className="ink-2")
    )
    return html.Section(
        [html.Div(html.H2("Settings that differ"), className="panel-head"), content],
        className="panel facts",
        tabIndex="0",
        **{"data-part": "differences", "aria-label": "Settings that differ"},
    )


def _words(value: Any) -> str:
    if isinstance(value, list) and len(value) > 6:
        return f"{len(value)} values"
    return "" if value is None else str(value)
