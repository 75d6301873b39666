"""Beyond the paper: does the nearest ETF help where classes are unequal, or labels wrong?"""

from __future__ import annotations

from ncengine.config import RunConfig
from ncstudies.studies.study_settings import FIXED, LINEAR, NEAREST, OWN, arms, fashion, on_cifar, standard
from ncstudies.study import Claim, Drawing, Level, Setting, Size, Study

HEADS = (NEAREST, FIXED, LINEAR)


def _claims(*also: Claim) -> tuple[Claim, ...]:
    return (
        Claim("The nearest ETF classifies the test images better than a linear classifier.", OWN,
              Level("top1", "test"), "higher", NEAREST, LINEAR),
        Claim("The nearest ETF classifies the test images better than a fixed ETF.", OWN,
              Level("top1", "test"), "higher", NEAREST, FIXED),
        *also,
        Claim("NC1 ends lower than with a linear classifier.", OWN, Level("nc1"), "lower", NEAREST, LINEAR),
        Claim("NC3 ends lower than with a linear classifier.", OWN, Level("nc3"), "lower", NEAREST, LINEAR),
    )  # fmt: skip


def long_tail(size: Size) -> Study:
    """Unequal classes: fifty times fewer samples of the last than of the first."""
    tail: dict[str, object] = {"imbalance": "exponential", "imbalance_factor": 0.02}
    base = on_cifar(size, fashion({"per_class": None} | tail, epochs=60), tail)
    also = [
        Claim(f"Classes with few samples are recognised better than with {words}.", OWN,
              Level("tail_top1", "test"), "higher", NEAREST, other)
        for other, words in ((LINEAR, "a linear classifier"), (FIXED, "a fixed ETF"))
    ] + [
        Claim("The means of classes with few samples stay further apart than with a linear classifier.", OWN,
              Level("tail_cosine_means"), "lower", NEAREST, LINEAR),
    ]  # fmt: skip
    drawings = (*standard(), Drawing("test"), Drawing("finals", {"keys": "top1,head_top1,tail_top1", "split": "test"}))
    return Study(
        "long-tail",
        "Unequal classes",
        "Where some classes have few samples a learned classifier squeezes them together (minority collapse). Does it "
        "help to set it to the nearest ETF, which keeps all classes equally far apart?",
        _claims(*also),
        (_setting("long-tail", "long tail, factor 50", base, drawings),),
        remarks=("Batches are stratified: each holds the classes in equal shares as far as their samples go.",),
    )


def label_noise(size: Size) -> Study:
    """Every fifth training label wrong."""
    noise: dict[str, object] = {"label_noise": "symmetric", "noise_rate": 0.2}
    base = on_cifar(size, fashion(noise), noise)
    also = (
        Claim("The nearest ETF learns fewer of the wrong labels than a linear classifier.", OWN, Level("top1"), "lower",
              NEAREST, LINEAR),
        Claim("The nearest ETF learns fewer of the wrong labels than a fixed ETF.", OWN, Level("top1"), "lower",
              NEAREST, FIXED),
    )  # fmt: skip
    return Study(
        "label-noise",
        "Wrong labels",
        "A fifth of the training labels is replaced by another class at random. Does pulling features towards the "
        "nearest ETF fix wrong labels in, or does it keep them out?",
        _claims(*also),
        (_setting("label-noise", "a fifth of the labels wrong", base, (*standard(), Drawing("test"))),),
        remarks=("All metrics of the training split are by the labels as given; the test split has the true ones.",),
    )


def _setting(name: str, words: str, base: RunConfig, drawings: tuple[Drawing, ...]) -> Setting:
    return Setting(name, f"{_data(base)}, {words}", arms(base, *HEADS), drawings)


def _data(base: RunConfig) -> str:
    return {"fashion-mnist-mini": "Fashion-MNIST, small CNN"}.get(base.data.name, base.data.name.upper())
