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
    """Values by key, the errors of those that are of a sample, and what the second pass decided of each sample."""

    scalars: dict[str, float]
    errors: dict[str, float]
    decisions: Decisions
    means_coincide: bool
    overflowed: bool
    """Whether some value did not fit into a float64, and was left out."""


def evaluate(snapshot: Snapshot, metrics: Mapping[str, MetricSpec]) -> Found:
    """Return all metrics that are defined for the snapshot, in the order of `metrics`."""
    values: dict[str, float | None] = {}
    decisions = second_pass(snapshot, metrics)
    errors = dict(decisions.errors)
    for key, spec in metrics.items():
        if isinstance(spec.how, Moments):
            values[key] = spec.how.value(snapshot)
        elif isinstance(spec.how, Classwise):
            found = spec.how.value(snapshot)
            values[key] = None if found is None else found[0]
            if found is not None and found[1] is not None:
                errors[key] = found[1]
    pairs, coincide = values_over_pairs(snapshot, metrics)
    values |= pairs | decisions.values
    defined = {key: value for key in metrics if (value := values.get(key)) is not None}
    scalars = {key: value for key, value in defined.items() if math.isfinite(value)}
    errors = {key: error for key, error in errors.items() if key in scalars and math.isfinite(error)}
    return Found(scalars, errors, decisions, coincide, overflowed=len(scalars) < len(defined))
