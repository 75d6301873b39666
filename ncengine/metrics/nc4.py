"""NC4: the classifier decides as the nearest class mean does, and how accurate the nearest class mean is.

The class means are those of the training split, also for test samples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ncengine.metrics.metric_spec import FromStatistics, MetricSpec, one, zero
from ncengine.metrics.samples import OverSamples, SampleBatch

if TYPE_CHECKING:
    from torch import Tensor

    from ncengine.metrics.statistics import SplitStatistics


def ncc_mismatch(predictions_B: Tensor, nearest_means_B: Tensor) -> Tensor:
    """Return whether argmax(Wh + b) and argmin_c ‖h − μ_c‖ differ (B,). Source: Papyan, Han, Donoho (2020)."""
    return predictions_B != nearest_means_B


def nc4_bias(center_logits_K: Tensor) -> float:
    """Compute ‖W μ_G + b‖₂ from the logits at the global mean (K,), in their units. Source: Zhu et al. (2021)."""
    return float((center_logits_K**2).sum().sqrt())


def _mismatch(batch: SampleBatch) -> Tensor | None:
    if batch.predictions_B is None or batch.nearest_means_B is None:
        return None
    return ncc_mismatch(batch.predictions_B, batch.nearest_means_B)


def _nearest_is_own(batch: SampleBatch) -> Tensor | None:
    return None if batch.nearest_means_B is None else batch.nearest_means_B == batch.labels_B


def _bias(statistics: SplitStatistics) -> float | None:
    logits_K = statistics.center_logits_K
    return None if logits_K is None or not statistics.classes else nc4_bias(statistics.of_present(logits_K))


SPECS = (
    MetricSpec(
        key="nc4_ncc_mismatch",
        label="NC4 nearest-mean disagreement",
        symbol="P[argmax(Wh+b) ≠ argmin‖h−μ_c‖]",
        formula="share of samples with argmax(Wh + b) ≠ argmin_c ‖h − μ_c‖",
        family="NC4",
        direction="low",
        ideal=zero,
        source="Papyan, Han, Donoho 2020",
        reading="Share of samples that the nearest class mean would put into another class than the classifier does.",
        computation=OverSamples(_mismatch),
        share=True,
    ),
    MetricSpec(
        key="nc4_bias",
        label="NC4 logits at the global mean",
        symbol="‖W μ_G + b‖",
        formula="‖W μ_G + b‖₂",
        family="NC4",
        direction="low",
        ideal=zero,
        source="Zhu et al. 2021",
        reading="How far the classifier prefers some classes at the centre of all class means; 0 when the bias takes "
        "the global mean out.",
        computation=FromStatistics(_bias),
    ),
    MetricSpec(
        key="ncc_accuracy",
        label="Accuracy of the nearest class mean",
        symbol="P[argmin‖h−μ_c‖ = y]",
        formula="share of samples with argmin_c ‖h − μ_c‖ = y",
        family="NC4",
        direction="high",
        ideal=one,
        source="Galanti, György, Hutter 2021",
        reading="How many samples lie nearest to their own class mean: a linear probe that needs no training, also of "
        "hidden layers.",
        computation=OverSamples(_nearest_is_own),
        share=True,
    ),
)
