"""Time to collapse, and the layer at which collapse begins. No torch is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

NCC_SEPARABLE = 0.99
"""Accuracy of the nearest class mean from which a layer's classes count as separated (Galanti et al. 2023)."""


def time_to_collapse(
    epochs: Sequence[int],
    values: Sequence[float | None],
    threshold: float,
    direction: Literal["low", "high"] = "low",
) -> int | None:
    """Return the first of `epochs` from which on all `values` are at or beyond `threshold`; None if there is none.

    Beyond is below for `low`, above for `high`. An epoch without a value (None, NaN) is not beyond. Raises ValueError
    if epochs and values have different lengths.
    """
    if len(epochs) != len(values):
        raise ValueError(f"epochs and values must be equally many, got {len(epochs)} and {len(values)}")
    first = None
    for epoch, value in zip(reversed(epochs), reversed(values), strict=True):
        reached = value is not None and (value <= threshold if direction == "low" else value >= threshold)
        if not reached:
            break
        first = epoch
    return first


def collapse_layer(layers: Mapping[str, Mapping[str, float]], last: Mapping[str, float], name: str) -> str | None:
    """Return the first layer from which on the nearest class mean is right for 99 % of the samples.

    `layers` maps names, in the order of the forward pass, to metrics with `ncc_accuracy`; `last` are those of the
    penultimate features, returned as `name` if no earlier layer qualifies; None if they do not either.
    """
    found = None
    for layer, scalars in reversed([*layers.items(), (name, last)]):
        if scalars.get("ncc_accuracy", 0.0) < NCC_SEPARABLE:
            break
        found = layer
    return found
