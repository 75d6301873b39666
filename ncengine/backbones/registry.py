"""The config of a backbone, and the registry of backbones.

To add a backbone: its `BackboneConfig` in a module without torch, its network in another, and a line in `BACKBONES`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from ncengine.components import ComponentConfig, ConfigRegistry

if TYPE_CHECKING:
    from torch import nn

Shape = tuple[int, ...]
"""Shape of a sample: (channels, height, width) of an image, (d,) of a vector, () of an index."""


class BackboneConfig(ComponentConfig):
    """Settings that all backbones share."""

    takes_vectors: ClassVar[bool] = False
    """Whether samples may be vectors. Backbones take images, unless `takes_indices`."""
    takes_indices: ClassVar[bool] = False
    """Whether samples are the indices of free features, and nothing else."""
    has_only_linear_maps: ClassVar[bool] = True
    """Whether all parameters besides biases and scales are linear maps, which automatic gradient descent needs."""
    features: int = Field(default=64, ge=1, le=8192, title="Features d")
    """Dimension of the penultimate features, by a last projection; an ETF head needs at least K − 1."""

    def require_shape(self, shape: Shape) -> None:
        """Raise ValueError if the network cannot be built for samples of this shape; takes all by default."""

    def build(self, shape: Shape, samples: int) -> nn.Module:
        """Return the network, freshly initialised, for samples of `shape`, of which the training set has `samples`."""
        raise NotImplementedError(f"{type(self).__name__} must build its network")


BACKBONES = ConfigRegistry(
    "collapse_lab.backbones",
    BackboneConfig,
    "ncengine.backbones.small_networks:CnnSmall",
    "ncengine.backbones.small_networks:Mlp",
    "ncengine.backbones.torchvision_models_config:ResNet18",
    "ncengine.backbones.torchvision_models_config:ResNet34",
    "ncengine.backbones.torchvision_models_config:ResNet50",
    "ncengine.backbones.torchvision_models_config:ResNet101",
    "ncengine.backbones.torchvision_models_config:ResNet152",
    "ncengine.backbones.torchvision_models_config:ResNext50",
    "ncengine.backbones.torchvision_models_config:Vgg11",
    "ncengine.backbones.torchvision_models_config:Vgg13",
    "ncengine.backbones.torchvision_models_config:Vgg16",
    "ncengine.backbones.torchvision_models_config:Vgg19",
    "ncengine.backbones.torchvision_models_config:VitTiny",
    "ncengine.backbones.torchvision_models_config:TorchvisionModel",
    "ncengine.backbones.unconstrained_config:FreeFeaturesConfig",
)
"""All backbones by name."""
