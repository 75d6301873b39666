"""Backbones: image (B, C, H, W) to penultimate features (B, d). One builder each, registered in `BACKBONES`."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from ncengine import config as cfg

Shape = tuple[int, int, int]


def _cnn_small(config: cfg.CnnSmall, shape: Shape) -> nn.Module:
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


def _mlp(config: cfg.Mlp, shape: Shape) -> nn.Module:
    channels, height, width = shape
    size = channels * height * width
    layers: list[nn.Module] = [nn.Flatten()]
    for _ in range(config.depth):
        layers += [nn.Linear(size, config.width, bias=False), nn.BatchNorm1d(config.width), nn.ReLU(inplace=True)]
        size = config.width
    layers.append(nn.Linear(size, config.features))
    return nn.Sequential(*layers)


def _resnet18(config: cfg.ResNet18, shape: Shape) -> nn.Module:
    import torchvision  # a third of a second that the other networks do not need

    network = torchvision.models.resnet18(weights=None)
    # The CIFAR stem: images of 32×32 would be 8×8 after the ImageNet stem's strides.
    network.conv1 = nn.Conv2d(shape[0], 64, 3, padding=1, bias=False)
    network.maxpool = nn.Identity()
    own = network.fc.in_features
    network.fc = nn.Identity() if config.features == own else nn.Linear(own, config.features)
    built: nn.Module = network
    return built


BACKBONES: dict[str, Callable[..., nn.Module]] = {"cnn-small": _cnn_small, "mlp": _mlp, "resnet18": _resnet18}


def make_backbone(config: cfg.BackboneConfig, shape: Shape) -> nn.Module:
    """Return the network that `config` describes for images of `shape` (C, H, W), freshly initialised."""
    return BACKBONES[config.name](config, shape)
