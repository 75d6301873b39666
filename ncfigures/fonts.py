"""Fonts inside an SVG: the glyphs that its text uses, as subsets, so that text stays text anywhere."""

from __future__ import annotations

import base64
import functools
import html
import io
import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from fontTools import subset
from fontTools.ttLib import TTFont

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
def glyphs(family: str, weight: int = 400) -> frozenset[int]:
    """Return the characters that a font has glyphs for, as numbers."""
    return frozenset(TTFont(io.BytesIO(_font_bytes(family, weight))).getBestCmap())


def printable(text: str, families: Sequence[str]) -> str:
    """Return text with a question mark in a diamond in place of each character that none of the fonts has."""
    known = frozenset().union(*(glyphs(family) for family in families))
    return "".join(character if ord(character) in known else "\ufffd" for character in text)


def font_subset(family: str, weight: int, characters: str) -> bytes:
    """Return a TrueType file with the glyphs of `characters` alone; the same characters give the same bytes."""
    font = TTFont(io.BytesIO(_font_bytes(family, weight)), recalcTimestamp=False)
    options = subset.Options(hinting=False, layout_features=["kern"], name_IDs=[1, 2], notdef_outline=True)
    options.drop_tables += ["FFTM"]
    subsetter = subset.Subsetter(options)
    subsetter.populate(text=characters)
    subsetter.subset(font)
    target = io.BytesIO()
    font.save(target)
    return target.getvalue()


def with_embedded_fonts(svg: bytes, families: Sequence[str]) -> bytes:
    """Return the SVG with an @font-face for each font whose glyphs its text elements use."""
    text = svg.decode()
    used: dict[tuple[str, int], set[str]] = {}
    for attributes, content in _TEXT.findall(text):
        weight = 700 if re.search(r"\b(700|bold)\b", attributes) else 400
        for character in html.unescape(content).strip():
            having = [family for family in families if ord(character) in glyphs(family, weight)]
            if having:
                used.setdefault((having[0], weight), set()).add(character)
    faces = []
    for (family, weight), characters in sorted(used.items()):
        encoded = base64.b64encode(font_subset(family, weight, "".join(sorted(characters)))).decode()
        source = f"url(data:font/ttf;base64,{encoded}) format('truetype')"
        faces.append(f"@font-face{{font-family:'{family}';font-weight:{weight};src:{source}}}")
    style = f'<defs>\n  <style type="text/css">{"".join(faces)}</style>'
    return text.replace("<defs>", style, 1).encode()
