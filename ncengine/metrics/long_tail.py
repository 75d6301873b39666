"""Minority collapse on long-tailed data: metrics of the classes with many and with few samples (Fang et al. 2021).

Classes are divided by their number of training samples: the head is above the geometric mean of the largest and the
smallest class, the tail below (`statistics.split_head_and_tail`). The metrics are absent on training data whose classes
are within a factor of two. Under strong imbalance the tail's classifier rows, and then its class means, become
parallel: their cosine goes to 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ncengine.metrics.metric_spec import FromStatistics, MetricSpec, for_means_and_weights, one
from ncengine.metrics.pairs import simplex_cosine
from ncengine.metrics.samples import OverSamples, SampleBatch
from ncengine.metrics.vectors import CentredVectors

if TYPE_CHECKING:
    from torch import Tensor

    from ncengine.metrics.statistics import SplitStatistics, VectorSet
    from ncengine.metrics.vectors import Vectors

Group = Literal["head", "tail"]
SOURCE = "Fang et al. 2021"


def group_cosine(vectors: Vectors, positions: Tensor) -> float | None:
    """Compute the mean cosine over pairs i ≠ j of some of the vectors (K, D), in [−1, 1]; None with fewer than two."""
    return CentredVectors.of_centred(vectors).mean_cosine_among(positions) if len(positions) >= 2 else None


def norm_ratio(vectors: Vectors, head: Tensor, tail: Tensor) -> float | None:
    """Compute the mean norm over the head divided by that over the tail; None if all of the tail's are zero."""
    norms_K = CentredVectors.of_centred(vectors).norms_K
    if not bool((norms_K[tail] > 0).any()):
        return None
    head_norm, tail_norm = (float(norms_K[positions].mean()) for positions in (head, tail))
    return head_norm / tail_norm


def group_correct(predictions_B: Tensor, labels_B: Tensor, group_labels: Tensor) -> Tensor:
    """Return 1 for samples classified right and 0 for others (B,); NaN for samples of other classes."""
    correct_B = (predictions_B == labels_B).double()
    return correct_B.masked_fill(~(labels_B[:, None] == group_labels).any(1), float("nan"))


def _positions(statistics: SplitStatistics, group: Group) -> Tensor | None:
    groups = statistics.head_and_tail
    return None if groups is None else groups[0 if group == "head" else 1]


def _group_cosine(group: Group, which: VectorSet) -> FromStatistics:
    def compute(statistics: SplitStatistics) -> float | None:
        vectors, positions = statistics.vectors(which), _positions(statistics, group)
        return None if vectors is None or positions is None else group_cosine(vectors, positions)

    return FromStatistics(compute)


def _norm_ratio(which: VectorSet) -> FromStatistics:
    def compute(statistics: SplitStatistics) -> float | None:
        vectors, groups = statistics.vectors(which), statistics.head_and_tail
        return None if vectors is None or groups is None else norm_ratio(vectors, *groups)

    return FromStatistics(compute)


def _group_accuracy(group: Group) -> OverSamples:
    def term(batch: SampleBatch) -> Tensor | None:
        positions = _positions(batch.statistics, group)
        if positions is None or batch.predictions_B is None:
            return None
        return group_correct(batch.predictions_B, batch.labels_B, batch.statistics.present[positions])

    return OverSamples(term)


def _cosine_spec(group: Group, which: VectorSet, of: str) -> MetricSpec:
    vector = "m" if which == "means" else "w"
    return MetricSpec(
        key=f"{group}_cosine_{which}",
        label=f"Cosine within the {group}{of}",
        symbol=f"mean cos within the {group}",
        formula=f"mean_{{i≠j}} cos({vector}_i, {vector}_j) over the {group}'s classes",
        family="Long tail",
        direction="low",
        ideal=simplex_cosine,
        source=SOURCE,
        reading=f"How close in angle the {group}'s classes are; 1 when they have become one (minority collapse).",
        computation=_group_cosine(group, which),
    )


def _ratio_spec(which: VectorSet, of: str) -> MetricSpec:
    vector = "m_c" if which == "means" else "w_c"
    return MetricSpec(
        key=f"head_tail_norm_ratio_{which}",
        label=f"Norms, head over tail{of}",
        symbol=f"mean ‖{vector}‖ head/tail",
        formula=f"mean ‖{vector}‖ over the head / mean ‖{vector}‖ over the tail",
        family="Long tail",
        direction="low",
        ideal=one,
        source=SOURCE,
        reading="How much longer the vectors of classes with many samples are; 1 when all are as long.",
        computation=_norm_ratio(which),
    )


def _accuracy_spec(group: Group) -> MetricSpec:
    return MetricSpec(
        key=f"{group}_top1",
        label=f"Top-1 accuracy of the {group}",
        symbol=f"P[argmax = y], {group}",
        formula=f"share of the {group}'s samples with argmax(Wh + b) = y",
        family="Long tail",
        direction="high",
        ideal=one,
        source=SOURCE,
        reading=f"Share of the samples of classes with {'many' if group == 'head' else 'few'} training samples that "
        "are classified right.",
        computation=_group_accuracy(group),
        share=True,
    )


SPECS = (
    *for_means_and_weights(lambda which, of: _cosine_spec("head", which, of)),
    *for_means_and_weights(lambda which, of: _cosine_spec("tail", which, of)),
    *for_means_and_weights(_ratio_spec),
    _accuracy_spec("head"),
    _accuracy_spec("tail"),
)
