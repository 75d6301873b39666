"""Configs of published networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ncengine.backbones.registry import BackboneConfig, Shape

if TYPE_CHECKING:
    from torch import nn


Stem = Literal["cifar", "imagenet"]
TorchvisionName = Literal[
    "alexnet",
    "convnext_base",
    "convnext_large",
    "convnext_small",
    "convnext_tiny",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_b4",
    "efficientnet_b5",
    "efficientnet_b6",
    "efficientnet_b7",
    "efficientnet_v2_l",
    "efficientnet_v2_m",
    "efficientnet_v2_s",
    "maxvit_t",
    "mnasnet0_5",
    "mnasnet0_75",
    "mnasnet1_0",
    "mnasnet1_3",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
    "regnet_x_16gf",
    "regnet_x_1_6gf",
    "regnet_x_32gf",
    "regnet_x_3_2gf",
    "regnet_x_400mf",
    "regnet_x_800mf",
    "regnet_x_8gf",
    "regnet_y_128gf",
    "regnet_y_16gf",
    "regnet_y_1_6gf",
    "regnet_y_32gf",
    "regnet_y_3_2gf",
    "regnet_y_400mf",
    "regnet_y_800mf",
    "regnet_y_8gf",
    "resnet101",
    "resnet152",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "shufflenet_v2_x1_0",
    "shufflenet_v2_x1_5",
    "shufflenet_v2_x2_0",
    "squeezenet1_0",
    "squeezenet1_1",
    "swin_b",
    "swin_s",
    "swin_t",
    "swin_v2_b",
    "swin_v2_s",
    "swin_v2_t",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
    "vit_b_16",
    "vit_b_32",
    "vit_h_14",
    "vit_l_16",
    "vit_l_32",
    "wide_resnet101_2",
    "wide_resnet50_2",
]


class _WithStem(BackboneConfig):
    features: int = Field(default=512, ge=1, le=8192, title="Features d")
    """Dimension of the penultimate features; the network's own number adds no projection."""
    stem: Stem = Field(default="cifar", title="Stem")
    """cifar: for images of 32 to 96 pixels, without early strides; imagenet: as published for 224 pixels."""


class ResNetConfig(_WithStem):
    """Settings of a residual network with 512 features of its own."""

    def build(self, shape: Shape, samples: int) -> nn.Module:
        """Return the network, freshly initialised, for samples of `shape`."""
        from ncengine.backbones.torchvision_models import resnet

        return resnet(self, shape)


class WideResNetConfig(ResNetConfig):
    """Settings of a residual network with 2,048 features of its own."""

    features: int = Field(default=2048, ge=1, le=8192, title="Features d")
    """Dimension of the penultimate features; the network's own number adds no projection."""


class VggConfig(_WithStem):
    """Settings of a VGG network."""

    def build(self, shape: Shape, samples: int) -> nn.Module:
        """Return the network, freshly initialised, for samples of `shape`."""
        from ncengine.backbones.torchvision_models import vgg

        return vgg(self, shape)


class ResNet18(ResNetConfig):
    """ResNet-18 (He et al. 2016), 512 features of its own."""

    name: Literal["resnet18"] = "resnet18"


class ResNet34(ResNetConfig):
    """ResNet-34 (He et al. 2016), 512 features of its own."""

    name: Literal["resnet34"] = "resnet34"


class ResNet50(WideResNetConfig):
    """ResNet-50 (He et al. 2016), 2,048 features of its own."""

    name: Literal["resnet50"] = "resnet50"


class ResNet101(WideResNetConfig):
    """ResNet-101 (He et al. 2016), 2,048 features of its own."""

    name: Literal["resnet101"] = "resnet101"


class ResNet152(WideResNetConfig):
    """ResNet-152 (He et al. 2016), 2,048 features of its own."""

    name: Literal["resnet152"] = "resnet152"


class ResNext50(WideResNetConfig):
    """ResNeXt-50 32×4d (Xie et al. 2017), 2,048 features of its own."""

    name: Literal["resnext50"] = "resnext50"


class Vgg11(VggConfig):
    """VGG-11 with batch normalisation (Simonyan, Zisserman 2015); 512 features, 4,096 with the imagenet stem."""

    name: Literal["vgg11-bn"] = "vgg11-bn"


class Vgg13(VggConfig):
    """VGG-13 with batch normalisation (Simonyan, Zisserman 2015); 512 features, 4,096 with the imagenet stem."""

    name: Literal["vgg13-bn"] = "vgg13-bn"


class Vgg16(VggConfig):
    """VGG-16 with batch normalisation (Simonyan, Zisserman 2015); 512 features, 4,096 with the imagenet stem."""

    name: Literal["vgg16-bn"] = "vgg16-bn"


class Vgg19(VggConfig):
    """VGG-19 with batch normalisation (Simonyan, Zisserman 2015); 512 features, 4,096 with the imagenet stem."""

    name: Literal["vgg19-bn"] = "vgg19-bn"


class VitTiny(BackboneConfig):
    """A tiny vision transformer (Dosovitskiy et al. 2021): 12 layers, 3 heads, 192 features of its own."""

    has_only_linear_maps = False  # positions are added

    name: Literal["vit-tiny"] = "vit-tiny"
    features: int = Field(default=192, ge=1, le=8192, title="Features d")
    """Dimension of the penultimate features; 192 is the network's own and adds no projection."""
    patch: int = Field(default=4, ge=1, le=64, title="Patch")
    """Side of a patch in pixels; it must divide the image's sides."""

    def require_shape(self, shape: Shape) -> None:
        """Raise ValueError if the image's sides are no multiples of the patch."""
        if any(side % self.patch for side in shape[1:]):
            raise ValueError(
                f"backbone.patch must divide the image's sides {shape[1:]}, got {self.patch}; "
                "7 divides 28, 4 divides 32"
            )

    def build(self, shape: Shape, samples: int) -> nn.Module:
        """Return the network, freshly initialised, for samples of `shape`."""
        from ncengine.backbones.torchvision_models import vit_tiny

        return vit_tiny(self, shape)


class TorchvisionModel(BackboneConfig):
    """Any classification network of torchvision, untrained, its last layer giving d features."""

    name: Literal["torchvision"] = "torchvision"
    model: TorchvisionName = Field(default="mobilenet_v3_small", title="Network")
    """torchvision's name of the network; most expect images of 64 pixels or more."""
    features: int = Field(default=512, ge=1, le=8192, title="Features d")
    """Dimension of the penultimate features."""

    def build(self, shape: Shape, samples: int) -> nn.Module:
        """Return the network, freshly initialised, for samples of `shape`."""
        from ncengine.backbones.torchvision_models import torchvision_model

        return torchvision_model(self, shape)
