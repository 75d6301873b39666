"""Losses by config: logits (B, K) and labels (B) to a scalar, in float32 or better.

    cross-entropy  −Σ_c t_c log softmax(z)_c,  t = (1 − ε) e_y + ε/K        (Szegedy et al. 2016)
    mse            (1/K) (w (z_y − M)² + Σ_{c≠y} z_c²)                        (Hui, Belkin 2021, eq. 3)

each averaged over the batch.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from ncengine import config as cfg


def loss_of(config: cfg.LossConfig, logits_BK: Tensor, labels_B: Tensor) -> Tensor:
    """Return the loss that `config` describes."""
    match config:
        case cfg.CrossEntropy():
            return functional.cross_entropy(logits_BK, labels_B, label_smoothing=config.label_smoothing)
        case cfg.MeanSquaredError():
            true_B = logits_BK.gather(1, labels_B[:, None])[:, 0]
            others_B = logits_BK.square().sum(1) - true_B.square()
            return (config.weight * (true_B - config.target).square() + others_B).mean() / logits_BK.shape[1]
