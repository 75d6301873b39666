"""Colours and line styles of pages, live plots and exported figures; simulation of colour-vision deficiency.

The matrices are those of Machado, Oliveira, Fernandes 2009, "A Physiologically-based Model for Simulation of Color
Vision Deficiency", table 1, severity 1.0, for linear RGB. Grey has the same luminance (Rec. 709).
"""

from __future__ import annotations

import functools
import math
import zlib
from typing import Literal

import numpy as np
import numpy.typing as npt

from ncfigures.catalogue import ColourVision

Theme = Literal["light", "dark"]
Dash = Literal["solid", "dash", "dot", "dashdot"]
"""Line styles, as Plotly names them."""
DASHES: tuple[Dash, ...] = ("solid", "dash", "dot", "dashdot")
"""In the order in which several lines of one colour take them."""

CLASSES_10 = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
"""Petroff 2021, ten colours chosen for colour-vision deficiency."""

TOKENS: dict[Theme, dict[str, str]] = {
    "light": {
        "background": "#f7f8fa",
        "panel": "#ffffff",
        "line": "#e4e7ec",
        "ink": "#16181d",
        "ink-2": "#545b68",
        "ink-3": "#6b7280",
        "accent": "#2457c5",
        "good": "#1f7a4d",
        "warn": "#9a5b00",
        "bad": "#b3261e",
        "spoke": "#c9ced8",
        "guide": "#e4e7ec",
        "neutral": "#f3f4f6",
    },
    "dark": {
        "background": "#0f1115",
        "panel": "#16191f",
        "line": "#282d36",
        "ink": "#eceef2",
        "ink-2": "#a9b0bd",
        "ink-3": "#8b93a1",
        "accent": "#7ea6ff",
        "good": "#5cc391",
        "warn": "#e0a84e",
        "bad": "#ff8a80",
        "spoke": "#454c59",
        "guide": "#282d36",
        "neutral": "#1d2128",
    },
}
HEAD_COLOURS: dict[Theme, dict[str, str]] = {
    "light": {
        "nearest-etf": "#2457c5",
        "fixed-etf": "#c4561a",
        "linear": "#6d7480",
        "learned-etf": "#1f7a4d",
        "other-0": "#8a3fa0",
        "other-1": "#0f7f8c",
        "other-2": "#a3305c",
        "other-3": "#6b6a00",
    },
    "dark": {
        "nearest-etf": "#7ea6ff",
        "fixed-etf": "#f09a5e",
        "linear": "#9aa2b0",
        "learned-etf": "#5cc391",
        "other-0": "#c58be0",
        "other-1": "#4fc3cf",
        "other-2": "#ef7fa8",
        "other-3": "#c4c04a",
    },
}
"""Colours of heads; a head that is not listed has one of the last four (`head_key`)."""
LOW, HIGH = "#2166ac", "#b2182b"
"""The ends of the cosine heatmap's diverging scale; its middle is the panel's tint (`neutral`)."""
MIN_COLOUR_RANGE: dict[str, float] = {"cos": 0.25, "angle": 15.0}
"""Smallest half range of that scale around the ideal, in cosines or degrees: a collapsed run has neutral colours."""


COLOURED_CLASSES = 30
"""Classes up to which each has a colour of its own, and its name beside its mark."""
LIGHTNESS, CHROMA = 0.68, 0.12
"""OKLCH lightness and chroma of even hues: readable on both themes, inside sRGB for every hue."""


def head_key(head: str) -> str:
    """Return the key of a head's colour in `HEAD_COLOURS`: its name or, if that is not listed, one of the others."""
    others = [key for key in HEAD_COLOURS["light"] if key.startswith("other-")]
    return head if head in HEAD_COLOURS["light"] else others[zlib.crc32(head.encode()) % len(others)]


def class_colours(classes: int) -> list[str]:
    """Return one colour a class: Petroff's ten, even hues at one OKLCH lightness up to 30, one grey beyond."""
    if classes <= len(CLASSES_10):
        return list(CLASSES_10[:classes])
    if classes <= COLOURED_CLASSES:
        return [oklch(LIGHTNESS, CHROMA, 360 * index / classes) for index in range(classes)]
    return [TOKENS["light"]["ink-3"]] * classes


def oklch(lightness: float, chroma: float, hue_deg: float) -> str:
    """Return the sRGB colour of an OKLCH one, clipped to the gamut (Ottosson 2020)."""
    a = chroma * math.cos(math.radians(hue_deg))
    b = chroma * math.sin(math.radians(hue_deg))
    l, m, s = (  # noqa: E741  (the cones' own letters)
        (lightness + u * a + v * b) ** 3
        for u, v in ((0.3963377774, 0.2158037573), (-0.1055613458, -0.0638541728), (-0.0894841775, -1.2914855480))
    )
    linear = (
        4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
        -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
        -0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s,
    )
    return "#" + "".join(f"{round(255 * _gamma(min(max(part, 0.0), 1.0))):02x}" for part in linear)


def _gamma(part: float) -> float:
    return 12.92 * part if part <= 0.0031308 else 1.055 * part ** (1 / 2.4) - 0.055


LUMINANCE = (0.2126, 0.7152, 0.0722)
MATRICES: dict[ColourVision, npt.NDArray[np.float64]] = {
    "grey": np.array([LUMINANCE] * 3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def rgb_from_hex(colour: str) -> npt.NDArray[np.float64]:
    """Return red, green and blue of `#rrggbb`, each in [0, 1]."""
    return np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255


def hex_from_rgb(rgb: npt.NDArray[np.float64]) -> str:
    """Return a colour as `#rrggbb`."""
    return "#" + "".join(f"{round(255 * float(part)):02x}" for part in rgb.clip(0, 1))


@functools.cache
def simulate(colour: str, sight: ColourVision) -> str:
    """Return the colour that a person with the given colour vision perceives for `#rrggbb`."""
    if sight == "colour":
        return colour
    encoded = rgb_from_hex(colour)
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    changed = (MATRICES[sight] @ linear).clip(0, 1)
    return hex_from_rgb(np.where(changed <= 0.0031308, 12.92 * changed, 1.055 * changed ** (1 / 2.4) - 0.055))


def blend_with_white(colour: str, opacity: float) -> str:
    """Return a colour blended with white at an opacity in [0, 1]."""
    return hex_from_rgb(1 - opacity * (1 - rgb_from_hex(colour)))
