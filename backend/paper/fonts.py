"""Fonts inside an SVG: the glyphs that its text uses, as a subset, so that text stays text anywhere."""

from __future__ import annotations

import base64
import functools
import io
import re
from pathlib import Path

import matplotlib as mpl
from fontTools import subset
from fontTools.ttLib import TTFont

FILES = {"DejaVu Serif": "DejaVuSerif.ttf", "DejaVu Sans": "DejaVuSans.ttf"}


@functools.cache
def _font_bytes(family: str) -> bytes:
    return (Path(mpl.get_data_path()) / "fonts" / "ttf" / FILES[family]).read_bytes()


def font_subset(family: str, characters: str) -> bytes:
    """Return a TrueType file with the glyphs of `characters` alone; the same characters give the same bytes."""
    font = TTFont(io.BytesIO(_font_bytes(family)), recalcTimestamp=False)
    options = subset.Options(hinting=False, layout_features=["kern"], name_IDs=[1, 2], notdef_outline=True)
    options.drop_tables += ["FFTM"]
    subsetter = subset.Subsetter(options)
    subsetter.populate(text=characters)
    subsetter.subset(font)
    target = io.BytesIO()
    font.save(target)
    return target.getvalue()


def with_embedded_fonts(svg: bytes, *, serif: bool) -> bytes:
    """Return the SVG with an @font-face of the glyphs that its text elements use."""
    text = svg.decode()
    family = "DejaVu Serif" if serif else "DejaVu Sans"
    used = "".join(sorted({c for part in re.findall(r">([^<>]*)</(?:text|tspan)>", text) for c in part}))
    encoded = base64.b64encode(font_subset(family, used)).decode()
    face = f"@font-face{{font-family:'{family}';src:url(data:font/ttf;base64,{encoded}) format('truetype')}}"
    return text.replace("<defs>", f'<defs>\n  <style type="text/css">{face}</style>', 1).encode()
