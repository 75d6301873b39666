"""A frozen simplex ETF as the classifier (Zhu et al. 2021; the fixed baseline of Markou et al. 2024).

W = √(K/(K−1)) V Rᵀ with R either the first K−1 unit vectors (`canonical`) or Haar-random; b = −W μ_G with the running
average of the batches' global means, in training and in evaluation.
"""

from __future__ import annotations

from torch import Tensor

from ncengine.geometry.nearest_etf import Rotation, etf_weights, rotated_frame
from ncengine.heads.base import RunningMeanHead


class FixedETFHead(RunningMeanHead):
    """A classifier with a fixed simplex ETF; only the bias depends on the running global mean of the features."""

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
        frame_DR = rotated_frame(features, classes, rotation, seed)
        self.register_buffer("frame", frame_DR)
        self.register_buffer("etf", etf_weights(frame_DR))

    @property
    def weight(self) -> Tensor:
        """W (K, d), frozen."""
        return self.etf
