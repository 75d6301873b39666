"""Panels and small tables of facts."""

from __future__ import annotations

from typing import Any

from dash import dcc, html

from dashboard.plots.charts import chart_figure


def panel(title: str, *content: Any) -> Any:
    """Return a titled part of a page."""
    head = html.Div(html.H2(title), className="panel-head")
    return html.Section([head, *content], className="panel facts", tabIndex="0", **{"aria-label": title})


def table(heads: list[str], rows: list[list[Any]], empty: str) -> Any:
    """Return a small table, or a sentence where it has no row."""
    if not rows:
        return html.P(empty, className="ink-2")
    head = html.Thead(html.Tr([html.Th(words, scope="col") if words else html.Td() for words in heads]))
    body = html.Tbody([html.Tr([html.Td(cell) for cell in row]) for row in rows])
    return html.Table([head, body] if any(heads) else [body])


def message(words: str, *, bad: bool = False) -> Any:
    """Return one line of news; errors are announced to screen readers at once."""
    return html.Div(words, className="message bad" if bad else "message", role="alert" if bad else "status")


def warm_up() -> Any:
    """Return an unseen chart: Plotly is loaded before the first picture is wanted."""
    return html.Div(
        dcc.Graph(figure=chart_figure(1, ""), responsive=False, config={"staticPlot": True}),
        className="warm-up",
        **{"aria-hidden": "true"},
    )
