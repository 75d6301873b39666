"""Class means of a batch and their running average (Markou et al. 2024, §3.3; their released code for α_t).

    H_t = α_t H_batch + (1 − α_t) stopgrad(H_{t−1}),   H_batch column c = mean_{y_i = c} h_i − mean_i h_i

A class absent from the batch keeps its running mean and gets no gradient; a class without samples so far has a zero
column. The first time a class has samples its column is the batch's mean: averaging it with the zero column would
shrink it by α_t, and it would take t steps to recover.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ncengine.distributed import all_reduce_sum, world_size

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


def batch_shares(labels_B: Tensor, classes: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the weights (B, K+1) of a batch's means, and which classes are present (K) as zeros and ones.

    With several processes the batch is that of all of them: sums and counts are added, then divided.

    `features_BD.mT @ shares` holds the centred class means (D, K) and the batch's global mean (D) as its columns: each
    is a weighted sum of the batch, with 1/n_c − 1/B or −1/B for the class means and 1/B for the global mean. Columns
    of absent classes are zero.
    """
    one_hot_BC = torch.zeros(len(labels_B), classes + 1, dtype=dtype, device=labels_B.device)
    one_hot_BC.scatter_(1, labels_B[:, None], 1)
    counts_C = all_reduce_sum(one_hot_BC.sum(0))
    each = 1 / len(labels_B) if world_size() == 1 else 1 / float(counts_C.sum())
    present_C = counts_C.clamp(max=1)
    offset_C = present_C * each
    offset_C[-1] = -each
    return one_hot_BC.div_(counts_C.clamp_(min=1)).sub_(offset_C), present_C[:-1]
