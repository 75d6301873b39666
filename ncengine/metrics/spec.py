"""What a metric says about itself; labels and ideals on every page come from here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ncengine.metrics.snapshot import Snapshot

Direction = Literal["low", "high"]


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric: its formula as code (`value`), and what a reader needs to read its number.

    `value` returns None where the metric is not defined for this snapshot (no classifier given, no samples kept).
    `ideal` maps K to the value at perfect collapse, or is None where there is none.
    """

    key: str
    label: str
    symbol: str
    direction: Direction
    ideal: Callable[[int], float] | None
    source: str
    reading: str
    value: Callable[[Snapshot], float | None]


def zero(_classes: int) -> float:
    """The ideal of every distance."""
    return 0.0
