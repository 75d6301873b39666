"""Every colour of the project, in one place: pages, live pictures and exported figures read them here."""

from __future__ import annotations

import colorsys
from typing import Literal

Theme = Literal["light", "dark"]

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
HEADS: dict[Theme, dict[str, str]] = {
    "light": {"nearest-etf": "#2457c5", "fixed-etf": "#c4561a", "linear": "#6d7480", "learned-etf": "#1f7a4d"},
    "dark": {"nearest-etf": "#7ea6ff", "fixed-etf": "#f09a5e", "linear": "#9aa2b0", "learned-etf": "#5cc391"},
}
LOW, HIGH = "#2166ac", "#b2182b"
"""The ends of the cosine heatmap's diverging scale; its middle is the panel's tint (`neutral`)."""


def class_colours(classes: int) -> list[str]:
    """Return one colour a class: Petroff's ten, evenly spaced hues up to 30, one grey beyond."""
    if classes <= len(CLASSES_10):
        return list(CLASSES_10[:classes])
    if classes <= 30:
        return [_hex(colorsys.hls_to_rgb(index / classes, 0.5, 0.5)) for index in range(classes)]
    return [TOKENS["light"]["ink-3"]] * classes


def _hex(rgb: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in rgb)
