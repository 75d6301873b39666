"""Cross-entropy and top-1 accuracy of the classifier that evaluation uses."""

from __future__ import annotations

import numpy as np

from ncengine.metrics.snapshot import Snapshot
from ncengine.metrics.spec import MetricSpec, zero


def loss(snapshot: Snapshot) -> float | None:
    """Return the mean cross-entropy −log softmax(Wh + b)_y in nats."""
    logits_NK = snapshot.logits_NK
    if logits_NK is None:
        return None
    peak_N1 = logits_NK.max(axis=1, keepdims=True)
    log_sum_N = np.log(np.exp(logits_NK - peak_N1).sum(axis=1)) + peak_N1[:, 0]
    return float((log_sum_N - logits_NK[np.arange(len(logits_NK)), snapshot.labels_N]).mean())


def top1(snapshot: Snapshot) -> float | None:
    """Return the share of samples whose largest logit is their own class's, in [0, 1]."""
    logits_NK = snapshot.logits_NK
    return None if logits_NK is None else float((logits_NK.argmax(axis=1) == snapshot.labels_N).mean())


LOSS = MetricSpec(
    "loss", "Cross-entropy", "−log p_y", "low", zero, "", "Mean cross-entropy in evaluation mode, in nats.", loss
)
TOP1 = MetricSpec(
    "top1",
    "Top-1 accuracy",
    "P[argmax = y]",
    "high",
    lambda _classes: 1.0,
    "",
    "Share of samples classified right.",
    top1,
)
