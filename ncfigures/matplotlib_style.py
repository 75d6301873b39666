"""matplotlib's settings for a figure: fonts, colours and line styles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import matplotlib as mpl

from ncfigures import palette
from ncfigures.catalogue import VENUES
from ncfigures.colour_vision import blend_with_white, simulate
from ncfigures.options import FigureOptions

INK = palette.TOKENS["light"]
DASHES: dict[str, Any] = {"solid": "-", "dot": ":", "dash": (0, (5, 2)), "dashdot": "-."}
FAMILIES = {True: ["STIXGeneral", "DejaVu Serif"], False: ["DejaVu Sans"]}
"""Fonts with serifs (Times, as in the venues' papers; the second has letters that the first lacks) and without."""
SYMBOLS = {"ring": "o", "dot": "o", "diamond": "D", "speck": "o"}


@dataclass(frozen=True)
class RenderStyle:
    """Colours and font sizes for drawing the parts of a figure."""

    options: FigureOptions
    opaque: bool
    """Whether the format has no transparency."""

    def colour(self, colour: str) -> str:
        return simulate(colour, self.options.sight)

    def translucent(self, colour: str, opacity: float) -> dict[str, Any]:
        """Return a translucent fill, or one blended with white where the format has no transparency."""
        mixed = self.colour(colour)
        return {"color": blend_with_white(mixed, opacity)} if self.opaque else {"color": mixed, "alpha": opacity}

    @property
    def text_pt(self) -> float:
        return VENUES[self.options.venue].text_pt

    @property
    def small_pt(self) -> float:
        return VENUES[self.options.venue].small_pt

    @property
    def width_in(self) -> float:
        return self.options.width or VENUES[self.options.venue].width_in


def rc_params(options: FigureOptions) -> dict[str, Any]:
    """Return matplotlib's settings: fonts embedded as TrueType, text as text, reproducible ids."""
    return {
        "font.family": FAMILIES[options.serif],
        "font.size": VENUES[options.venue].text_pt,
        "pdf.fonttype": 42,
        "ps.fonttype": 42,
        "svg.fonttype": "none",
        "svg.hashsalt": "collapse-lab",
        "axes.linewidth": 0.5,
        "axes.edgecolor": INK["ink-3"],
        "text.parse_math": False,
        "xtick.color": INK["ink-2"],
        "ytick.color": INK["ink-2"],
        "xtick.major.width": 0.5,
        "ytick.major.width": 0.5,
        "xtick.major.size": 2.5,
        "ytick.major.size": 2.5,
    }


def font_families(options: FigureOptions) -> list[str]:
    """Return the fonts of a figure's text, the first choice first."""
    return FAMILIES[options.serif]


def rc_context(options: FigureOptions) -> Any:
    """Return the context manager in which a figure is drawn and saved."""
    return mpl.rc_context(rc_params(options))  # type: ignore[arg-type]
