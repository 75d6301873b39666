"""Figures as files: vector PDF and SVG, PNG, and the drawn data as CSV."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from backend.figure_options import MEDIA_TYPES, FigureName, Format
from backend.paper.gather import gather
from backend.routes.runs import Here

router = APIRouter(prefix="/api/v1", tags=["figures"])


@router.get("/runs/{run_id}/figures/{figure}.{format}", response_class=Response)
def figure(
    here: Here,
    run_id: str,
    figure: FigureName,
    format: Format,
    epoch: Annotated[float | None, Query(ge=0)] = None,
    view: str | None = None,
    venue: str = "icml",
    keys: Annotated[str | None, Query(max_length=2000)] = None,
    split: Annotated[str | None, Query(pattern="^(train|test)(,(train|test))?$")] = None,
    camera: Annotated[str | None, Query(max_length=200, description="ex,ey,ez,ux,uy,uz,zoom")] = None,
    layers: Annotated[str | None, Query(max_length=200)] = None,
    serif: bool = True,
    unit: Literal["cos", "angle"] = "cos",
    classes: Annotated[
        str | None, Query(max_length=100, description="four classes, for view=tetrahedron: 0,3,5,8")
    ] = None,
    download: bool = False,
) -> Response:
    """Return a figure of a run: `geometry` and `angles` at an epoch, `curves` of chosen metrics."""
    request = gather(
        here.store,
        run_id,
        figure,
        format,
        epoch=epoch,
        view=view,
        venue=venue,
        keys=keys,
        split=split,
        camera=camera,
        layers=layers,
        serif=serif,
        unit=unit,
        classes=classes,
    )
    content = here.paper.render(request)
    name = f"{request.run.name}-{figure}.{format}".replace('"', "").replace("/", "-")
    ascii_name = name.encode("ascii", "replace").decode().replace("\n", " ").replace("\r", " ")
    disposition = "attachment" if download else "inline"
    headers = {"content-disposition": f'{disposition}; filename="{ascii_name}"'}
    return Response(content, media_type=MEDIA_TYPES[format], headers=headers)
