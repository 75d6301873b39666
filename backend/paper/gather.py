"""From a run in the store to a figure request: one way, for the API and the command line."""

from __future__ import annotations

from typing import Any

from backend import views, wire
from backend.errors import Invalid
from backend.figure_options import LAYERS, VENUES, FigureName, FigureRequest, Format
from backend.paper.camera import parse_camera
from backend.store import runs
from backend.store.database import Store
from ncengine.metrics import METRICS

DEFAULT_KEYS = "nc1,etf_distance_means,nc3,top1"


def _with_margins(store: Store, run_id: str, geometry: wire.Geometry) -> wire.Geometry:
    """Return a capture with the margins that it has; only measured epochs have those of the test split."""
    known = views.captured_arrays(store, run_id, geometry.step)
    names = [name for name in ("margins", "margins_test") if name in known]
    if not names:
        raise Invalid("this capture has no margins: all class means coincide in it, or an older version made it")
    arrays = geometry.arrays | {name: wire.typed_array(known[name]) for name in names}
    return geometry.model_copy(update={"arrays": arrays})


def gather(
    store: Store,
    run_id: str,
    figure: FigureName,
    format_: Format,
    *,
    epoch: float | None = None,
    view: str | None = None,
    venue: str = "icml",
    keys: str | None = None,
    split: str | None = None,
    camera: str | None = None,
    layers: str | None = None,
    serif: bool = True,
    unit: Any = "cos",
    classes: str | None = None,
) -> FigureRequest:
    """Return the request that draws `figure` of a run; raises NotFound and Invalid with the remedy."""
    row = runs.get(store, run_id)
    if venue not in VENUES:
        raise Invalid(f"venue must be one of {', '.join(VENUES)}, got {venue!r}")
    chosen = list(LAYERS) if layers is None else [layer for layer in layers.split(",") if layer]
    unknown = [layer for layer in chosen if layer not in LAYERS]
    if unknown:
        raise Invalid(f"layers must be among {', '.join(LAYERS)}, got {unknown[0]!r}")
    splits = ["train", "test"] if split is None else split.split(",")
    parse_camera(camera)
    run = views.run_wire(row)
    request = FigureRequest(
        figure=figure,
        format=format_,
        run=run,
        splits=splits,
        camera=camera,
        venue=venue,
        layers=chosen,
        serif=serif,
        unit=unit,
    )
    if figure == "curves":
        wanted = [key.strip() for key in (keys or DEFAULT_KEYS).split(",") if key.strip()]
        request.series = views.series(store, run_id, wanted)
        request.labels = {key: METRICS[key].label for key in wanted if key in METRICS}
        ideals = {key: METRICS[key].ideal for key in wanted if key in METRICS}
        request.ideals = {key: ideal(run.classes) for key, ideal in ideals.items() if ideal is not None}
        return request
    if view == "tetrahedron":
        request.classes = views.four_classes(classes or "0,1,2,3")
    request.geometry = views.geometry(store, run_id, epoch, view=view, four=tuple(request.classes or ()))
    if figure == "margins":
        request.geometry = _with_margins(store, run_id, request.geometry)
    return request
