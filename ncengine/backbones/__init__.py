"""Backbones: samples to penultimate features (B, d). One builder each, registered in `BACKBONES`."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from ncengine import config as cfg
from ncengine.backbones.small_networks import Shape, cnn_small, mlp
from ncengine.backbones.torchvision_models import resnet, torchvision_model, vgg, vit_tiny
from ncengine.backbones.unconstrained import FreeFeatures

BACKBONES: dict[str, Callable[..., nn.Module]] = {
    "cnn-small": cnn_small,
    "mlp": mlp,
    **dict.fromkeys(("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50"), resnet),
    **dict.fromkeys(("vgg11-bn", "vgg13-bn", "vgg16-bn", "vgg19-bn"), vgg),
    "vit-tiny": vit_tiny,
    "torchvision": torchvision_model,
}


def make_backbone(
    config: cfg.BackboneConfig, shape: Shape, samples: int, *, linear_maps_only: bool = False
) -> nn.Module:
    """Return the network that `config` describes for samples of `shape`, freshly initialised.

    `samples` is the number of training samples, which free features need; `linear_maps_only` leaves out biases and the
    scales of normalisations (AGD steps weights of rank ≥ 2 alone).
    """
    if isinstance(config, cfg.FreeFeaturesConfig):
        return FreeFeatures(samples, config.features, config.scale)
    network = BACKBONES[config.name](config, shape)
    if linear_maps_only:
        without_vectors(network)
    return network


def without_vectors(network: nn.Module) -> None:
    """Take biases and the scales of normalisations out of a network, in place."""
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
