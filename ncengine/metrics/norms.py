"""Norms: whether classifier and class means are equally unequal, and the length of features."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ncengine.metrics.metric_spec import FromStatistics, MetricSpec, from_means_and_weights, zero
from ncengine.metrics.nc2 import equinorm

if TYPE_CHECKING:
    from ncengine.metrics.vectors import Vectors


def equinorm_gap(centred_means: Vectors, weights: Vectors) -> float:
    """Compute |nc2_equinorm_weights − nc2_equinorm_means|, with `weights` centred."""
    return abs(equinorm(weights) - equinorm(centred_means))


SPECS = (
    MetricSpec(
        key="wh_equinorm_gap",
        label="Gap of equal norms, classifier and means",
        symbol="|std/mean ‖w_c‖ − std/mean ‖m_c‖|",
        formula="|nc2_equinorm_weights − nc2_equinorm_means|",
        family="Norms",
        direction="low",
        ideal=zero,
        source="Markou, Ajanthan, Gould 2024",
        reading="Whether the classifier's norms are as unequal as those of the class means.",
        computation=from_means_and_weights(equinorm_gap),
    ),
    MetricSpec(
        key="feature_norm_mean",
        label="Norm of features",
        symbol="mean ‖h‖",
        formula="mean over samples of ‖h‖",
        family="Norms",
        direction="low",
        ideal=None,
        source="this project",
        reading="How long features are; constant on a sphere, and otherwise what weight decay and the loss pull at.",
        computation=FromStatistics(lambda statistics: statistics.feature_norms[0] if statistics.count else None),
    ),
    MetricSpec(
        key="feature_norm_std",
        label="Spread of the features' norms",
        symbol="std ‖h‖",
        formula="std over samples of ‖h‖",
        family="Norms",
        direction="low",
        ideal=None,
        source="this project",
        reading="How unequal the lengths of features are, all samples together.",
        computation=FromStatistics(lambda statistics: statistics.feature_norms[1] if statistics.count else None),
    ),
)
