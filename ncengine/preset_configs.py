"""Ready-made configs. A preset is a function that returns a RunConfig; its first docstring line is its description."""

from __future__ import annotations

from collections.abc import Callable

from ncengine.config import (
    CnnSmall,
    Digits,
    FashionMnistMini,
    FixedETFHead,
    HeadConfig,
    LinearHead,
    NearestETFHead,
    RunConfig,
)


def first_light() -> RunConfig:
    """Fashion-MNIST, small CNN, nearest-ETF head: the demonstration."""
    return _fashion(NearestETFHead())


def fashion_nearest() -> RunConfig:
    """Fashion-MNIST, small CNN, nearest-ETF head."""
    return _fashion(NearestETFHead())


def fashion_fixed() -> RunConfig:
    """Fashion-MNIST, small CNN, fixed simplex ETF."""
    return _fashion(FixedETFHead())


def fashion_linear() -> RunConfig:
    """Fashion-MNIST, small CNN, learned linear head."""
    return _fashion(LinearHead())


def digits_nearest() -> RunConfig:
    """Handwritten digits, small CNN, nearest-ETF head."""
    return _digits(NearestETFHead())


def digits_fixed() -> RunConfig:
    """Handwritten digits, small CNN, fixed simplex ETF."""
    return _digits(FixedETFHead())


def digits_linear() -> RunConfig:
    """Handwritten digits, small CNN, learned linear head."""
    return _digits(LinearHead())


def four_classes() -> RunConfig:
    """Shirt, sandal, bag and trouser in three features: a real tetrahedron, nothing projected away."""
    return RunConfig(
        data=FashionMnistMini(classes=(6, 5, 8, 1)), backbone=CnnSmall(features=3), head=NearestETFHead(), epochs=20
    )


def _fashion(head: HeadConfig) -> RunConfig:
    return RunConfig(data=FashionMnistMini(), head=head, epochs=40)


def _digits(head: HeadConfig) -> RunConfig:
    return RunConfig(data=Digits(), head=head, batch_size=64, epochs=20)


PRESETS: dict[str, Callable[[], RunConfig]] = {
    "first-light": first_light,
    "fashion-nearest": fashion_nearest,
    "fashion-fixed": fashion_fixed,
    "fashion-linear": fashion_linear,
    "digits-nearest": digits_nearest,
    "digits-fixed": digits_fixed,
    "digits-linear": digits_linear,
    "four-classes": four_classes,
}
