"""Published networks, from torchvision: ResNet, ResNeXt, VGG, vision transformer, or any by name; untrained.

torchvision is imported on use: importing it takes a third of a second, which small networks do not need.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ncengine.backbones import torchvision_models_config as cfg
from ncengine.backbones.registry import Shape

RESNETS = {"resnext50": "resnext50_32x4d"}
"""Names that differ in torchvision."""


def resnet(config: cfg.ResNetConfig, shape: Shape) -> nn.Module:
    """Return a residual network; the CIFAR stem is a 3×3 convolution and no pooling, as for images of 32×32."""
    from torchvision import models

    network = models.get_model(RESNETS.get(config.name, config.name), weights=None)
    stem = network.conv1
    if config.stem == "cifar":
        # The strides of the ImageNet stem would reduce an image of 32×32 to 8×8.
        network.conv1 = nn.Conv2d(shape[0], stem.out_channels, 3, padding=1, bias=False)
        network.maxpool = nn.Identity()
    elif shape[0] != stem.in_channels:
        network.conv1 = nn.Conv2d(shape[0], stem.out_channels, 7, stride=2, padding=3, bias=False)
    network.fc = projection(network.fc.in_features, config.features)
    built: nn.Module = network
    return built


def vgg(config: cfg.VggConfig, shape: Shape) -> nn.Module:
    """Return a VGG network; the CIFAR stem averages the last feature map, the ImageNet one has the two wide layers."""
    from torchvision import models

    network = models.get_model(config.name.replace("-", "_"), weights=None)
    if shape[0] != 3:
        network.features[0] = nn.Conv2d(shape[0], 64, 3, padding=1)
    if config.stem == "cifar":
        while min(shape[1:]) < 32 and isinstance(network.features[-1], nn.MaxPool2d):
            network.features = network.features[:-1]  # 28×28 cannot be halved five times
        network.avgpool = nn.AdaptiveAvgPool2d(1)
        network.classifier = projection(512, config.features)
    else:
        network.classifier[6] = projection(4096, config.features)
    built: nn.Module = network
    return built


def vit_tiny(config: cfg.VitTiny, shape: Shape) -> nn.Module:
    """Return a tiny vision transformer (192 wide, 12 layers, 3 heads) on square images."""
    from torchvision.models import VisionTransformer

    if shape[1] != shape[2]:
        raise ValueError(f"vit-tiny needs square images, got {shape[1]}×{shape[2]}; choose another backbone")
    network = VisionTransformer(
        image_size=shape[1], patch_size=config.patch, num_layers=12, num_heads=3, hidden_dim=192, mlp_dim=768
    )
    network.heads = projection(192, config.features)
    return network if shape[0] == 3 else GreyAsColour(network)


def torchvision_model(config: cfg.TorchvisionModel, shape: Shape) -> nn.Module:
    """Return torchvision's network of that name; its last layer, meant for the classes, gives the d features."""
    from torchvision import models

    options: dict[str, Any] = {"image_size": shape[1]} if config.model.startswith("vit_") else {}
    try:
        network = models.get_model(config.model, weights=None, num_classes=config.features, **options)
    except (ValueError, AssertionError, RuntimeError) as error:
        raise ValueError(f"torchvision's {config.model} cannot be built for images of {shape[1:]}: {error}") from error
    return network if shape[0] == 3 else GreyAsColour(network)


def projection(own: int, features: int) -> nn.Module:
    """Return the projection from a network's own features to d (`fixdim`): the identity if they are equal."""
    return nn.Identity() if own == features else nn.Linear(own, features)


class GreyAsColour(nn.Module):
    """Applies a network of three channels to grey images."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return the features (B, d) of grey images (B, 1, H, W)."""
        features: Tensor = self.network(images.expand(-1, 3, -1, -1))
        return features
