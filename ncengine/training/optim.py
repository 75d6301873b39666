"""Optimisers and learning-rate schedules by config.

A schedule is a factor in [0, 1] of the learning rate at each step, a pure function of the step, without state.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ncengine import config as cfg
from ncengine.backbones.unconstrained import FreeFeatures
from ncengine.heads.base import Head


class _Eager(torch.optim.Optimizer):
    """Base of optimisers whose step is never compiled: without the decorator that imports torch's compiler, which takes
    a second.
    """

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)


class _Sgd(_Eager, torch.optim.SGD):
    step = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))


class _Adam(_Eager, torch.optim.Adam):
    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))


class _AdamW(_Eager, torch.optim.AdamW):
    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))


class AutomaticGradientDescent(_Eager):
    """Automatic gradient descent (Bernstein, Mingard, Huang, Azizan, Yue 2023): no learning rate.

    For L weights W_k of d_k outputs and d_{k−1} inputs, with gradient ∇_k and s_k = √(d_k/d_{k−1}),

        G = (1/L) Σ_k s_k ‖∇_k‖_F,   η = log((1 + √(1 + 4G))/2),   W_k ← W_k − gain · (η/L) s_k ∇_k/‖∇_k‖_F

    A convolution is one such map for each of its κ positions, with s_k divided by √κ (appendix of the paper). Weights
    start orthogonal, times s_k. `lr` of the group is the schedule's factor, 1 for none; `automatic_rate` is the
    last gain · η. Raises ValueError for parameters of one dimension, which the method does not update.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], gain: float = 10.0) -> None:
        super().__init__(parameters, {"lr": 1.0, "gain": gain})
        wrong = [tuple(p.shape) for group in self.param_groups for p in group["params"] if p.ndim < 2]
        if wrong:
            raise ValueError(f"AGD steps weights of rank 2 and more, got {len(wrong)} of shapes such as {wrong[0]}")
        self.automatic_rate = 0.0
        for group in self.param_groups:
            for weight in group["params"]:
                _orthogonal(weight)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take a step; weights without a gradient are not changed."""
        loss = None if closure is None else closure()
        stepped = [
            (group, weight) for group in self.param_groups for weight in group["params"] if weight.grad is not None
        ]
        depth = len(stepped)
        norms = [torch.linalg.vector_norm(weight.grad, dim=(0, 1), keepdim=True) for _, weight in stepped]
        total = sum(_scale(w) * float(norm.sum()) for (_, w), norm in zip(stepped, norms, strict=True))
        eta = math.log((1 + math.sqrt(1 + 4 * total / max(depth, 1))) / 2)
        for (group, weight), norm in zip(stepped, norms, strict=True):
            rate = group["lr"] * group["gain"] * eta / depth * _scale(weight)
            # A position without a gradient has no direction.
            weight.sub_(torch.where(norm > 0, rate * weight.grad / norm, torch.zeros_like(weight)))
        self.automatic_rate = self.param_groups[0]["lr"] * self.param_groups[0]["gain"] * eta
        return loss


def _scale(weight: Tensor) -> float:
    positions = math.prod(weight.shape[2:])
    return math.sqrt(weight.shape[0] / weight.shape[1] / positions)


@torch.no_grad()
def _orthogonal(weight: Tensor) -> None:
    """Fill a weight with orthogonal matrices, one for each position, times its scale."""
    matrices = weight.flatten(2) if weight.ndim > 2 else weight[..., None]
    filled = torch.empty_like(matrices)
    for position in range(matrices.shape[2]):
        filled[:, :, position] = nn.init.orthogonal_(torch.empty_like(matrices[:, :, position]))
    weight.copy_(filled.view_as(weight) * _scale(weight))


def remove_biases_and_scales(network: nn.Module) -> None:
    """Remove biases and the scales of normalisations from a network, in place: AGD updates weights of rank ≥ 2 only."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.modules.conv._ConvNd):
            module.register_parameter("bias", None)
        elif isinstance(module, nn.modules.batchnorm._NormBase | nn.LayerNorm | nn.GroupNorm):
            module.register_parameter("weight", None)
            module.register_parameter("bias", None)
            if isinstance(module, nn.modules.batchnorm._NormBase):
                module.affine = False
            else:
                module.elementwise_affine = False


