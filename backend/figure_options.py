"""What a figure is asked for with; the same object from the API, the dialog and the command line."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from backend import wire

FigureName = Literal["geometry", "angles", "curves", "margins"]
Format = Literal["pdf", "svg", "png", "csv"]
MEDIA_TYPES: dict[Format, str] = {
    "pdf": "application/pdf",
    "svg": "image/svg+xml",
    "png": "image/png",
    "csv": "text/csv; charset=utf-8",
}
VENUES: dict[str, tuple[str, float]] = {
    "neurips": ("NeurIPS, text width 5.5 in", 5.5),
    "neurips-half": ("NeurIPS, half width 2.7 in", 2.7),
    "icml": ("ICML, column 3.25 in", 3.25),
    "cvpr": ("CVPR, column 3.25 in", 3.25),
}
LAYERS = ("features", "classifier", "names", "legend")


class FigureRequest(BaseModel):
    """A figure, its data and its options; everything that its bytes depend on."""

    model_config = ConfigDict(extra="forbid")
    figure: FigureName
    format: Format
    run: wire.RunWire
    geometry: wire.Geometry | None = None
    classes: list[int] | None = None
    """The four classes of a tetrahedron: no others are drawn, since they fall onto its centre."""
    series: wire.Series | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    ideals: dict[str, float] = Field(default_factory=dict)
    splits: list[str] = Field(default_factory=lambda: ["train", "test"])
    camera: str | None = Field(default=None, max_length=200)
    venue: str = "icml"
    serif: bool = True
    layers: list[str] = Field(default_factory=lambda: list(LAYERS))
    unit: Literal["cos", "angle"] = "cos"
