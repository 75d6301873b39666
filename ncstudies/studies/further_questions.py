"""Questions beyond the paper: averaging of the class means, a learned ETF, unequal classes, wrong labels."""

from __future__ import annotations

from ncengine.config import RunConfig, with_overrides
from ncstudies.studies.study_settings import (
    FIXED,
    LEARNED,
    LINEAR,
    NEAREST,
    OWN,
    make_arms,
    make_fashion_config,
    make_settings,
    make_standard_figures,
    use_cifar_at_paper_size,
)
from ncstudies.study import Claim, ClassifierLag, EpochsToThreshold, MetricAt, Setting, Size, Study, StudyFigure

EPOCH, TENTH = "half-life of one epoch", "half-life of a tenth of an epoch"


def make_averaging_study(size: Size) -> Study:
    """Running means with a fixed half-life against the released schedule."""
    claims = (
        Claim(
            "A half-life of one epoch lags less than the released schedule.",
            OWN,
            ClassifierLag(),
            "lower",
            EPOCH,
            NEAREST,
        ),
        Claim("A half-life of a tenth of an epoch lags less still.", OWN, ClassifierLag(), "lower", TENTH, EPOCH),
        Claim("With less lag NC3 ends lower.", OWN, MetricAt("nc3"), "lower", EPOCH, NEAREST),
        Claim("With less lag NC1 ends lower.", OWN, MetricAt("nc1"), "lower", EPOCH, NEAREST),
        Claim("With less lag the test accuracy ends higher.", OWN, MetricAt("top1", "test"), "higher", EPOCH, NEAREST),
    )
    figures = (
        StudyFigure("curves", {"keys": "nc3_distance,etf_distance_means,nc3,nc1"}),
        StudyFigure("training", {"split": "train"}),
        StudyFigure("finals", {"keys": "nc3_distance,etf_distance_means,nc3,nc1,top1", "split": "train"}),
        StudyFigure("test"),
    )
    return Study(
        "averaging",
        "The running class means: released schedule, or a half-life",
        "Under the released schedule the mean age of what is averaged grows like a third of the steps, so that late in "
        "training the classifier would lag behind the class means. Does a fixed half-life remove that lag, and does it "
        "help?",
        claims,
        tuple(
            Setting(each.name, each.title, _averaged(each.arms[NEAREST]), figures)
            for each in make_settings(size, (NEAREST,), ())
        ),
        remarks=(f"“{NEAREST}” has the released schedule, α = max(2/(t + 1), 10⁻⁴).",),
    )


def _averaged(nearest: RunConfig) -> dict[str, RunConfig]:
    steps = nearest.steps_per_epoch

    def half_life(count: float) -> RunConfig:
        return with_overrides(nearest, {"head.averaging": "ema", "head.half_life_steps": max(1.0, count)})

    return {NEAREST: nearest, EPOCH: half_life(steps), TENTH: half_life(steps / 10)}


def make_learned_study(size: Size) -> Study:
    """A learned rotation of the ETF against the nearest and a fixed one."""
    claims = (
        Claim("The nearest ETF collapses sooner than a learned one.", OWN,
              EpochsToThreshold("nc1", 0.5), "lower", NEAREST,
              LEARNED),
        Claim("NC1 ends lower than with a learned one.", OWN, MetricAt("nc1"), "lower", NEAREST, LEARNED),
        Claim("NC3 ends lower than with a learned one.", OWN, MetricAt("nc3"), "lower", NEAREST, LEARNED),
        Claim("It generalises better than a learned one.", OWN, MetricAt("top1", "test"), "higher", NEAREST, LEARNED),
        Claim("A learned ETF collapses sooner than a fixed one.", OWN,
              EpochsToThreshold("nc1", 0.5), "lower", LEARNED, FIXED),
        Claim("With a learned ETF, NC3 ends lower than with a fixed one.", OWN,
              MetricAt("nc3"), "lower", LEARNED, FIXED),
    )  # fmt: skip
    figures = (*make_standard_figures(), StudyFigure("times", {"threshold": "0.5"}), StudyFigure("test"))
    return Study(
        "learned",
        "A learned ETF against the nearest one",
        "Between a fixed ETF and the nearest one stands a third way: the rotation as a parameter on the Stiefel "
        "manifold, trained beside the network. Is it as good as the nearest?",
        claims,
        make_settings(size, (NEAREST, LEARNED, FIXED), figures),
        remarks=("The rotation is trained by Riemannian Adam (geoopt) with learning rate 0.01, starting from a random "
                 "one; no other rate was tried.",),
    )  # fmt: skip


