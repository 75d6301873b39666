"""Ready-made configs. A preset is a function that returns a RunConfig; its first docstring line is its description.

The quick ones take at most two minutes on two cores. Those named `paper-` have the settings of *Guiding Neural
Collapse* (§4: 200 epochs, batches of 256, AGD with gain 10, τ = 5, δ = 1e-3; run them with `--seeds 5`),
`released-code-` the choices of the published code where they differ: the ImageNet stem on images of any size,
stratified batches for the nearest ETF alone, unit rows for the linear classifier, MNIST. (Its random rotations of MNIST
are no option here.) No accuracy is claimed for either.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from ncengine.backbones.registry import BackboneConfig
from ncengine.backbones.small_networks import CnnSmall, Mlp
from ncengine.backbones.torchvision_models_config import ResNet18, ResNet50, Vgg13
from ncengine.backbones.unconstrained_config import FreeFeaturesConfig
from ncengine.config import (
    Agd,
    ConstantSchedule,
    CosineSchedule,
    MeasureConfig,
    RunConfig,
    Sgd,
    Shuffled,
    Stratified,
    with_overrides,
)
from ncengine.data.embedded import Digits, FashionMnistMini
from ncengine.data.generated import Synthetic, Ufm
from ncengine.data.own_files_config import ImageNet
from ncengine.data.public_datasets_config import Cifar10, Cifar100, FashionMnist, Mnist, Stl10
from ncengine.data.registry import DatasetConfig
from ncengine.heads.fixed_etf_config import FixedETFHeadConfig
from ncengine.heads.learned_etf_config import LearnedETFHeadConfig
from ncengine.heads.linear_config import LinearHeadConfig
from ncengine.heads.nearest_etf_config import NearestETFHeadConfig
from ncengine.heads.registry import HeadConfig

Preset = Callable[[], RunConfig]
Group = Literal["quick", "larger", "paper", "released-code"]


def first_light() -> RunConfig:
    """Fashion-MNIST, small CNN, nearest-ETF head: the demonstration."""
    return _fashion(NearestETFHeadConfig())


def fashion_nearest() -> RunConfig:
    """Fashion-MNIST, small CNN, nearest-ETF head."""
    return _fashion(NearestETFHeadConfig())


def fashion_fixed() -> RunConfig:
    """Fashion-MNIST, small CNN, fixed simplex ETF."""
    return _fashion(FixedETFHeadConfig())


def fashion_learned() -> RunConfig:
    """Fashion-MNIST, small CNN, a simplex ETF with a learned rotation."""
    return _fashion(LearnedETFHeadConfig())


def fashion_linear() -> RunConfig:
    """Fashion-MNIST, small CNN, learned linear head."""
    return _fashion(LinearHeadConfig())


def digits_nearest() -> RunConfig:
    """Handwritten digits, small CNN, nearest-ETF head."""
    return _digits(NearestETFHeadConfig())


def digits_fixed() -> RunConfig:
    """Handwritten digits, small CNN, fixed simplex ETF."""
    return _digits(FixedETFHeadConfig())


def digits_linear() -> RunConfig:
    """Handwritten digits, small CNN, learned linear head."""
    return _digits(LinearHeadConfig())


def four_classes() -> RunConfig:
    """Shirt, sandal, bag and trouser in three features: a real tetrahedron, nothing projected away."""
    return RunConfig(
        data=FashionMnistMini(classes=(6, 5, 8, 1)),
        backbone=CnnSmall(features=3),
        head=NearestETFHeadConfig(),
        epochs=20,
    )


def long_tail() -> RunConfig:
    """Fashion-MNIST with fifty times fewer images of the last class than of the first, linear head."""
    return RunConfig(
        data=FashionMnistMini(imbalance="exponential", imbalance_factor=0.02),
        head=LinearHeadConfig(),
        sampler=Shuffled(),
        batch_size=64,
        epochs=60,
    )


def noisy_labels() -> RunConfig:
    """Fashion-MNIST with every fifth training label wrong; measured by both the given and the true labels."""
    return RunConfig(data=FashionMnistMini(label_noise="symmetric", noise_rate=0.2), epochs=40)


def gaussians() -> RunConfig:
    """Twenty Gaussians in fifty dimensions, fully connected network, nearest-ETF head."""
    return RunConfig(data=Synthetic(class_count=20, dimension=50, separation=5.0), backbone=Mlp(features=64), epochs=40)


def ufm_10() -> RunConfig:
    """Unconstrained features, 10 classes in 512 dimensions, nearest-ETF head."""
    return _ufm(10, per_class=50, lr=5.0, weight_decay=5e-4)


def ufm_100() -> RunConfig:
    """Unconstrained features, 100 classes in 512 dimensions, nearest-ETF head."""
    return _ufm(100, per_class=10, lr=20.0, weight_decay=1e-4)


def ufm_200() -> RunConfig:
    """Unconstrained features, 200 classes in 512 dimensions, nearest-ETF head; some minutes on a CPU."""
    return _ufm(200, per_class=10, lr=20.0, weight_decay=1e-4)


def ufm_1000() -> RunConfig:
    """Unconstrained features, 1,000 classes in 1,024 dimensions, nearest-ETF head; for a GPU."""
    return _ufm(1000, per_class=5, lr=100.0, weight_decay=1e-5, features=1024)


def ufm_10_decay() -> RunConfig:
    """Unconstrained features and a linear classifier, each with its own weight decay, nothing normalised."""
    config = _ufm(10, per_class=50, lr=5.0, weight_decay=5e-4)
    return with_overrides(
        config,
        {
            "head.name": "linear",
            "head.normalise": False,
            "head.bias": False,
            "optimiser.head_weight_decay": 5e-3,
            "optimiser.feature_weight_decay": 1e-4,
        },
    )


def fashion_mnist_whole() -> RunConfig:
    """All of Fashion-MNIST, ResNet-18, crops and flips, nearest-ETF head; hours on a CPU, minutes on a GPU."""
    return RunConfig(
        data=FashionMnist(crop_padding=2, flip=True),
        backbone=ResNet18(),
        optimiser=Sgd(lr=0.1, nesterov=True),
        batch_size=256,
        epochs=30,
    )


def _fashion(head: HeadConfig) -> RunConfig:
    return RunConfig(data=FashionMnistMini(), head=head, epochs=40)


def _digits(head: HeadConfig) -> RunConfig:
    return RunConfig(data=Digits(), head=head, batch_size=64, epochs=20)


def _ufm(classes: int, *, per_class: int, lr: float, weight_decay: float, features: int = 512) -> RunConfig:
    """All features in each step, 2,000 steps as in the paper; measured ever further apart."""
    return RunConfig(
        data=Ufm(class_count=classes, per_class=per_class),
        backbone=FreeFeaturesConfig(features=features),
        optimiser=Sgd(lr=lr, weight_decay=weight_decay),
        schedule=CosineSchedule(),
        batch_size=classes * per_class,
        epochs=2000,
        measure=MeasureConfig(cadence="geometric", growth=1.2, dense_epochs=5, checkpoint_every=500),
    )


QUICK: dict[str, Preset] = {
    "first-light": first_light,
    "fashion-nearest": fashion_nearest,
    "fashion-fixed": fashion_fixed,
    "fashion-learned": fashion_learned,
    "fashion-linear": fashion_linear,
    "digits-nearest": digits_nearest,
    "digits-fixed": digits_fixed,
    "digits-linear": digits_linear,
    "four-classes": four_classes,
    "long-tail": long_tail,
    "noisy-labels": noisy_labels,
    "gaussians": gaussians,
    "ufm-10": ufm_10,
    "ufm-10-decay": ufm_10_decay,
    "ufm-100": ufm_100,
}
LARGER: dict[str, Preset] = {
    "ufm-200": ufm_200,
    "ufm-1000": ufm_1000,
    "fashion-mnist-whole": fashion_mnist_whole,
}
PAPER_DATA: dict[str, tuple[DatasetConfig, BackboneConfig]] = {
    "cifar10-resnet18": (Cifar10(crop_padding=4, flip=True), ResNet18()),
    "cifar10-vgg13": (Cifar10(crop_padding=4, flip=True), Vgg13()),
    "cifar100-resnet50": (Cifar100(crop_padding=4, flip=True), ResNet50()),
    "cifar100-vgg13": (Cifar100(crop_padding=4, flip=True), Vgg13()),
    "stl10-resnet50": (Stl10(crop_padding=4, flip=True), ResNet50()),
    "stl10-vgg13": (Stl10(crop_padding=4, flip=True), Vgg13()),
    "imagenet-resnet50": (ImageNet(crop_padding=4, flip=True), ResNet50(stem="imagenet")),
}
RELEASED_DATA = PAPER_DATA | {"mnist-resnet18": (Mnist(), ResNet18())}
PAPER_HEADS: dict[str, tuple[HeadConfig, HeadConfig]] = {
    "nearest": (NearestETFHeadConfig(), NearestETFHeadConfig()),
    "fixed": (FixedETFHeadConfig(rotation="canonical"), FixedETFHeadConfig(rotation="canonical")),
    "linear": (LinearHeadConfig(bias=False), LinearHeadConfig(bias=False, renormalise=True)),
}
"""Heads as the paper has them, and as the released code does."""


def _of_paper(setting: str, head: str, *, released: bool) -> Preset:
    def preset() -> RunConfig:
        data, backbone = RELEASED_DATA[setting]
        if released and hasattr(backbone, "stem"):
            backbone = type(backbone).model_validate(backbone.model_dump() | {"stem": "imagenet"})
        stratified = head == "nearest" or not released
        return RunConfig(
            data=data,
            backbone=backbone,
            head=PAPER_HEADS[head][released],
            optimiser=Agd(),
            schedule=ConstantSchedule(),
            sampler=Stratified() if stratified else Shuffled(),
            batch_size=256,
            epochs=200,
        )

    source = "the released code's choices" if released else "the paper's settings"
    preset.__doc__ = f"{setting}, {head} head: {source}."
    return preset


PAPER = {f"paper-{s}-{h}": _of_paper(s, h, released=False) for s in PAPER_DATA for h in PAPER_HEADS}
RELEASED = {
    f"released-code-{setting}-{head}": _of_paper(setting, head, released=True)
    for setting in RELEASED_DATA
    for head in PAPER_HEADS
    if (setting, head) != ("imagenet-resnet50", "nearest")  # where both are the same
}
PRESET_GROUPS: dict[Group, dict[str, Preset]] = {
    "quick": QUICK,
    "larger": LARGER,
    "paper": PAPER,
    "released-code": RELEASED,
}
PRESETS: dict[str, Preset] = {name: preset for group in PRESET_GROUPS.values() for name, preset in group.items()}