def parameter_groups(config: cfg.OptimiserConfig, backbone: nn.Module, head: Head) -> list[dict[str, Any]]:
    """Return the parameter groups by kind, with their weight decay; empty kinds are left out.

    Kinds: matrices and kernels of the network, its vectors (biases, scales of normalisations), the learned classifier,
    and the free features of the unconstrained-features model.
    """
    if isinstance(config, cfg.Agd):
        return [{"params": [*backbone.parameters(), *head.euclidean_parameters()]}]

    def decay(own: float | None) -> float:
        return config.weight_decay if own is None else own

    vectors_decay = config.weight_decay if config.decay_norms_and_biases else 0.0
    matrices: list[nn.Parameter] = []
    vectors: list[nn.Parameter] = []
    free = list(backbone.parameters()) if isinstance(backbone, FreeFeatures) else []
    if not free:
        for parameter in backbone.parameters():
            (vectors if parameter.ndim < 2 else matrices).append(parameter)
    heads: list[nn.Parameter] = []
    for parameter in head.euclidean_parameters():
        (vectors if parameter.ndim < 2 and not config.decay_norms_and_biases else heads).append(parameter)
    kinds = (
        (matrices, config.weight_decay),
        (vectors, vectors_decay),
        (heads, decay(config.head_weight_decay)),
        (free, decay(config.feature_weight_decay)),
    )
    return [{"params": members, "weight_decay": amount} for members, amount in kinds if members]


def make_optimiser(config: cfg.OptimiserConfig, backbone: nn.Module, head: Head) -> torch.optim.Optimizer:
    """Return the optimiser that `config` describes, of all parameters that are not on a manifold."""
    groups = parameter_groups(config, backbone, head)
    match config:
        case cfg.Sgd():
            return _Sgd(groups, config.lr, momentum=config.momentum, nesterov=config.nesterov)
        case cfg.Adam():
            return _Adam(groups, config.lr)
        case cfg.AdamW():
            return _AdamW(groups, config.lr)
        case cfg.Agd():
            return AutomaticGradientDescent(groups[0]["params"], config.gain)


def _one_cycle(progress: float) -> float:
    """Cosine from 1/25 to 1 over the first 30 %, then to 1e-4 (the shape of Smith, Topin 2019 as torch has it)."""
    if progress < 0.3:
        return 1 / 25 + (1 - 1 / 25) * 0.5 * (1 - math.cos(math.pi * progress / 0.3))
    return 1e-4 + (1 - 1e-4) * 0.5 * (1 + math.cos(math.pi * (progress - 0.3) / 0.7))


def lr_factor(config: cfg.ScheduleConfig, step: int, total_steps: int, steps_per_epoch: int) -> float:
    """Return the factor of the learning rate for step 0 … total − 1; decays happen at an epoch's first step."""
    warm_steps = min(round(config.warmup_epochs * steps_per_epoch), total_steps)
    if step < warm_steps:
        return (step + 1) / (warm_steps + 1) * _factor(config, 0, max(1, total_steps - warm_steps), 0)
    return _factor(config, step - warm_steps, max(1, total_steps - warm_steps), step // steps_per_epoch)


def _factor(config: cfg.ScheduleConfig, step: int, total_steps: int, epochs_done: int) -> float:
    match config:
        case cfg.ConstantSchedule():
            return 1.0
        case cfg.CosineSchedule():
            return 0.5 * (1 + math.cos(math.pi * step / total_steps))
        case cfg.OneCycleSchedule():
            return _one_cycle(step / total_steps)
        case cfg.StepSchedule():
            return float(config.factor ** (epochs_done // config.every))
        case cfg.MultiStepSchedule():
            return float(config.factor ** sum(epochs_done >= milestone for milestone in config.milestones))
