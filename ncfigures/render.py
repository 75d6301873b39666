"""Figures for papers: a request becomes a spec, and the spec a file. The same request gives the same bytes."""

from __future__ import annotations

import io

import orjson

from ncfigures import matplotlib_renderer
from ncfigures.figure_data import FigureRequest
from ncfigures.figures import build_figure_spec
from ncfigures.fonts import with_embedded_fonts
from ncfigures.pgf import pgf
from ncfigures.plotly_renderer import plotly_figure
from ncfigures.provenance import file_metadata, provenance_of, with_provenance_comment
from ncfigures.tables import drawn_numbers_csv, latex_table, markdown_table_with_caption


def document_title(request: FigureRequest) -> str:
    """Return the title in the file's metadata; it is not drawn."""
    runs = request.all_runs()
    if len(runs) == 1:
        return f"{request.figure} of run {runs[0].id} ({runs[0].name})"
    return f"{request.figure} of {len(runs)} runs ({', '.join(group.label for group in request.groups)})"


def render_figure(request: FigureRequest) -> bytes:
    """Return the figure's file; raises FigureError for options that do not fit, or data that is not there."""
    found = provenance_of(request)
    spec = build_figure_spec(request)
    if request.format == "csv":
        return drawn_numbers_csv(spec).encode()
    if request.format in ("md", "tex"):
        write_table = markdown_table_with_caption if request.format == "md" else latex_table
        return with_provenance_comment(found, write_table(spec)).encode()
    if request.format == "json":
        shown = plotly_figure(spec, request.options)
        shown["layout"]["meta"] |= {"provenance": found.model_dump(mode="json")}
        shown["layout"]["meta"]["notices"] += list(request.notices)
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
    if request.format == "eps":
        return with_provenance_comment(found, content.decode("latin-1")).encode("latin-1")
    return content
