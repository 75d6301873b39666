"""Figures for papers: each a pure function of a request that returns a plate. One file and one line make a new one."""

from __future__ import annotations

from collections.abc import Callable

from backend.figure_catalogue import FigureName
from backend.paper.catalogue.angles import angles
from backend.paper.catalogue.composed import composed
from backend.paper.catalogue.costs import costs
from backend.paper.catalogue.curves import curves, implicit
from backend.paper.catalogue.finals import finals
from backend.paper.catalogue.geometry import geometry
from backend.paper.catalogue.histogram import histogram
from backend.paper.catalogue.layers import layers
from backend.paper.catalogue.margins import margins
from backend.paper.catalogue.spectra import spectra
from backend.paper.catalogue.times import times
from backend.paper.plate import Plate
from backend.paper.request import FigureRequest

SINGLE: dict[FigureName, Callable[[FigureRequest], Plate]] = {
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


def plate(request: FigureRequest) -> Plate:
    """Return the plate of a request; raises Invalid where its data has not what the figure needs."""
    if request.figure == "composed":
        return composed(request, SINGLE)
    return SINGLE[request.figure](request)
