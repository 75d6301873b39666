"""A simplex ETF whose rotation is learned.

W = √(K/(K−1)) V Rᵀ with R a point of the Stiefel manifold St(d, K−1), trained by Riemannian gradient descent (geoopt:
Kochurov, Karimov, Kozlukov 2020; Bécigneul, Ganea 2019); b = −W μ_G with the running average of the batches' global
means. W is an exact simplex ETF at every step; its orientation is learned from the loss.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch import Tensor, nn

from ncengine.geometry.nearest_etf import Rotation, etf_weights, rotated_frame
from ncengine.geometry.riemannian import geoopt, stiefel
from ncengine.heads.base import RunningMeanHead

ManifoldOptimiser = Literal["riemannian-adam", "riemannian-sgd"]
STABILISE_EVERY = 10
"""Steps between geoopt's projections of R onto the manifold, from which float32 drifts by about 1e-7 a step."""


class LearnedETFHead(RunningMeanHead):
    """A classifier with a simplex ETF whose `frame` (d, K−1) is learned, a `geoopt.ManifoldParameter`.

    Train `frame` with `manifold_optimiser()`, not with a Euclidean optimiser; `euclidean_parameters()` does not
    contain it.
    """

    frame: nn.Parameter

    def __init__(
        self,
        features: int,
        classes: int,
        *,
        temperature: float = 5.0,
        normalise: bool = True,
        rotation: Rotation = "haar",
        optimiser: ManifoldOptimiser = "riemannian-adam",
        lr: float = 1e-2,
        seed: int = 0,
    ) -> None:
        super().__init__(features, classes, temperature=temperature, normalise=normalise)
        if optimiser not in ("riemannian-adam", "riemannian-sgd"):
            raise ValueError(f"optimiser must be 'riemannian-adam' or 'riemannian-sgd', got {optimiser!r}")
        self._optimiser, self.lr = optimiser, lr
        manifold = stiefel()
        self.frame = geoopt().ManifoldParameter(
            rotated_frame(features, classes, rotation, seed).contiguous(), manifold=manifold
        )

    @property
    def weight(self) -> Tensor:
        """W (K, d), an exact simplex ETF."""
        return etf_weights(self.frame)

    def euclidean_parameters(self) -> list[nn.Parameter]:
        """Return an empty list: the only parameter is on a manifold."""
        return []

    def manifold_optimiser(self) -> torch.optim.Optimizer:
        """Return geoopt's Riemannian Adam or SGD (momentum 0.9) over the frame."""
        optimisers = geoopt().optim
        if self._optimiser == "riemannian-adam":
            found = optimisers.RiemannianAdam([self.frame], lr=self.lr, stabilize=STABILISE_EVERY)
        else:
            found = optimisers.RiemannianSGD([self.frame], lr=self.lr, momentum=0.9, stabilize=STABILISE_EVERY)
        return cast(torch.optim.Optimizer, found)
