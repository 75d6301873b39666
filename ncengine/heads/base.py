"""Base classes of the classifier heads: features on a sphere, shape checks, one call signature.

`head(features_BD, labels_B) -> logits_BK` in training mode, `head(features_BD)` in evaluation mode; `weight` (K, d) and
`bias` (K) or None are what evaluation uses. Features are raw: a head scales them itself, h = τ f/‖f‖ (Markou et al.
2024, §3.2). `penultimate` is that map, so that measurements use the features that the classifier uses.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ncengine.distributed import all_reduce_sum, world_size
from ncengine.geometry.sphere import on_sphere


class Head(nn.Module):
    """A classifier of penultimate features; subclasses define its weight and bias."""

    def __init__(self, features: int, classes: int, *, temperature: float, normalise: bool) -> None:
        super().__init__()
        if classes < 2:
            raise ValueError(f"a classifier needs at least 2 classes, got {classes}")
        if features < 1:
            raise ValueError(f"features must be at least 1, got {features}")
        if not temperature > 0:
            raise ValueError(f"temperature must be > 0, got {temperature}")
        self.features, self.classes = features, classes
        self.temperature, self.normalise = temperature, normalise

    def penultimate(self, features_BD: Tensor) -> Tensor:
        """Return h (B, d): the features on a sphere of radius τ, or unchanged if `normalise` is off."""
        self.require_features(features_BD)
        return on_sphere(features_BD, self.temperature) if self.normalise else features_BD

    def require_features(self, features_BD: Tensor) -> None:
        """Raise ValueError if features are not (N, d)."""
        if features_BD.ndim != 2 or features_BD.shape[1] != self.features:
            raise ValueError(
                f"features must be (N, {self.features}) to match the head, got {tuple(features_BD.shape)}; "
                f"set backbone.features={features_BD.shape[-1]}"
            )

    @property
    def weight(self) -> Tensor:
        """The classifier's rows W (K, d) that evaluation uses."""
        raise NotImplementedError(f"{type(self).__name__} must define its weight")

    @property
    def bias(self) -> Tensor | None:
        """The classifier's offset b (K) that evaluation uses, or None."""
        raise NotImplementedError(f"{type(self).__name__} must define its bias")

    def euclidean_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that the network's optimiser trains: all except those on a manifold."""
        return list(self.parameters())

    def manifold_optimiser(self) -> torch.optim.Optimizer | None:
        """Return an optimiser of the parameters on a manifold, or None if there are none."""
        return None

    def after_step(self) -> None:
        """Update the head's parameters after an optimisation step; does nothing by default."""

    def require_labels(self, features_BD: Tensor, labels_B: Tensor | None) -> Tensor:
        """Return the labels, or raise ValueError if they are missing or do not fit the features."""
        if labels_B is None:
            raise ValueError("a training step needs labels: call head(features, labels), or head.eval() first")
        if labels_B.shape != features_BD.shape[:1]:
            raise ValueError(f"labels must be ({features_BD.shape[0]},), got {tuple(labels_B.shape)}")
        return labels_B


class RunningMeanHead(Head):
    """A head whose classifier is a simplex ETF, with b = −W μ_G from the running average of the batches' global means.

    Evaluation does not use statistics of the evaluated batch. `global_mean` (d) and its count `step` are buffers.
    """

    step: Tensor
    global_mean: Tensor

    def __init__(self, features: int, classes: int, *, temperature: float, normalise: bool) -> None:
        super().__init__(features, classes, temperature=temperature, normalise=normalise)
        require_etf_dimension(features, classes)
        self.register_buffer("global_mean", torch.zeros(features))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    @property
    def bias(self) -> Tensor:
        """b = −W μ_G (K) with the running global mean."""
        return -self.weight @ self.global_mean

    def forward(self, features_BD: Tensor, labels_B: Tensor | None = None) -> Tensor:
        """Return logits (B, K); in training the running global mean is updated first."""
        h_BD = self.penultimate(features_BD)
        if self.training:
            self.require_labels(features_BD, labels_B)
            update_running_mean(self.global_mean, self.step, h_BD)
        return affine(h_BD, self.weight, self.bias)


def require_etf_dimension(features: int, classes: int) -> None:
    """Raise ValueError if d < K − 1, in which a simplex ETF of K classes does not fit."""
    if features < classes - 1:
        raise ValueError(
            f"{classes} classes need at least {classes - 1} features for a simplex ETF, got {features}; "
            f"set backbone.features={classes - 1} or more"
        )


@torch.no_grad()
def update_running_mean(global_mean_D: Tensor, step: Tensor, h_BD: Tensor) -> None:
    """Update the running global mean and its step count, both buffers, with a batch's features.

    The released schedule, α_t = max(2/(t+1), 1e-4), is computed from the step on the device, without reading it.
    """
    step.add_(1)
    mean_D = h_BD.mean(0)
    if world_size() > 1:
        # Sums and counts, then divided: batches of several processes may have different sizes.
        total_E = all_reduce_sum(torch.cat([h_BD.sum(0), h_BD.new_tensor([len(h_BD)])]))
        mean_D = total_E[:-1] / total_E[-1]
    global_mean_D.lerp_(mean_D.to(global_mean_D.dtype), (2.0 / (step + 1)).clamp(min=1e-4))


def affine(features_BD: Tensor, weight_KD: Tensor, bias_K: Tensor | None) -> Tensor:
    """Return logits h Wᵀ + b (B, K)."""
    dtype = features_BD.dtype
    return functional.linear(features_BD, weight_KD.to(dtype), None if bias_K is None else bias_K.to(dtype))
