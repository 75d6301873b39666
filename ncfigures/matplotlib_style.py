"""matplotlib's settings for a figure: fonts, colours and line styles; fonts embedded in SVG.

The subsets in an SVG have the glyphs that its text uses, so that text stays text on any machine.
"""

from __future__ import annotations

import base64
import functools
import html
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from fontTools import subset
from fontTools.ttLib import TTFont

from ncfigures import palette
from ncfigures.catalogue import VENUES
from ncfigures.options import FigureOptions
from ncfigures.palette import blend_with_white, simulate

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


def make_rc_params(options: FigureOptions) -> dict[str, Any]:
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


def choose_font_families(options: FigureOptions) -> list[str]:
    """Return the fonts of a figure's text, the first choice first."""
    return FAMILIES[options.serif]


def apply_rc_params(options: FigureOptions) -> Any:
    """Return the context manager in which a figure is drawn and saved."""
    return mpl.rc_context(make_rc_params(options))  # type: ignore[arg-type]


FILES = {
    ("STIXGeneral", 400): "STIXGeneral.ttf",
    ("STIXGeneral", 700): "STIXGeneralBol.ttf",
    ("DejaVu Serif", 400): "DejaVuSerif.ttf",
    ("DejaVu Serif", 700): "DejaVuSerif-Bold.ttf",
    ("DejaVu Sans", 400): "DejaVuSans.ttf",
    ("DejaVu Sans", 700): "DejaVuSans-Bold.ttf",
}
_TEXT = re.compile(r"<text([^>]*)>([^<]*)</text>")


@functools.cache
def _font_bytes(family: str, weight: int) -> bytes:
    return (Path(mpl.get_data_path()) / "fonts" / "ttf" / FILES[family, weight]).read_bytes()


@functools.cache
def list_glyphs(family: str, weight: int = 400) -> frozenset[int]:
    """Return the code points for which a font has glyphs."""
    return frozenset(TTFont(io.BytesIO(_font_bytes(family, weight))).getBestCmap())


def replace_unprintable(text: str, families: Sequence[str]) -> str:
    """Replace each character that none of the fonts has by U+FFFD, a question mark in a diamond."""
    known = frozenset().union(*(list_glyphs(family) for family in families))
    return "".join(character if ord(character) in known else "\ufffd" for character in text)


def make_font_subset(family: str, weight: int, characters: str) -> bytes:
    """Return a TrueType file with the glyphs of `characters` only; the same characters give the same bytes."""
    font = TTFont(io.BytesIO(_font_bytes(family, weight)), recalcTimestamp=False)
    options = subset.Options(hinting=False, layout_features=["kern"], name_IDs=[1, 2], notdef_outline=True)
    options.drop_tables += ["FFTM"]
    subsetter = subset.Subsetter(options)
    subsetter.populate(text=characters)
    subsetter.subset(font)
    target = io.BytesIO()
    font.save(target)
    return target.getvalue()


def embed_fonts(svg: bytes, families: Sequence[str]) -> bytes:
    """Return the SVG with an @font-face for each font whose glyphs its text elements use."""
    text = svg.decode()
    used: dict[tuple[str, int], set[str]] = {}
    for attributes, content in _TEXT.findall(text):
        weight = 700 if re.search(r"\b(700|bold)\b", attributes) else 400
        for character in html.unescape(content).strip():
            having = [family for family in families if ord(character) in list_glyphs(family, weight)]
            if having:
                used.setdefault((having[0], weight), set()).add(character)
    faces = []
    for (family, weight), characters in sorted(used.items()):
        encoded = base64.b64encode(make_font_subset(family, weight, "".join(sorted(characters)))).decode()
        source = f"url(data:font/ttf;base64,{encoded}) format('truetype')"
        faces.append(f"@font-face{{font-family:'{family}';font-weight:{weight};src:{source}}}")
    style = f'<defs>\n  <style type="text/css">{"".join(faces)}</style>'
    return text.replace("<defs>", style, 1).encode()
