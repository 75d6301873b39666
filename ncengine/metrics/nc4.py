"""NC4: the classifier decides as the nearest class mean would (Papyan, Han, Donoho 2020), and how well that decides.

The class means are those of the training split, also for test samples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ncengine.metrics.spec import MetricSpec, Moments, Samples, one, zero

if TYPE_CHECKING:
    from torch import Tensor

    from ncengine.metrics.samples import Block
    from ncengine.metrics.snapshot import Snapshot


def mismatch(block: Block) -> Tensor | None:
    """Return whether argmax(Wh + b) and argmin_c ‖h − μ_c‖ differ, of each sample."""
    if block.predicted_B is None or block.nearest_mean_B is None:
        return None
    return block.predicted_B != block.nearest_mean_B


def nearest_is_own(block: Block) -> Tensor | None:
    """Return whether the nearest class mean is that of the sample's own class."""
    return None if block.nearest_mean_B is None else block.nearest_mean_B == block.labels_B


def bias_residual(snapshot: Snapshot) -> float | None:
    """Return ‖W μ_G + b‖₂, over the classes present, in the units of the logits."""
    logits_K = snapshot.center_logits_K
    if logits_K is None or not snapshot.classes:
        return None
    return float((snapshot.of_present(logits_K) ** 2).sum().sqrt())


NC4_NCC_MISMATCH = MetricSpec(
    key="nc4_ncc_mismatch",
    label="NC4 nearest-mean disagreement",
    symbol="P[argmax(Wh+b) ≠ argmin‖h−μ_c‖]",
    formula="share of samples with argmax(Wh + b) ≠ argmin_c ‖h − μ_c‖",
    family="NC4",
    direction="low",
    ideal=zero,
    source="Papyan, Han, Donoho 2020",
    reading="Share of samples that the nearest class mean would put into another class than the classifier does.",
    how=Samples(mismatch),
    share=True,
)
NC4_BIAS = MetricSpec(
    key="nc4_bias",
    label="NC4 logits at the global mean",
    symbol="‖W μ_G + b‖",
    formula="‖W μ_G + b‖₂",
    family="NC4",
    direction="low",
    ideal=zero,
    source="Zhu et al. 2021",
    reading="How far the classifier prefers some classes at the centre of all class means; 0 when the bias takes the "
    "global mean out.",
    how=Moments(bias_residual),
)
NCC_ACCURACY = MetricSpec(
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
    how=Samples(nearest_is_own),
    share=True,
)
