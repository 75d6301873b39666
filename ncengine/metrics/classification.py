"""Cross-entropy and accuracy of the classifier that evaluation uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ncengine.metrics.metric_spec import MetricSpec, one, zero
from ncengine.metrics.samples import OverSamples, SampleBatch

if TYPE_CHECKING:
    from torch import Tensor


def cross_entropy(logits_BK: Tensor, labels_B: Tensor) -> Tensor:
    """Compute −log softmax(Wh + b)_y in nats (B,)."""
    return logits_BK.logsumexp(1) - logits_BK.gather(1, labels_B[:, None])[:, 0]


def topk_correct(logits_BK: Tensor, labels_B: Tensor, k: int) -> Tensor | None:
    """Return whether the sample's own logit is among the `k` largest (B,); None with fewer than `k` classes."""
    if logits_BK.shape[1] < k:
        return None
    return (logits_BK.topk(k).indices == labels_B[:, None]).any(1)


def _cross_entropy(batch: SampleBatch) -> Tensor | None:
    return None if batch.logits_BK is None else cross_entropy(batch.logits_BK, batch.labels_B)


def _top1(batch: SampleBatch) -> Tensor | None:
    return None if batch.predictions_B is None else batch.predictions_B == batch.labels_B


def _top5(batch: SampleBatch) -> Tensor | None:
    return None if batch.logits_BK is None else topk_correct(batch.logits_BK, batch.labels_B, 5)


SPECS = (
    MetricSpec(
        key="loss",
        label="Cross-entropy",
        symbol="−log p_y",
        formula="mean over samples of −log softmax(Wh + b)_y",
        family="Accuracy",
        direction="low",
        ideal=zero,
        source="standard definition",
        reading="Mean cross-entropy in evaluation mode, in nats.",
        computation=OverSamples(_cross_entropy),
    ),
    MetricSpec(
        key="top1",
        label="Top-1 accuracy",
        symbol="P[argmax = y]",
        formula="share of samples with argmax(Wh + b) = y",
        family="Accuracy",
        direction="high",
        ideal=one,
        source="standard definition",
        reading="Share of samples classified right.",
        computation=OverSamples(_top1),
        share=True,
    ),
    MetricSpec(
        key="top5",
        label="Top-5 accuracy",
        symbol="P[y among the top 5]",
        formula="share of samples whose own logit is among the five largest",
        family="Accuracy",
        direction="high",
        ideal=one,
        source="standard definition",
        reading="Share of samples whose class is among the five that the classifier finds likeliest; absent below "
        "five classes.",
        computation=OverSamples(_top5),
        share=True,
    ),
)
