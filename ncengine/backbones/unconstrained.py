"""The unconstrained-features model: the features are the parameters (Mixon, Parshall, Pi 2020; Zhu et al. 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class FreeFeatures(nn.Module):
    """N parameters of dimension d, drawn from N(0, scale²); the samples are their numbers."""

    def __init__(self, samples: int, features: int, scale: float) -> None:
        super().__init__()
        self.features_ND = nn.Parameter(scale * torch.randn(samples, features))

    def forward(self, rows_B: Tensor) -> Tensor:
        """Return the features (B, d) of the given rows (B)."""
        return self.features_ND.index_select(0, rows_B)
