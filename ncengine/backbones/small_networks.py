"""Networks for a laptop: three convolutions, and fully connected layers."""

from __future__ import annotations

import math

from torch import nn

from ncengine.backbones import small_networks_config as cfg
from ncengine.backbones.registry import Shape


def cnn_small(config: cfg.CnnSmall, shape: Shape) -> nn.Module:
    """Return three convolutions with batch normalisation, pooled to at most 3×3, and a projection."""
    channels, height, width = shape
    layers: list[nn.Module] = []
    for index, out in enumerate((config.width, 2 * config.width, 4 * config.width)):
        layers += [nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True)]
        if min(height, width) >= 4 and index < 2:
            layers.append(nn.MaxPool2d(2))
            height, width = height // 2, width // 2
        channels = out
    pooled_h, pooled_w = min(height, 3), min(width, 3)
    layers += [nn.AdaptiveAvgPool2d((pooled_h, pooled_w)), nn.Flatten()]
    layers.append(nn.Linear(channels * pooled_h * pooled_w, config.features))
    return nn.Sequential(*layers)


def mlp(config: cfg.Mlp, shape: Shape) -> nn.Module:
    """Return `depth` hidden layers with batch normalisation over the flattened sample, and a projection."""
    size = math.prod(shape)
    layers: list[nn.Module] = [nn.Flatten()]
    for _ in range(config.depth):
        layers += [nn.Linear(size, config.width, bias=False), nn.BatchNorm1d(config.width), nn.ReLU(inplace=True)]
        size = config.width
    layers.append(nn.Linear(size, config.features))
    return nn.Sequential(*layers)
