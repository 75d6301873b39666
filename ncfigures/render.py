"""Figures for papers: a request becomes a spec, and the spec a file. The same request gives the same bytes."""

from __future__ import annotations

import io

import orjson

from ncfigures import matplotlib_renderer
from ncfigures.figure_request import FigureRequest
from ncfigures.figures import build_figure_spec
from ncfigures.fonts import with_embedded_fonts
from ncfigures.pgf import pgf
from ncfigures.plotly_renderer import plotly_figure
from ncfigures.provenance import file_metadata, provenance_of, with_provenance_comment
from ncfigures.tables import drawn_numbers_csv, latex_table, markdown_table_with_caption


def document_title(request: FigureRequest) -> str:
    """Return a figure's title, which no one draws and every reader of the file shows."""
    members = [member for entry in request.entries for member in entry.members]
    if len(members) == 1:
        return f"{request.figure} of run {members[0].run.id} ({members[0].run.name})"
    return f"{request.figure} of {len(members)} runs ({', '.join(entry.label for entry in request.entries)})"


def render_figure(request: FigureRequest) -> bytes:
    """Return the figure's file; raises Invalid for options that do not fit, or data that is not there."""
    found = provenance_of(request)
    spec = build_figure_spec(request)
    if request.format == "csv":
        return drawn_numbers_csv(spec).encode()
    if request.format in ("md", "tex"):
        return with_provenance_comment(
            found, (markdown_table_with_caption if request.format == "md" else latex_table)(spec)
        ).encode()
    if request.format == "json":
        shown = plotly_figure(spec, request.options)
        shown["layout"]["meta"] |= {"provenance": found.model_dump(mode="json")}
        shown["layout"]["meta"]["notices"] += request.notices
        return orjson.dumps(shown)
    with matplotlib_renderer.rc_context(request.options):
        figure = matplotlib_renderer.draw_figure(spec, request.options, request.format)
        if request.format == "pgf":
            return with_provenance_comment(found, pgf(figure, f"{request.figure}.pgf")).encode()
        target = io.BytesIO()
        figure.savefig(
            target,
            format=request.format,
            dpi=request.options.dpi,
            metadata=file_metadata(found, document_title(request)),
        )
    content = target.getvalue()
    if request.format == "svg":
        return with_embedded_fonts(content, matplotlib_renderer.font_families(request.options))
    return (
        with_provenance_comment(found, content.decode("latin-1")).encode("latin-1")
        if request.format == "eps"
        else content
    )
