"""A frozen simplex ETF as the classifier (Zhu et al. 2021; the fixed baseline of Markou et al. 2024).

W = √(K/(K−1)) V Rᵀ with R either the first K−1 unit vectors (`canonical`) or Haar-random; b = −W μ_G with the running
average of the batches' global means, in training and in evaluation, and never the statistics of an evaluated batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ncengine.geometry.nearest import Rotation, etf_weights, rotated_frame
from ncengine.heads.base import Head, affine, follow_mean, require_etf_room


class FixedETFHead(Head):
    """The classifier is a simplex ETF that never moves; only the bias follows the global mean of the features."""

    step: Tensor
    global_mean: Tensor
    frame: Tensor
    etf: Tensor

    def __init__(
        self,
        features: int,
        classes: int,
        *,
        temperature: float = 5.0,
        normalise: bool = True,
        rotation: Rotation = "haar",
        seed: int = 0,
    ) -> None:
        super().__init__(features, classes, temperature=temperature, normalise=normalise)
        require_etf_room(features, classes)
        frame_DR = rotated_frame(features, classes, rotation, seed)
        self.register_buffer("frame", frame_DR)
        self.register_buffer("etf", etf_weights(frame_DR))
        self.register_buffer("global_mean", torch.zeros(features))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    @property
    def weight(self) -> Tensor:
        """W (K, d), frozen."""
        return self.etf

    @property
    def bias(self) -> Tensor:
        """b = −W μ_G (K) with the running global mean."""
        return -self.weight @ self.global_mean

    def forward(self, features_BD: Tensor, labels_B: Tensor | None = None) -> Tensor:
        """Return logits (B, K); in training the running global mean takes the batch in."""
        h_BD = self.penultimate(features_BD)
        if self.training:
            self.require_labels(features_BD, labels_B)
            follow_mean(self.global_mean, self.step, h_BD)
        return affine(h_BD, self.weight, self.bias)
