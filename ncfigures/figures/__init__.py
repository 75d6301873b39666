"""The figures of the catalogue: each a pure function from a request to a FigureSpec."""

from __future__ import annotations

from collections.abc import Callable

from ncfigures.catalogue import FigureName
from ncfigures.figure_data import FigureRequest
from ncfigures.figure_spec import FigureSpec
from ncfigures.figures.angles import build_angles, build_histogram
from ncfigures.figures.composed import build_composed
from ncfigures.figures.curves import build_curves, build_implicit, build_layers
from ncfigures.figures.distributions import build_margins, build_spectra
from ncfigures.figures.geometry import build_geometry
from ncfigures.figures.summaries import build_costs, build_finals, build_times

BUILDERS: dict[FigureName, Callable[[FigureRequest], FigureSpec]] = {
    "geometry": build_geometry,
    "angles": build_angles,
    "histogram": build_histogram,
    "curves": build_curves,
    "training": build_curves,
    "margin": build_curves,
    "margins": build_margins,
    "equinorm": build_curves,
    "test": build_curves,
    "finals": build_finals,
    "times": build_times,
    "costs": build_costs,
    "implicit": build_implicit,
    "spectra": build_spectra,
    "layers": build_layers,
}


def build_figure_spec(request: FigureRequest) -> FigureSpec:
    """Return the spec of a request; raises FigureError if its data lacks what the figure needs."""
    if request.figure == "composed":
        return build_composed(request, BUILDERS)
    return BUILDERS[request.figure](request)
