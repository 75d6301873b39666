"""Norms: whether classifier and class means are equally unequal, and the length of features."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ncengine.metrics.nc2_equinorm import equinorm
from ncengine.metrics.spec import MetricSpec, Moments, rows_of, zero

if TYPE_CHECKING:
    from ncengine.metrics.snapshot import Snapshot


def equinorm_gap(snapshot: Snapshot) -> float | None:
    """Return |nc2_equinorm_weights − nc2_equinorm_means|."""
    means, weights = rows_of(snapshot, "means"), rows_of(snapshot, "weights")
    return None if means is None or weights is None else abs(equinorm(weights) - equinorm(means))


WH_EQUINORM_GAP = MetricSpec(
    key="wh_equinorm_gap",
    label="Gap of equal norms, classifier and means",
    symbol="|std/mean ‖w_c‖ − std/mean ‖m_c‖|",
    formula="|nc2_equinorm_weights − nc2_equinorm_means|",
    family="Norms",
    direction="low",
    ideal=zero,
    source="Markou, Ajanthan, Gould 2024",
    reading="Whether the classifier's norms are as unequal as those of the class means.",
    how=Moments(equinorm_gap),
)
FEATURE_NORM_MEAN = MetricSpec(
    key="feature_norm_mean",
    label="Norm of features",
    symbol="mean ‖h‖",
    formula="mean over samples of ‖h‖",
    family="Norms",
    direction="low",
    ideal=None,
    source="this project",
    reading="How long features are; constant on a sphere, and otherwise what weight decay and the loss pull at.",
    how=Moments(lambda snapshot: snapshot.norms[0] if snapshot.count else None),
)
FEATURE_NORM_STD = MetricSpec(
    key="feature_norm_std",
    label="Spread of the features' norms",
    symbol="std ‖h‖",
    formula="std over samples of ‖h‖",
    family="Norms",
    direction="low",
    ideal=None,
    source="this project",
    reading="How unequal the lengths of features are, all samples together.",
    how=Moments(lambda snapshot: snapshot.norms[1] if snapshot.count else None),
)
