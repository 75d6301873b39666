"""Configs of the small networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ncengine.backbones.registry import BackboneConfig, Shape

if TYPE_CHECKING:
    from torch import nn


class CnnSmall(BackboneConfig):
    """Three convolutions with batch normalisation, then a projection to d features."""

    name: Literal["cnn-small"] = "cnn-small"
    width: int = Field(default=16, ge=4, le=512, title="Width")
    """Channels of the first convolution; the next two have twice and four times as many."""

    def build(self, shape: Shape, samples: int) -> nn.Module:
        """Return the network, freshly initialised, for samples of `shape`."""
        from ncengine.backbones.small_networks import cnn_small

        return cnn_small(self, shape)


class Mlp(BackboneConfig):
    """Fully connected layers with batch normalisation on the flattened image."""

    takes_vectors = True

    name: Literal["mlp"] = "mlp"
    width: int = Field(default=256, ge=4, le=8192, title="Width")
    """Units of each hidden layer."""
    depth: int = Field(default=2, ge=1, le=16, title="Hidden layers")
    """Number of hidden layers before the projection to d features."""

    def build(self, shape: Shape, samples: int) -> nn.Module:
        """Return the network, freshly initialised, for samples of `shape`."""
        from ncengine.backbones.small_networks import mlp

        return mlp(self, shape)