HEADS = (NEAREST, FIXED, LINEAR)


def _claims(*also: Claim) -> tuple[Claim, ...]:
    return (
        Claim("The nearest ETF classifies the test images better than a linear classifier.", OWN,
              MetricAt("top1", "test"), "higher", NEAREST, LINEAR),
        Claim("The nearest ETF classifies the test images better than a fixed ETF.", OWN,
              MetricAt("top1", "test"), "higher", NEAREST, FIXED),
        *also,
        Claim("NC1 ends lower than with a linear classifier.", OWN, MetricAt("nc1"), "lower", NEAREST, LINEAR),
        Claim("NC3 ends lower than with a linear classifier.", OWN, MetricAt("nc3"), "lower", NEAREST, LINEAR),
    )  # fmt: skip


def make_long_tail_study(size: Size) -> Study:
    """Unequal classes: fifty times fewer samples of the last than of the first."""
    tail: dict[str, object] = {"imbalance": "exponential", "imbalance_factor": 0.02}
    base = use_cifar_at_paper_size(size, make_fashion_config({"per_class": None} | tail, epochs=60), tail)
    also = [
        Claim(f"Classes with few samples are recognised better than with {baseline}.", OWN,
              MetricAt("tail_top1", "test"), "higher", NEAREST, other)
        for other, baseline in ((LINEAR, "a linear classifier"), (FIXED, "a fixed ETF"))
    ] + [
        Claim("The means of classes with few samples stay further apart than with a linear classifier.", OWN,
              MetricAt("tail_cosine_means"), "lower", NEAREST, LINEAR),
    ]  # fmt: skip
    figures = (
        *make_standard_figures(),
        StudyFigure("test"),
        StudyFigure("finals", {"keys": "top1,head_top1,tail_top1", "split": "test"}),
    )
    return Study(
        "long-tail",
        "Unequal classes",
        "Where some classes have few samples a learned classifier squeezes them together (minority collapse). Does it "
        "help to set it to the nearest ETF, which keeps all classes equally far apart?",
        _claims(*also),
        (_setting("long-tail", "long tail, factor 50", base, figures),),
        remarks=("Batches are stratified: each holds the classes in equal shares as far as their samples go.",),
    )


def make_label_noise_study(size: Size) -> Study:
    """Every fifth training label wrong."""
    noise: dict[str, object] = {"label_noise": "symmetric", "noise_rate": 0.2}
    base = use_cifar_at_paper_size(size, make_fashion_config(noise), noise)
    also = (
        Claim("The nearest ETF learns fewer of the wrong labels than a linear classifier.", OWN,
              MetricAt("top1"), "lower",
              NEAREST, LINEAR),
        Claim("The nearest ETF learns fewer of the wrong labels than a fixed ETF.", OWN, MetricAt("top1"), "lower",
              NEAREST, FIXED),
    )  # fmt: skip
    return Study(
        "label-noise",
        "Wrong labels",
        "A fifth of the training labels is replaced by another class at random. Does pulling features towards the "
        "nearest ETF fix wrong labels in, or does it keep them out?",
        _claims(*also),
        (
            _setting(
                "label-noise", "a fifth of the labels wrong", base, (*make_standard_figures(), StudyFigure("test"))
            ),
        ),
        remarks=("All metrics of the training split are by the labels as given; the test split has the true ones.",),
    )


def _setting(name: str, description: str, base: RunConfig, figures: tuple[StudyFigure, ...]) -> Setting:
    return Setting(name, f"{_data(base)}, {description}", make_arms(base, *HEADS), figures)


def _data(base: RunConfig) -> str:
    return {"fashion-mnist-mini": "Fashion-MNIST, small CNN"}.get(base.data.name, base.data.name.upper())
