"""What several pages consist of: headings, panels with explanations, tables, messages, toggle buttons, charts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from dash import dcc, html

from backend.api.page_constants import MAX_FRAME_CLASSES
from backend.client import ApiError
from dashboard.plots.charts import Chart, chart_figure

CHART_CONFIG = {"displayModeBar": False, "responsive": True, "scrollZoom": False}

EXPLANATION_TITLE = "About this chart"
EXPLANATIONS: dict[str, tuple[str, ...]] = {
    "scene": (
        "Open rings are the vertices of the simplex ETF nearest to the class means, filled dots the means of the "
        "classes' penultimate features, both in the coordinates of that ETF's frame. Small dots are training samples, "
        "diamonds the rows of the classifier. At neural collapse the dot, the ring and the diamond of each class "
        "coincide.",
        "Spherical: an orthogonal projection in which all vertices lie on a sphere, as evenly as possible. It shows "
        "every class, but projects K − 1 dimensions to three: points that look close may be far apart.",
        "Tetrahedron: four classes, between which nothing is distorted. PCA: the three directions of largest variance "
        "of the class means. Grand tour: a slow rotation through all dimensions; points that stay together are close.",
        f"Above {MAX_FRAME_CLASSES} classes, samples are shown as a density and class means as small dots; classes are "
        "drawn individually if they are searched for, hovered, or the pair with the smallest angle.",
        "Misclassified: training samples that the classifier predicts as another class, with their image if there is "
        "one. ETF rotation: the vertices of the nearest ETF at previous captures, projected to the frame of this one.",
        "Coordinates are divided by the mean norm of the centred class means (those of the classifier by the mean "
        "norm of its rows), so the vertices stay at radius one while features shrink or grow.",
    ),
    "angles": (
        "The cosine between every two centred class means. At collapse all are −1/(K − 1). The colour scale is centred "
        "there: red pairs are closer to each other than at collapse, blue ones further apart.",
        "Source: Papyan, Han, Donoho 2020, NC2 (equal angles).",
    ),
    "readings": (
        "The latest epoch, or the one that is hovered. The large number is of the training split.",
        "NC1 is the variability within classes, NC2 the deviation from equal angles, NC3 the distance between the "
        "classifier and the class means. All three are zero at collapse (Papyan, Han, Donoho 2020).",
    ),
    "classes": (
        "One row for each class; classes with the smallest angle to another one are first. The within-class variance "
        "is the mean squared distance of a class's features from their mean (Galanti, György, Hutter 2021).",
    ),
    "confusion": ("The number of training samples of each class (rows) that are predicted as each class (columns).",),
    "margins": (
        "P_CM: for every sample the cosine with the classifier's row of its class minus the largest cosine with "
        "another row, in ascending order. At collapse all are K/(K − 1).",
    ),
    "spectra": (
        "Eigenvalues of the covariance between and within classes. At collapse, the first has K − 1 equal eigenvalues, "
        "and the second is zero.",
    ),
    "compare-scenes": (
        "One scene for each configuration, of its first seed. All scenes share the camera and the position on the "
        "axis.",
    ),
    "compare-curves": ("The median over a configuration's runs, with a band from their minimum to their maximum.",),
    "time": (
        "The first measured epoch from which on a metric stays at or beyond the threshold: the bar is the median, each "
        "mark a run. Runs that do not reach the threshold are counted beside the bar.",
    ),
    "difference": (
        "Cosines between class means of the first configuration minus those of the second, each the mean over its "
        "runs, at the position on the axis. The difference is zero where both have collapsed.",
    ),
}


def page_head(title: str, *content: Any) -> Any:
    """Return the heading of a page, with what is beside it."""
    return html.Div([html.H1(title), *content], className="page-head")


def notice(title: str, text: str, href: str = "/runs", label: str = "All runs", **data: str) -> Any:
    """Return a page that has nothing but a title, a text and a link."""
    link = dcc.Link(label, href=href, className="link")
    return html.Div([html.H1(title), html.P(text), link], className="panel empty", **data)


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


async def show_result(request: Awaitable[Any], show: Callable[[Any], Any]) -> Any:
    """Return `show` of a request's answer, or the message of its error."""
    try:
        return show(await request)
    except ApiError as error:
        return message(str(error), is_error=True)


def toggle(label: str, is_on: bool, *, title: str | None = None, **data: str) -> Any:
    """Return a button that is pressed or not; `data` becomes its `data-` attributes, by which scripts find it."""
    attributes = {f"data-{key}": value for key, value in data.items()} | {"aria-pressed": str(is_on).lower()}
    return html.Button(label, type="button", title=title, **attributes)


def chart_grid(charts: Sequence[Chart], chart_id: Callable[[int], str], figure: dict[str, Any], height_px: int) -> Any:
    """Return the charts of a group under their titles, each with `figure`, which has no data yet."""
    cells = []
    for index, chart in enumerate(charts):
        title = html.H3(chart["title"], title=chart.get("help", ""), **{"data-chart-title": str(index)})
        style = {"height": height_px}
        graph = dcc.Graph(id=chart_id(index), figure=figure, config=CHART_CONFIG, style=style, responsive=True)
        cells.append(html.Div([title, graph]))
    return html.Div(cells, className="charts")


def plotly_preload() -> Any:
    """Return a hidden chart, with which Dash loads Plotly before the next page needs it."""
    return html.Div(
        dcc.Graph(figure=chart_figure(1, ""), responsive=False, config={"staticPlot": True}),
        className="plotly-preload",
        **{"aria-hidden": "true"},
    )


def explanation(name: str, *more: Any) -> Any:
    """Return the explanation of a chart, closed; `more` is appended to its sentences."""
    sentences = [html.P(text) for text in EXPLANATIONS.get(name, ())]
    return html.Details(
        [
            html.Summary("?", title=EXPLANATION_TITLE, **{"aria-label": EXPLANATION_TITLE}),
            html.Div([html.B(EXPLANATION_TITLE), *sentences, *more]),
        ],
        className="explanation",
    )
