"""Panels, small tables, messages, and the hidden chart that loads Plotly early."""

from __future__ import annotations

from typing import Any

from dash import dcc, html

from dashboard.plots.charts import chart_figure


def panel(title: str, *content: Any) -> Any:
    """Return a titled part of a page."""
    head = html.Div(html.H2(title), className="panel-head")
    return html.Section([head, *content], className="panel facts", tabIndex="0", **{"aria-label": title})


def table(headings: list[str], rows: list[list[Any]], empty_text: str) -> Any:
    """Return a small table, or `empty_text` if it has no rows."""
    if not rows:
        return html.P(empty_text, className="ink-2")
    head = html.Thead(html.Tr([html.Th(text, scope="col") if text else html.Td() for text in headings]))
    body = html.Tbody([html.Tr([html.Td(cell) for cell in row]) for row in rows])
    return html.Table([head, body] if any(headings) else [body])


def message(text: str, *, is_error: bool = False) -> Any:
    """Return a message; screen readers announce errors at once."""
    class_name = "message bad" if is_error else "message"
    return html.Div(text, className=class_name, role="alert" if is_error else "status")


def plotly_preload() -> Any:
    """Return a hidden chart, with which Dash loads Plotly before the next page needs it."""
    return html.Div(
        dcc.Graph(figure=chart_figure(1, ""), responsive=False, config={"staticPlot": True}),
        className="plotly-preload",
        **{"aria-hidden": "true"},
    )
