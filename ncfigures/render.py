"""Figures for papers: a request becomes a plate, and the plate a file. The same request gives the same bytes."""

from __future__ import annotations

import io

import orjson

from ncfigures import matplotlib_renderer as press
from ncfigures.figure_request import FigureRequest
from ncfigures.figures import plate as make
from ncfigures.fonts import with_embedded_fonts
from ncfigures.pgf import pgf
from ncfigures.plotly_renderer import twin
from ncfigures.provenance import commented, metadata, provenance
from ncfigures.tables import csv_table, markdown, tex


def title(request: FigureRequest) -> str:
    """Return a figure's title, which no one draws and every reader of the file shows."""
    members = [member for entry in request.entries for member in entry.members]
    if len(members) == 1:
        return f"{request.figure} of run {members[0].run.id} ({members[0].run.name})"
    return f"{request.figure} of {len(members)} runs ({', '.join(entry.label for entry in request.entries)})"


def render(request: FigureRequest) -> bytes:
    """Return the figure's file; raises Invalid for options that do not fit, or data that is not there."""
    found = provenance(request)
    plate = make(request)
    if request.format == "csv":
        return csv_table(plate).encode()
    if request.format in ("md", "tex"):
        return commented(found, (markdown if request.format == "md" else tex)(plate)).encode()
    if request.format == "json":
        shown = twin(plate, request.options)
        shown["layout"]["meta"] |= {"provenance": found.model_dump(mode="json")}
        shown["layout"]["meta"]["notices"] += request.notices
        return orjson.dumps(shown)
    with press.context(request.options):
        figure = press.draw(plate, request.options, request.format)
        if request.format == "pgf":
            return commented(found, pgf(figure, f"{request.figure}.pgf")).encode()
        target = io.BytesIO()
        figure.savefig(target, format=request.format, dpi=request.options.dpi, metadata=metadata(found, title(request)))
    content = target.getvalue()
    if request.format == "svg":
        return with_embedded_fonts(content, press.families(request.options))
    return commented(found, content.decode("latin-1")).encode("latin-1") if request.format == "eps" else content
