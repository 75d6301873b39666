"""All metrics by key.

To add a metric: a function and its `MetricSpec` in `SPECS` of a module, and a line in `METRICS`.
"""

from __future__ import annotations

from operator import attrgetter

from ncengine.components import Registry
from ncengine.metrics.metric_spec import MetricSpec

METRICS: Registry[MetricSpec] = Registry(
    "collapse_lab.metrics",
    (
        "ncengine.metrics.classification:SPECS",
        "ncengine.metrics.nc1:SPECS",
        "ncengine.metrics.nc2:SPECS",
        "ncengine.metrics.nc3:SPECS",
        "ncengine.metrics.nc4:SPECS",
        "ncengine.metrics.margins:SPECS",
        "ncengine.metrics.norms:SPECS",
        "ncengine.metrics.ood:SPECS",
        "ncengine.metrics.long_tail:SPECS",
    ),
    attrgetter("key"),
)
"""All metrics by key, in the order in which they are computed, stored and shown."""


def catalogue() -> tuple[MetricSpec, ...]:
    """Return the description of every metric: formula, direction, ideal, source and explanation."""
    return tuple(METRICS.values())
