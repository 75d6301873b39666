"""Every metric of a snapshot that is defined there: moments first, then all pairs, then the kept samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ncengine.metrics.pairs import values_over_pairs
from ncengine.metrics.samples import Decisions, second_pass
from ncengine.metrics.snapshot import Snapshot
from ncengine.metrics.spec import Classwise, MetricSpec, Moments


@dataclass(frozen=True, eq=False)
class Found:
    """Values by key; of those that are not exact, errors and of how many samples; and what the second pass decided."""

    scalars: dict[str, float]
    errors: dict[str, float]
    sizes: dict[str, int]
    decisions: Decisions
    means_coincide: bool
    overflowed: bool
    """Whether some value did not fit into a float64, and was left out."""


def evaluate(snapshot: Snapshot, metrics: Mapping[str, MetricSpec]) -> Found:
    """Return all metrics that are defined for the snapshot, in the order of `metrics`."""
    values: dict[str, float | None] = {}
    decisions = second_pass(snapshot, metrics)
    errors, sizes = dict(decisions.errors), dict(decisions.sizes)
    for key, spec in metrics.items():
        if isinstance(spec.how, Moments):
            values[key] = spec.how.value(snapshot)
        elif isinstance(spec.how, Classwise):
            found = spec.how.value(snapshot)
            if found is None:
                continue
            values[key], error, sizes[key] = found
            if error is not None:
                errors[key] = error
    pairs, coincide = values_over_pairs(snapshot, metrics)
    values |= pairs | decisions.values
    defined = {key: value for key in metrics if (value := values.get(key)) is not None}
    scalars = {key: value for key, value in defined.items() if math.isfinite(value)}
    errors = {key: error for key, error in errors.items() if key in scalars and math.isfinite(error)}
    sizes = {key: size for key, size in sizes.items() if key in scalars}
    return Found(scalars, errors, sizes, decisions, coincide, overflowed=len(scalars) < len(defined))
