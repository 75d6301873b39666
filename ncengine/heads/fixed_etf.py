"""A frozen simplex ETF as the classifier (Zhu et al. 2021; the fixed baseline of Markou et al. 2024).

W = √(K/(K−1)) V Rᵀ with R either the first K−1 unit vectors (`canonical`) or Haar-random; b = −W μ_G with the running
average of the batches' global means, in training and in evaluation, and never the statistics of an evaluated batch.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ncengine.geometry.nearest import etf_weights, first_frame
from ncengine.heads.base import Head, affine, require_etf_room

Rotation = Literal["canonical", "haar"]


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
        frame_DR = first_frame(features, classes, like=torch.empty(0))
        if rotation == "haar":
            generator = torch.Generator().manual_seed(seed)
            gaussian = torch.randn(features, classes - 1, generator=generator, dtype=torch.float64)
            orthonormal, triangle = torch.linalg.qr(gaussian)
            # QR is unique, and the factor Haar-distributed, once the triangle's diagonal is positive (Mezzadri 2007).
            frame_DR = (orthonormal * triangle.diagonal().sign()).to(frame_DR.dtype)
        elif rotation != "canonical":
            raise ValueError(f"rotation must be 'canonical' or 'haar', got {rotation!r}")
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
            with torch.no_grad():
                self.step.add_(1)
                # ema-decay, α_t = max(2/(t+1), 1e-4), from the step on the device: nothing is copied back to the host.
                alpha = (2.0 / (self.step + 1)).clamp(min=1e-4)
                self.global_mean.lerp_(h_BD.mean(0).to(self.global_mean.dtype), alpha)
        return affine(h_BD, self.weight, self.bias)
