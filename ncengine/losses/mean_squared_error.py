"""Mean squared error of the logits.

(1/K) (w (z_y − M)² + Σ_{c≠y} z_c²),   w the weight and M the target of the true class (Hui, Belkin 2021, eq. 3)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ncengine.losses.registry import LossConfig

if TYPE_CHECKING:
    from torch import Tensor


class MeanSquaredError(LossConfig):
    """Mean squared error of the logits (Hui, Belkin 2021)."""

    name: Literal["mse"] = "mse"
    weight: float = Field(default=1.0, gt=0, le=1e4, title="Weight of the true class")
    """Weight of the true class's squared error; 15 is used for many classes."""
    target: float = Field(default=1.0, gt=0, le=1e4, title="Target of the true class")
    """Target logit of the true class; the others have target 0. 30 is used for many classes."""

    def loss(self, logits_BK: Tensor, labels_B: Tensor) -> Tensor:
        """Return the mean squared error (a scalar)."""
        true_B = logits_BK.gather(1, labels_B[:, None])[:, 0]
        others_B = logits_BK.square().sum(1) - true_B.square()
        return (self.weight * (true_B - self.target).square() + others_B).mean() / logits_BK.shape[1]
