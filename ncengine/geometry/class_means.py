"""Class means of a batch and their running average (Markou et al. 2024, §3.3; their released code for α_t).

    H_t = α_t H_batch + (1 − α_t) stopgrad(H_{t−1}),   H_batch column c = mean_{y_i = c} h_i − mean_i h_i

A class absent from the batch keeps its running mean and gets no gradient; a class never seen has a zero column
(centred means, so zero is neutral). The first time a class is seen its column is the batch's own: averaging it with
the neutral zero would shrink it by α_t, and it would take t steps to recover.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Averaging = Literal["ema-decay", "cma", "ema"]


def averaging_weight(step: int, averaging: Averaging, half_life_steps: float = 100.0) -> float:
    """Return α_t for step t = 1, 2, …: `ema-decay` max(2/(t+1), 1e-4), `cma` 1/t, `ema` 1 − 2^(−1/half-life)."""
    if averaging == "ema-decay":
        return float(max(2.0 / (step + 1), 1e-4))
    if averaging == "cma":
        return 1.0 / step
    if averaging == "ema":
        return 1.0 if step == 1 else float(1.0 - 2.0 ** (-1.0 / half_life_steps))
    raise ValueError(f"averaging must be 'ema-decay', 'cma' or 'ema', got {averaging!r}")


def batch_class_means(features_BD: Tensor, labels_B: Tensor, classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return centred class means (D, K), the batch's global mean (D,) and which classes are present (K, bool).

    Columns of absent classes are zero. Gradient flows to the features through both means.
    """
    one_hot_BK = torch.nn.functional.one_hot(labels_B, classes).to(features_BD.dtype)
    counts_K = one_hot_BK.sum(0)
    present_K = counts_K > 0
    global_D = features_BD.mean(0)
    sums_DK = features_BD.mT @ one_hot_BK
    means_DK = (sums_DK / counts_K.clamp(min=1) - global_D[:, None]) * present_K
    return means_DK, global_D, present_K
