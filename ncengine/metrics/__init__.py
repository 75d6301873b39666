"""Neural-collapse metrics. A metric is a function and an entry in `SPECS` of its family; no torch is loaded here."""

from __future__ import annotations

from ncengine.metrics import classification, long_tail, margins, nc1, nc2, nc3, nc4, norms, ood
from ncengine.metrics.registry import MetricSpec, by_key

FAMILIES = (classification, nc1, nc2, nc3, nc4, margins, norms, ood, long_tail)
METRICS: dict[str, MetricSpec] = by_key(spec for family in FAMILIES for spec in family.SPECS)
"""All metrics by key, in the order in which they are computed, stored and shown."""


def catalogue() -> tuple[MetricSpec, ...]:
    """Return the description of every metric: formula, direction, ideal, source and explanation."""
    return tuple(METRICS.values())


__all__ = ["METRICS", "MetricSpec", "catalogue"]
