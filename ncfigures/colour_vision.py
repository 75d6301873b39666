"""How colours are seen: in grey, or by people with a colour-vision deficiency.

The matrices are those of Machado, Oliveira, Fernandes 2009, "A Physiologically-based Model for Simulation of Color
Vision Deficiency", table 1, severity 1.0, for linear RGB. Grey has the same luminance (Rec. 709).
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from ncfigures.catalogue import ColourVision

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
    """Return the three parts of `#rrggbb`, of 0 … 1."""
    return np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255


def hex_from_rgb(rgb: npt.NDArray[np.float64]) -> str:
    """Return `#rrggbb`."""
    return "#" + "".join(f"{round(255 * float(part)):02x}" for part in rgb.clip(0, 1))


@functools.cache
def simulate(colour: str, sight: ColourVision) -> str:
    """Return how a colour `#rrggbb` looks."""
    if sight == "colour":
        return colour
    encoded = rgb_from_hex(colour)
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    changed = (MATRICES[sight] @ linear).clip(0, 1)
    return hex_from_rgb(np.where(changed <= 0.0031308, 12.92 * changed, 1.055 * changed ** (1 / 2.4) - 0.055))


def blend_with_white(colour: str, opacity: float) -> str:
    """Return a colour as it looks on white at an opacity of 0 … 1."""
    return hex_from_rgb(1 - opacity * (1 - rgb_from_hex(colour)))
