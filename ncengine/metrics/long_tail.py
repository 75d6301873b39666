"""Minority collapse: what becomes of the classes with few samples (Fang et al. 2021).

Classes are parted by their number of training samples: head above the geometric mean of the largest and the smallest,
tail below. Absent on training data whose classes are within a factor of two. Under strong imbalance the tail's
classifier rows, and then its class means, become parallel: their cosine goes to 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ncengine.metrics.spec import MetricSpec, Moments, Samples, Which, for_both, one, rows_of, simplex_cosine

if TYPE_CHECKING:
    from torch import Tensor

    from ncengine.metrics.samples import Block
    from ncengine.metrics.snapshot import Snapshot

Group = Literal["head", "tail"]
SOURCE = "Fang et al. 2021"


def classes_of(snapshot: Snapshot, group: Group) -> Tensor | None:
    """Return the positions of a group among the classes present; None on balanced training data."""
    return None if snapshot.groups is None else snapshot.groups[0 if group == "head" else 1]


def mean_cosine(group: Group, which: Which) -> Moments:
    """Return how the mean cosine within a group is read; absent for a group of one class."""

    def value(snapshot: Snapshot) -> float | None:
        rows, members = rows_of(snapshot, which), classes_of(snapshot, group)
        return None if rows is None or members is None or len(members) < 2 else rows.mean_cosine_among(members)

    return Moments(value)


def norm_ratio(which: Which) -> Moments:
    """Return how the ratio of mean norms, head over tail, is read."""

    def value(snapshot: Snapshot) -> float | None:
        rows, groups = rows_of(snapshot, which), snapshot.groups
        if rows is None or groups is None or not bool((rows.norms_K[groups[1]] > 0).any()):
            return None
        head, tail = (float(rows.norms_K[members].mean()) for members in groups)
        return head / tail

    return Moments(value)


def accuracy(group: Group) -> Samples:
    """Return how a group's accuracy is read: samples of other classes are left out."""

    def value(block: Block) -> Tensor | None:
        members = classes_of(block.snapshot, group)
        if members is None or block.predicted_B is None:
            return None
        right_B = (block.predicted_B == block.labels_B).double()
        labels = block.snapshot.present[members]
        return right_B.masked_fill(~(block.labels_B[:, None] == labels).any(1), float("nan"))

    return Samples(value)


def _cosine_spec(group: Group, which: Which, of: str) -> MetricSpec:
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
        how=mean_cosine(group, which),
    )


def _ratio_spec(which: Which, of: str) -> MetricSpec:
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
        how=norm_ratio(which),
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
        how=accuracy(group),
        share=True,
    )


LONG_TAIL: tuple[MetricSpec, ...] = (
    *for_both(lambda which, of: _cosine_spec("head", which, of)),
    *for_both(lambda which, of: _cosine_spec("tail", which, of)),
    *for_both(_ratio_spec),
    _accuracy_spec("head"),
    _accuracy_spec("tail"),
)
