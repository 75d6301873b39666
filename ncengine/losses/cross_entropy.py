"""Cross-entropy of the softmax.

−Σ_c t_c log softmax(z)_c,   t = (1 − ε) e_y + ε/K,   ε the label smoothing (Szegedy et al. 2016)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ncengine.lazy_torch import torch
from ncengine.losses.registry import LossConfig

if TYPE_CHECKING:
    from torch import Tensor


class CrossEntropy(LossConfig):
    """Cross-entropy of the softmax."""

    name: Literal["cross-entropy"] = "cross-entropy"
    label_smoothing: float = Field(default=0.0, ge=0, lt=1, title="Label smoothing")
    """Share of the target spread evenly over all classes (Szegedy et al. 2016)."""

    def loss(self, logits_BK: Tensor, labels_B: Tensor) -> Tensor:
        """Return the cross-entropy (a scalar), in nats."""
        return torch.nn.functional.cross_entropy(logits_BK, labels_B, label_smoothing=self.label_smoothing)
