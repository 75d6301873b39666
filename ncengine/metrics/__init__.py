"""Neural-collapse metrics on NumPy moments. A new metric is one file and one line in `METRICS`."""

from __future__ import annotations

from ncengine.metrics.classification import LOSS, TOP1
from ncengine.metrics.margin import COSINE_MARGIN
from ncengine.metrics.nc1 import NC1
from ncengine.metrics.nc2 import NC2
from ncengine.metrics.nc3 import NC3
from ncengine.metrics.nc4 import NC4_NCC_MISMATCH
from ncengine.metrics.snapshot import Snapshot
from ncengine.metrics.spec import MetricSpec

METRICS: dict[str, MetricSpec] = {
    spec.key: spec for spec in (LOSS, TOP1, NC1, *NC2, NC3, NC4_NCC_MISMATCH, COSINE_MARGIN)
}


def evaluate(snapshot: Snapshot) -> dict[str, float]:
    """Return every metric that is defined for the snapshot, by key."""
    values = ((key, spec.value(snapshot)) for key, spec in METRICS.items())
    return {key: value for key, value in values if value is not None}


__all__ = ["METRICS", "MetricSpec", "Snapshot", "evaluate"]
