"""Figures for papers: each a pure function of a request that returns a spec. One file and one line make a new one."""

from __future__ import annotations

from collections.abc import Callable

from ncfigures.catalogue import FigureName
from ncfigures.figure_request import FigureRequest
from ncfigures.figure_spec import FigureSpec
from ncfigures.figures.angles import angles
from ncfigures.figures.composed import composed
from ncfigures.figures.costs import costs
from ncfigures.figures.curves import curves, implicit
from ncfigures.figures.finals import finals
from ncfigures.figures.geometry import geometry
from ncfigures.figures.histogram import histogram
from ncfigures.figures.layers import layers
from ncfigures.figures.margins import margins
from ncfigures.figures.spectra import spectra
from ncfigures.figures.times import times

BUILDERS: dict[FigureName, Callable[[FigureRequest], FigureSpec]] = {
    "geometry": geometry,
    "angles": angles,
    "histogram": histogram,
    "curves": curves,
    "training": curves,
    "margin": curves,
    "margins": margins,
    "equinorm": curves,
    "test": curves,
    "finals": finals,
    "times": times,
    "costs": costs,
    "implicit": implicit,
    "spectra": spectra,
    "layers": layers,
}


def build_figure_spec(request: FigureRequest) -> FigureSpec:
    """Return the spec of a request; raises Invalid where its data has not what the figure needs."""
    if request.figure == "composed":
        return composed(request, BUILDERS)
    return BUILDERS[request.figure](request)
