"""Cross-entropy and accuracy of the classifier that evaluation uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ncengine.metrics.spec import MetricSpec, Samples, one, zero

if TYPE_CHECKING:
    from torch import Tensor

    from ncengine.metrics.samples import Block


def loss(block: Block) -> Tensor | None:
    """Return −log softmax(Wh + b)_y in nats, of each sample."""
    logits_BK = block.logits_BK
    if logits_BK is None:
        return None
    return logits_BK.logsumexp(1) - logits_BK.gather(1, block.labels_B[:, None])[:, 0]


def top1(block: Block) -> Tensor | None:
    """Return whether the largest logit is the own class's."""
    return None if block.predicted_B is None else block.predicted_B == block.labels_B


def top5(block: Block) -> Tensor | None:
    """Return whether the own class's logit is among the five largest; None with fewer than five classes."""
    if block.logits_BK is None or block.logits_BK.shape[1] < 5:
        return None
    return (block.logits_BK.topk(5).indices == block.labels_B[:, None]).any(1)


LOSS = MetricSpec(
    key="loss",
    label="Cross-entropy",
    symbol="−log p_y",
    formula="mean over samples of −log softmax(Wh + b)_y",
    family="Accuracy",
    direction="low",
    ideal=zero,
    source="standard definition",
    reading="Mean cross-entropy in evaluation mode, in nats.",
    how=Samples(loss),
)
TOP1 = MetricSpec(
    key="top1",
    label="Top-1 accuracy",
    symbol="P[argmax = y]",
    formula="share of samples with argmax(Wh + b) = y",
    family="Accuracy",
    direction="high",
    ideal=one,
    source="standard definition",
    reading="Share of samples classified right.",
    how=Samples(top1),
    share=True,
)
TOP5 = MetricSpec(
    key="top5",
    label="Top-5 accuracy",
    symbol="P[y among the top 5]",
    formula="share of samples whose own logit is among the five largest",
    family="Accuracy",
    direction="high",
    ideal=one,
    source="standard definition",
    reading="Share of samples whose class is among the five that the classifier finds likeliest; absent below five "
    "classes.",
    how=Samples(top5),
    share=True,
)
