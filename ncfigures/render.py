"""Render a figure request to a file. The same request gives the same bytes."""

from __future__ import annotations

import orjson

from ncfigures.errors import requires_extra
from ncfigures.figure_data import FigureRequest
from ncfigures.figures import build_figure_spec
from ncfigures.plotly_renderer import plotly_figure
from ncfigures.provenance import make_provenance, with_provenance_comment
from ncfigures.tables import format_csv, format_latex_table, format_markdown


def format_document_title(request: FigureRequest) -> str:
    """Return the title in the file's metadata; it is not drawn."""
    runs = request.all_runs()
    if len(runs) == 1:
        return f"{request.figure} of run {runs[0].id} ({runs[0].name})"
    return f"{request.figure} of {len(runs)} runs ({', '.join(group.label for group in request.groups)})"


def render_figure(request: FigureRequest) -> bytes:
    """Return the figure's file; raises FigureError if the options do not fit or the data lacks what they need."""
    provenance = make_provenance(request)
    spec = build_figure_spec(request)
    if request.format == "csv":
        return format_csv(spec).encode()
    if request.format in ("md", "tex"):
        write_table = format_markdown if request.format == "md" else format_latex_table
        return with_provenance_comment(provenance, write_table(spec)).encode()
    if request.format == "json":
        shown = plotly_figure(spec, request.options)
        shown["layout"]["meta"] |= {"provenance": provenance.model_dump(mode="json")}
        shown["layout"]["meta"]["notices"] += list(request.notices)
        return orjson.dumps(shown)
    with requires_extra("figures"):
        from ncfigures.matplotlib_renderer import render_drawn_file
    return render_drawn_file(spec, request.options, provenance, format_document_title(request))
