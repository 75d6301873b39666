"""Backbones as a config names them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ncengine.config.base import ConfigModel

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


class _Backbone(ConfigModel):
    features: int = Field(default=64, ge=1, le=8192, title="Features d")
    """Dimension of the penultimate features, by a last projection; an ETF head needs at least K − 1."""


class CnnSmall(_Backbone):
    """Three convolutions with batch normalisation, then a projection to d features."""

    name: Literal["cnn-small"] = "cnn-small"
    width: int = Field(default=16, ge=4, le=512, title="Width")
    """Channels of the first convolution; the next two have twice and four times as many."""


class Mlp(_Backbone):
    """Fully connected layers with batch normalisation on the flattened image."""

    name: Literal["mlp"] = "mlp"
    width: int = Field(default=256, ge=4, le=8192, title="Width")
    """Units of each hidden layer."""
    depth: int = Field(default=2, ge=1, le=16, title="Hidden layers")
    """Number of hidden layers before the projection to d features."""


class _WithStem(_Backbone):
    features: int = Field(default=512, ge=1, le=8192, title="Features d")
    """Dimension of the penultimate features; the network's own number adds no projection."""
    stem: Stem = Field(default="cifar", title="Stem")
    """cifar: for images of 32 to 96 pixels, without early strides; imagenet: as published for 224 pixels."""


class _Wide(_WithStem):
    features: int = Field(default=2048, ge=1, le=8192, title="Features d")
    """Dimension of the penultimate features; the network's own number adds no projection."""


class ResNet18(_WithStem):
    """ResNet-18 (He et al. 2016), 512 features of its own."""

    name: Literal["resnet18"] = "resnet18"


class ResNet34(_WithStem):
    """ResNet-34 (He et al. 2016), 512 features of its own."""

    name: Literal["resnet34"] = "resnet34"


class ResNet50(_Wide):
    """ResNet-50 (He et al. 2016), 2,048 features of its own."""

    name: Literal["resnet50"] = "resnet50"


class ResNet101(_Wide):
    """ResNet-101 (He et al. 2016), 2,048 features of its own."""

    name: Literal["resnet101"] = "resnet101"


class ResNet152(_Wide):
    """ResNet-152 (He et al. 2016), 2,048 features of its own."""

    name: Literal["resnet152"] = "resnet152"


class ResNext50(_Wide):
    """ResNeXt-50 32×4d (Xie et al. 2017), 2,048 features of its own."""

    name: Literal["resnext50"] = "resnext50"


class Vgg11(_WithStem):
    """VGG-11 with batch normalisation (Simonyan, Zisserman 2015); 512 features, 4,096 with the imagenet stem."""

    name: Literal["vgg11-bn"] = "vgg11-bn"


class Vgg13(_WithStem):
    """VGG-13 with batch normalisation (Simonyan, Zisserman 2015); 512 features, 4,096 with the imagenet stem."""

    name: Literal["vgg13-bn"] = "vgg13-bn"


class Vgg16(_WithStem):
    """VGG-16 with batch normalisation (Simonyan, Zisserman 2015); 512 features, 4,096 with the imagenet stem."""

    name: Literal["vgg16-bn"] = "vgg16-bn"


class Vgg19(_WithStem):
    """VGG-19 with batch normalisation (Simonyan, Zisserman 2015); 512 features, 4,096 with the imagenet stem."""

    name: Literal["vgg19-bn"] = "vgg19-bn"


class VitTiny(_Backbone):
    """A tiny vision transformer (Dosovitskiy et al. 2021): 12 layers, 3 heads, 192 features of its own."""

    name: Literal["vit-tiny"] = "vit-tiny"
    features: int = Field(default=192, ge=1, le=8192, title="Features d")
    """Dimension of the penultimate features; 192 is the network's own and adds no projection."""
    patch: int = Field(default=4, ge=1, le=64, title="Patch")
    """Side of a patch in pixels; it must divide the image's sides."""


class TorchvisionModel(_Backbone):
    """Any classification network of torchvision, untrained, its last layer giving d features."""

    name: Literal["torchvision"] = "torchvision"
    model: TorchvisionName = Field(default="mobilenet_v3_small", title="Network")
    """torchvision's name of the network; most expect images of 64 pixels or more."""
    features: int = Field(default=512, ge=1, le=8192, title="Features d")
    """Dimension of the penultimate features."""


class FreeFeaturesConfig(_Backbone):
    """No network: the features themselves are the parameters (the unconstrained-features model, data set ufm)."""

    name: Literal["free-features"] = "free-features"
    features: int = Field(default=512, ge=1, le=8192, title="Features d")
    """Dimension of the features."""
    scale: float = Field(default=1.0, gt=0, le=1000, title="First scale")
    """Standard deviation of the features' first values."""


BackboneConfig = Annotated[
    CnnSmall
    | Mlp
    | ResNet18
    | ResNet34
    | ResNet50
    | ResNet101
    | ResNet152
    | ResNext50
    | Vgg11
    | Vgg13
    | Vgg16
    | Vgg19
    | VitTiny
    | TorchvisionModel
    | FreeFeaturesConfig,
    Field(discriminator="name", title="Backbone"),
]
