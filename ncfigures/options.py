"""Options of a figure: their types and defaults, parsing, and the command line that repeats them."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ncfigures.catalogue import FIGURES, FILM_OPTIONS, LAYERS, OPTIONS, VENUES, ColourVision, FigureName, Format
from ncfigures.errors import FigureError, UnknownNameError, require_known

MAX_PANEL_EPOCHS = 6
"""Captures of one run side by side."""


def _option(name: str, default: object, **limits: Any) -> Any:
    return Field(default=default, description=OPTIONS[name], **limits)


class FigureOptions(BaseModel):
    """Options of a figure: which data it shows and how it looks."""

    model_config = ConfigDict(extra="forbid")

    epoch: float | None = _option("epoch", None, ge=0)
    epochs: str | None = _option("epochs", None, max_length=200)
    view: str | None = _option("view", None, max_length=20)
    classes: str | None = _option("classes", None, max_length=100)
    camera: str | None = _option("camera", None, max_length=200)
    layers: str | None = _option("layers", None, max_length=200)
    unit: Literal["cos", "angle"] = _option("unit", "cos")
    keys: str | None = _option("keys", None, max_length=2000)
    split: str | None = _option("split", None, pattern="^(train|test)(,(train|test))?$")
    scale: Literal["auto", "linear", "log"] = _option("scale", "auto")
    until: int | None = _option("until", None, ge=0)
    threshold: float | None = _option("threshold", None, allow_inf_nan=False)
    panels: str | None = _option("panels", None, max_length=1000)
    venue: str = _option("venue", "icml", max_length=40)
    width: float | None = _option("width", None, ge=1, le=12, allow_inf_nan=False)
    serif: bool = _option("serif", True)
    sight: ColourVision = _option("sight", "colour")
    dpi: int = _option("dpi", 300, ge=50, le=1200)
    legend: bool = _option("legend", True)
    axes: Literal["open", "boxed", "grid"] = _option("axes", "open")

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
