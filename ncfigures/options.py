"""Options of a figure: their types and defaults, parsing, and the command line that repeats them."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ncfigures.catalogue import FIGURES, LAYERS, OPTIONS, VENUES, ColourVision, FigureName, Format
from ncfigures.errors import FigureError, UnknownNameError
from ncfigures.figure_spec import parse_camera


def _description(name: str) -> str:
    return OPTIONS[name][1]


MAX_PANEL_EPOCHS = 6
"""Captures of one run side by side."""


class FigureOptions(BaseModel):
    """Options of a figure: which data it shows and how it looks."""

    model_config = ConfigDict(extra="forbid")
    epoch: float | None = Field(default=None, ge=0, description=_description("epoch"))
    epochs: str | None = Field(default=None, max_length=200, description=_description("epochs"))
    view: str | None = Field(default=None, max_length=20, description=_description("view"))
    classes: str | None = Field(default=None, max_length=100, description=_description("classes"))
    camera: str | None = Field(default=None, max_length=200, description=_description("camera"))
    layers: str | None = Field(default=None, max_length=200, description=_description("layers"))
    unit: Literal["cos", "angle"] = Field(default="cos", description=_description("unit"))
    keys: str | None = Field(default=None, max_length=2000, description=_description("keys"))
    split: str | None = Field(default=None, pattern="^(train|test)(,(train|test))?$", description=_description("split"))
    scale: Literal["auto", "linear", "log"] = Field(default="auto", description=_description("scale"))
    until: int | None = Field(default=None, ge=0, description=_description("until"))
    threshold: float | None = Field(default=None, allow_inf_nan=False, description=_description("threshold"))
    panels: str | None = Field(default=None, max_length=1000, description=_description("panels"))
    venue: str = Field(default="icml", max_length=40, description=_description("venue"))
    width: float | None = Field(default=None, ge=1, le=12, allow_inf_nan=False, description=_description("width"))
    serif: bool = Field(default=True, description=_description("serif"))
    sight: ColourVision = Field(default="colour", description=_description("sight"))
    dpi: int = Field(default=300, ge=50, le=1200, description=_description("dpi"))
    legend: bool = Field(default=True, description=_description("legend"))
    axes: Literal["open", "boxed", "grid"] = Field(default="open", description=_description("axes"))

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
            known = ", ".join(FigureOptions.model_fields)
            raise FigureError(f"there is no option {name!r}; there are {known}") from error
        raise FigureError(f"{name}: {first['msg']}, got {first['input']!r}") from error


def _option_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def check_figure(figure: str, format_: str, options: FigureOptions) -> None:
    """Raise FigureError for an unknown figure, format, venue or layer, or a camera that cannot be read."""
    if figure not in FIGURES:
        raise UnknownNameError(f"the figure must be one of {', '.join(FIGURES)}, got {figure!r}", figure, FIGURES)
    if format_ not in get_args(Format):
        raise FigureError(f"the format must be one of {', '.join(get_args(Format))}, got {format_!r}")
    if options.venue not in VENUES:
        raise UnknownNameError(
            f"venue must be one of {', '.join(VENUES)}, got {options.venue!r}", options.venue, VENUES
        )
    unknown = [layer for layer in split_list(options.layers) if layer not in LAYERS]
    if unknown:
        raise FigureError(f"layers must be among {', '.join(LAYERS)}, got {unknown[0]!r}")
    parse_camera(options.camera)


def split_list(text: str | None) -> list[str]:
    """Return the parts of a comma-separated text, without spaces."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def composed_panels(options: FigureOptions) -> list[tuple[FigureName, FigureOptions]]:
    """Return the figures of a composed figure, each with its options; raises FigureError for an unknown one."""
    found: list[tuple[FigureName, FigureOptions]] = []
    for text in split_list(options.panels) or ["geometry", "angles", "curves:nc1", "margins"]:
        name, _, keys = text.partition(":")
        if name not in FIGURES or name == "composed":
            raise FigureError(f"panels must be among {', '.join(n for n in FIGURES if n != 'composed')}, got {name!r}")
        own = ",".join(key for key in keys.split("+") if key)
        found.append((name, options.model_copy(update={"keys": own} if own else {})))
    return found


def requested_epochs(options: FigureOptions) -> list[float | None]:
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


def single_figures(figure: FigureName, options: FigureOptions) -> list[FigureName]:
    """Return the figures that a composed figure consists of, or the figure itself."""
    return [name for name, _ in composed_panels(options)] if figure == "composed" else [figure]


def metric_keys(figure: FigureName, options: FigureOptions) -> list[str]:
    """Return the keys of the metrics that a figure draws."""
    if figure == "composed":
        return list(dict.fromkeys(key for name, own in composed_panels(options) for key in metric_keys(name, own)))
    asked = split_list(options.keys) if "keys" in FIGURES[figure].options else []
    return asked or list(FIGURES[figure].metrics)


def export_command(runs: Sequence[str], figure: str, format_: str, options: FigureOptions, output: str) -> str:
    """Return the `collapse export` command that makes a figure's file."""
    flags: list[str] = []
    for key, value in options.non_default().items():
        switch = {"serif": "--sans", "legend": "--no-legend"}.get(key)
        flags += [switch] if switch else [f"--{key}", shlex.quote(value)]
    kind = [] if output.endswith(f".{format_}") else ["--format", format_]
    return " ".join(["collapse", "export", ",".join(runs), figure, "-o", shlex.quote(output), *kind, *flags])


def film_command(runs: Sequence[str], options: FigureOptions, output: str = "film.gif") -> str:
    """Return the `collapse film` command with a figure's view, classes, camera and layers."""
    given = options.non_default()
    flags = [f"--{key} {shlex.quote(given[key])}" for key in ("view", "classes", "camera", "layers") if key in given]
    return " ".join(["collapse", "film", ",".join(runs), "-o", output, *flags])
