"""Optimisers and learning-rate schedules by config. A schedule is a factor in [0, 1] of the learning rate per step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import nn

from ncengine import config as cfg


def _sgd(config: cfg.Sgd, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, config.lr, momentum=config.momentum, weight_decay=config.weight_decay)


def _adamw(config: cfg.AdamW, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, config.lr, weight_decay=config.weight_decay)


def _one_cycle(progress: float) -> float:
    """Cosine from 1/25 to 1 over the first 30 %, then to 1e-4 (the shape of Smith, Topin 2019 as torch has it)."""
    if progress < 0.3:
        return 1 / 25 + (1 - 1 / 25) * 0.5 * (1 - math.cos(math.pi * progress / 0.3))
    return 1e-4 + (1 - 1e-4) * 0.5 * (1 + math.cos(math.pi * (progress - 0.3) / 0.7))


OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {"sgd": _sgd, "adamw": _adamw}
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda _progress: 1.0,
    "cosine": lambda progress: 0.5 * (1 + math.cos(math.pi * progress)),
    "one-cycle": _one_cycle,
}


def make_optimiser(config: cfg.OptimiserConfig, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Return the optimiser that `config` describes over `parameters`."""
    return OPTIMISERS[config.name](config, parameters)


def lr_factor(config: cfg.ScheduleConfig, step: int, total_steps: int) -> float:
    """Return the factor of the learning rate for step 0 … total − 1."""
    return SCHEDULES[config.name](step / max(total_steps, 1))
