"""Networks for a laptop: three convolutions, and fully connected layers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ncengine.backbones.registry import BackboneConfig, Shape
from ncengine.lazy_torch import torch

if TYPE_CHECKING:
    from torch import nn


class CnnSmall(BackboneConfig):
    """Three convolutions with batch normalisation, then a projection to d features."""

    name: Literal["cnn-small"] = "cnn-small"
    width: int = Field(default=16, ge=4, le=512, title="Width")
    """Channels of the first convolution; the next two have twice and four times as many."""

    def build(self, shape: Shape, samples: int) -> nn.Module:
        """Return three convolutions with batch normalisation, pooled to at most 3×3, and a projection."""
        nn = torch.nn
        channels, height, width = shape
        layers: list[nn.Module] = []
        for index, out in enumerate((self.width, 2 * self.width, 4 * self.width)):
            layers += [nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True)]
            if min(height, width) >= 4 and index < 2:
                layers.append(nn.MaxPool2d(2))
                height, width = height // 2, width // 2
            channels = out
        pooled_h, pooled_w = min(height, 3), min(width, 3)
        layers += [nn.AdaptiveAvgPool2d((pooled_h, pooled_w)), nn.Flatten()]
        layers.append(nn.Linear(channels * pooled_h * pooled_w, self.features))
        return nn.Sequential(*layers)


class Mlp(BackboneConfig):
    """Fully connected layers with batch normalisation on the flattened image."""

    takes_vectors = True

    name: Literal["mlp"] = "mlp"
    width: int = Field(default=256, ge=4, le=8192, title="Width")
    """Units of each hidden layer."""
    depth: int = Field(default=2, ge=1, le=16, title="Hidden layers")
    """Number of hidden layers before the projection to d features."""

    def build(self, shape: Shape, samples: int) -> nn.Module:
        """Return `depth` hidden layers with batch normalisation over the flattened sample, and a projection."""
        nn = torch.nn
        size = math.prod(shape)
        layers: list[nn.Module] = [nn.Flatten()]
        for _ in range(self.depth):
            layers += [nn.Linear(size, self.width, bias=False), nn.BatchNorm1d(self.width), nn.ReLU(inplace=True)]
            size = self.width
        layers.append(nn.Linear(size, self.features))
        return nn.Sequential(*layers)
