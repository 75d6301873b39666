"""Options of a figure: their types and defaults, parsing, and the command line that repeats them."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ncfigures.catalogue import FIGURES, LAYERS, VENUES, ColourVision, FigureName, Format
from ncfigures.errors import FigureError, UnknownNameError, require_known

MAX_PANEL_EPOCHS = 6
"""Captures of one run side by side."""
FILM_OPTIONS = ("view", "classes", "camera", "layers")
"""Options that a film has too."""


class FigureOptions(BaseModel):
    """Options of a figure: which data it shows and how it looks. Flags of the command line follow from the fields."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    epoch: float | None = Field(default=None, ge=0)
    """Epoch of the capture, or the newest at or before it (default: the newest)."""
    epochs: str | None = Field(default=None, max_length=200)
    """Several epochs side by side, comma-separated: 1,5,20"""
    view: str | None = Field(default=None, max_length=20)
    """View of the geometry instead of the run's own: pca or tetrahedron."""
    classes: str | None = Field(default=None, max_length=100)
    """Four classes, for the view tetrahedron: 0,3,5,8"""
    camera: str | None = Field(default=None, max_length=200)
    """ex,ey,ez,ux,uy,uz,zoom"""
    layers: str | None = Field(
        default=None, max_length=200, description=f"What the geometry shows, of {','.join(LAYERS)} (default: all)."
    )
    unit: Literal["cos", "angle"] = "cos"
    """Cosines or angles in the heatmap."""
    keys: str | None = Field(default=None, max_length=2000)
    """Metrics, comma-separated."""
    split: str | None = Field(default=None, pattern="^(train|test)(,(train|test))?$")
    """train, test, or both (train,test)."""
    scale: Literal["auto", "linear", "log"] = "auto"
    """Scale of the metrics' axes; auto is logarithmic where a metric spans a factor of twenty."""
    until: int | None = Field(default=None, ge=0)
    """Draw curves up to this epoch alone."""
    threshold: float | None = Field(default=None, allow_inf_nan=False)
    """The value at or beyond which a metric counts as collapsed, for `times`."""
    panels: str | None = Field(default=None, max_length=1000)
    """The figures of `composed`, comma-separated: geometry,angles,curves:nc1+nc3,margins"""
    venue: str = Field(default="icml", max_length=40, description=f"Width and type by venue: {', '.join(VENUES)}.")
    width: float | None = Field(default=None, ge=1, le=12, allow_inf_nan=False)
    """Width in inches instead of the venue's."""
    serif: bool = True
    """Type as in the text of a paper, or without serifs."""
    sight: ColourVision = "colour"
    """How the colours are seen: as they are, in grey, or by people with a colour-vision deficiency."""
    dpi: int = Field(default=300, ge=50, le=1200)
    """Dots an inch, of PNG alone."""
    legend: bool = True
    """Say what is what above the panels."""
    axes: Literal["open", "boxed", "grid"] = "open"
    """Axes at the left and below, all around, or with a grid."""

    def non_default(self) -> dict[str, str]:
        """Return the options that differ from their defaults, as text."""
        return {key: _option_text(value) for key, value in self.model_dump(exclude_defaults=True).items()}


def parse_options(given: dict[str, object]) -> FigureOptions:
    """Validate options; raises FigureError for an unknown option or an invalid value."""
    try:
        return FigureOptions.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(step) for step in first["loc"])
        if first["type"] == "extra_forbidden":
            unknown = f"there is no option {name!r}"
            raise UnknownNameError(
                unknown, name, FigureOptions.model_fields, "; `collapse export --help` lists them"
            ) from error
        raise FigureError(f"{name}: {first['msg']}, got {first['input']!r}") from error


def _option_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def check_figure(figure: str, format_: str, options: FigureOptions) -> None:
    """Raise FigureError for an unknown figure, format, venue or layer, or a camera that cannot be read."""
    # NumPy is imported only where figures are.
    from ncfigures.figure_spec import parse_camera

    require_known("the figure", figure, FIGURES)
    require_known("the format", format_, get_args(Format))
    require_known("venue", options.venue, VENUES)
    for layer in split_list(options.layers):
        require_known("layers", layer, LAYERS)
    parse_camera(options.camera)


def split_list(text: str | None) -> list[str]:
    """Return the parts of a comma-separated text, without spaces."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def parse_panels(options: FigureOptions) -> list[tuple[FigureName, FigureOptions]]:
    """Return the figures of a composed figure, each with its options; raises FigureError for an unknown one."""
    panels: list[tuple[FigureName, FigureOptions]] = []
    for text in split_list(options.panels) or ["geometry", "angles", "curves:nc1", "margins"]:
        name, _, keys = text.partition(":")
        figure = require_known("panels", name, [each for each in FIGURES if each != "composed"])
        own = ",".join(key for key in keys.split("+") if key)
        panels.append((figure, options.model_copy(update={"keys": own} if own else {})))
    return panels


def parse_epochs(options: FigureOptions) -> list[float | None]:
    """Return the epochs whose captures are drawn, None for the latest; raises FigureError for invalid numbers."""
    if options.epochs is None:
        return [options.epoch]
    try:
        wanted = [float(part) for part in split_list(options.epochs)]
    except ValueError:
        raise FigureError(f"epochs must be numbers with commas between them, got {options.epochs!r}") from None
    if not 0 < len(wanted) <= MAX_PANEL_EPOCHS or not all(math.isfinite(each) and each >= 0 for each in wanted):
        raise FigureError(f"epochs must be 1 to {MAX_PANEL_EPOCHS} numbers from 0 on, got {options.epochs!r}")
    return list(wanted)


def list_figures(figure: FigureName, options: FigureOptions) -> list[FigureName]:
    """Return the figures that a composed figure consists of, or the figure itself."""
    return [name for name, _ in parse_panels(options)] if figure == "composed" else [figure]


def choose_metric_keys(figure: FigureName, options: FigureOptions) -> list[str]:
    """Return the keys of the metrics that a figure draws."""
    if figure == "composed":
        return list(dict.fromkeys(key for name, own in parse_panels(options) for key in choose_metric_keys(name, own)))
    asked = split_list(options.keys) if "keys" in FIGURES[figure].options else []
    return asked or list(FIGURES[figure].metrics)


def format_export_command(runs: Sequence[str], figure: str, format_: str, options: FigureOptions, output: str) -> str:
    """Return the `collapse export` command that makes a figure's file."""
    flags: list[str] = []
    for key, value in options.non_default().items():
        switch = {"serif": "--sans", "legend": "--no-legend"}.get(key)
        flags += [switch] if switch else [f"--{key}", shlex.quote(value)]
    kind = [] if output.endswith(f".{format_}") else ["--format", format_]
    return " ".join(["collapse", "export", ",".join(runs), figure, "-o", shlex.quote(output), *kind, *flags])


def format_film_command(runs: Sequence[str], options: FigureOptions, output: str = "film.gif") -> str:
    """Return the `collapse film` command with a figure's view, classes, camera and layers."""
    given = options.non_default()
    flags = [f"--{key} {shlex.quote(given[key])}" for key in FILM_OPTIONS if key in given]
    return " ".join(["collapse", "film", ",".join(runs), "-o", output, *flags])
