"""Settings that studies share: real data with the paper's optimiser, and free features; heads by name.

The paper trains with automatic gradient descent, batches of equal shares of the classes, τ = 5, δ = 1e-3, for 200
epochs (Markou, Ajanthan, Gould 2024, §4). Laptop size keeps all of that on small data, a small network and fewer
epochs. ImageNet is left out at paper size too: where it lies only its user knows (preset `paper-imagenet-…`).
"""

from __future__ import annotations

from collections.abc import Mapping

from ncengine.config import Agd, ConstantSchedule, MeasureConfig, RunConfig, with_overrides
from ncengine.data.embedded import Digits, FashionMnistMini
from ncengine.data.public_datasets_config import Cifar10, Cifar100
from ncengine.data.registry import DatasetConfig
from ncengine.preset_configs import PAPER_DATA, PRESETS
from ncstudies.study import Setting, Size, StudyFigure

NEAREST, FIXED, LINEAR, LEARNED = "nearest ETF", "fixed ETF", "linear", "learned ETF"
CUT, RAW = "nearest ETF, gradient cut", "linear, raw features"
PAPER = "the paper"
OWN = "our question"

HEADS: dict[str, dict[str, object]] = {
    NEAREST: {"head.name": "nearest-etf"},
    CUT: {"head.name": "nearest-etf", "head.implicit_gradient": False},
    FIXED: {"head.name": "fixed-etf", "head.rotation": "canonical"},
    LEARNED: {"head.name": "learned-etf"},
    LINEAR: {"head.name": "linear", "head.bias": False},
    RAW: {"head.name": "linear", "head.bias": False, "head.normalise": False},
}
"""The overrides of a config that make each head."""

SPARE = MeasureConfig(first_epoch_captures=0, checkpoint_every=20)
"""Every epoch measured; few checkpoints, and no pictures within the first epoch."""


def make_arms(base: RunConfig, *names: str) -> dict[str, RunConfig]:
    """Return a config for each head named."""
    return {name: with_overrides(base, HEADS[name]) for name in names}


def _small(data: DatasetConfig, epochs: int) -> RunConfig:
    return RunConfig(
        data=data, optimiser=Agd(), schedule=ConstantSchedule(), batch_size=100, epochs=epochs, measure=SPARE
    )


def make_fashion_config(data: Mapping[str, object] | None = None, *, epochs: int = 40) -> RunConfig:
    """2,000 images of Fashion-MNIST, or as `data` says; small network."""
    return _small(FashionMnistMini.model_validate({"per_class": 200} | dict(data or {})), epochs)


def make_digits_config() -> RunConfig:
    """1,442 handwritten digits, small network, 25 epochs."""
    return _small(Digits(), 25)


def choose_real_data(size: Size, *, broad: bool = False) -> dict[str, tuple[str, RunConfig]]:
    """Return the settings with real data, by name: title and config. `broad`: all of the paper's, not two of them."""
    if size == "laptop":
        return {
            "fashion": ("Fashion-MNIST, 2,000 images, small CNN", make_fashion_config()),
            "digits": ("Handwritten digits, small CNN", make_digits_config()),
        }
    narrow = ["cifar10-resnet18", "cifar100-resnet50"]
    names = [name for name in PAPER_DATA if "imagenet" not in name] if broad else narrow
    return {name: (_title(name), PRESETS[f"paper-{name}-nearest"]()) for name in names}


def _title(name: str) -> str:
    data, _, network = name.partition("-")
    return f"{data.upper()}, {network}"


def use_cifar_at_paper_size(size: Size, small: RunConfig, data: Mapping[str, object]) -> RunConfig:
    """Return the config of a study of unequal or wrong labels: at paper size that of CIFAR-10 or CIFAR-100."""
    if size == "laptop":
        return small
    kind = Cifar100 if data.get("imbalance") else Cifar10
    base = PRESETS["paper-cifar100-resnet50-nearest" if kind is Cifar100 else "paper-cifar10-resnet18-nearest"]()
    return base.model_copy(update={"data": kind.model_validate({"crop_padding": 4, "flip": True} | dict(data))})


def make_free_features(classes: int, steps: int) -> tuple[str, RunConfig]:
    """Return the title and config of the unconstrained-features model with so many classes and full-batch steps."""
    config = with_overrides(PRESETS[f"ufm-{classes}"](), {"epochs": steps, "measure.first_epoch_captures": 0})
    return f"Unconstrained features, {classes} classes, {config.backbone.features} dimensions", config


def make_standard_figures(keys: str = "nc1,etf_distance_means,nc3,cosine_margin") -> tuple[StudyFigure, ...]:
    """Return the figures of most studies: loss and accuracy, metrics, sorted margins, metrics at the end."""
    return (
        StudyFigure("training", {"split": "train"}),
        StudyFigure("curves", {"keys": keys}),
        StudyFigure("margins"),
        StudyFigure("finals", {"keys": f"loss,{keys},top1", "split": "train"}),
    )


def make_settings(
    size: Size, heads: tuple[str, ...], figures: tuple[StudyFigure, ...], *, broad: bool = False
) -> tuple[Setting, ...]:
    """Return the settings with real data, each with the heads named."""
    return tuple(
        Setting(name, title, make_arms(base, *heads), figures)
        for name, (title, base) in choose_real_data(size, broad=broad).items()
    )
