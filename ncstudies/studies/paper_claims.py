"""The paper's claims: convergence, unconstrained features, the implicit gradient, normalisation, costs."""

from __future__ import annotations

from ncengine.config import RunConfig, with_overrides
from ncstudies.studies.study_settings import (
    CUT,
    FIXED,
    HEADS,
    LINEAR,
    NEAREST,
    OWN,
    PAPER,
    RAW,
    choose_real_data,
    make_arms,
    make_free_features,
    make_settings,
    make_standard_figures,
)
from ncstudies.study import Claim, EpochsToThreshold, MetricAt, PeakMemory, Setting, Size, StepTime, Study, StudyFigure

FLOOR = (
    "Unit rows and features of length τ hold the loss above log(1 + (K−1)·exp(−τK/(K−1))), 0.034 for K = 10 and τ = 5; "
    "the rows of a linear classifier may grow, and its loss then falls further."
)
SOURCE = f"{PAPER}, abstract and §4"


def make_convergence_study(size: Size) -> Study:
    """Nearest ETF against fixed ETF and linear: loss, accuracy, NC1, NC3, margins."""
    claims = []
    for other in (FIXED, LINEAR):
        claims += [
            Claim(
                f"The nearest ETF fits the training data sooner than {format_arm(other)}.",
                SOURCE, MetricAt("top1", at=0.25), "higher", NEAREST, other,
            ),
            Claim(
                f"Its features collapse sooner than with {format_arm(other)}.",
                SOURCE, EpochsToThreshold("nc1", 0.5), "lower", NEAREST, other,
            ),
            Claim(f"NC1 ends lower than with {format_arm(other)}.", SOURCE, MetricAt("nc1"), "lower", NEAREST, other),
            Claim(f"NC3 ends lower than with {format_arm(other)}.", SOURCE, MetricAt("nc3"), "lower", NEAREST, other),
            Claim(
                f"The cosine margin ends larger than with {format_arm(other)}.",
                SOURCE, MetricAt("cosine_margin"), "higher", NEAREST, other,
            ),
            Claim(
                f"The training loss ends lower than with {format_arm(other)}.",
                SOURCE, MetricAt("loss"), "lower", NEAREST, other,
            ),
            Claim(
                f"It generalises better than {format_arm(other)}.",
                SOURCE, MetricAt("top1", "test"), "higher", NEAREST, other,
            ),
            Claim(
                f"Training is steadier over seeds than with {format_arm(other)}.",
                f"{PAPER}, abstract", MetricAt("top1", at=0.25), "steadier", NEAREST, other,
            ),
        ]  # fmt: skip
    figures = (*make_standard_figures(), StudyFigure("times", {"threshold": "0.5"}), StudyFigure("test"))
    return Study(
        "convergence",
        "Convergence of the nearest ETF, a fixed ETF, and a linear classifier",
        "The classifier set to the simplex ETF nearest to the class means, and differentiated through, is said to "
        "accelerate convergence and to make training steadier.",
        tuple(claims),
        make_settings(size, (NEAREST, FIXED, LINEAR), figures, broad=True),
        remarks=(
            "All arms see the same batches, stratified, in the same order.",
            FLOOR,
        ),
    )


def format_arm(arm: str) -> str:
    """Return the name of an arm as a sentence needs it."""
    return f"the {arm} classifier" if arm.startswith("linear") else f"the {arm}"


LAPTOP_STEPS = {10: 1000, 100: 400, 200: 150}
PAPER_STEPS = {10: 2000, 100: 2000, 200: 2000, 1000: 2000}


def make_ufm_study(size: Size) -> Study:
    """The unconstrained-features model from 10 to 1,000 classes, by head."""
    source = f"{PAPER}, §4"
    steps = LAPTOP_STEPS if size == "laptop" else PAPER_STEPS
    claims = []
    for other in (FIXED, LINEAR):
        claims += [
            Claim(
                f"The loss is lower early on than with {format_arm(other)}.",
                source, MetricAt("loss", at=0.1), "lower", NEAREST, other,
            ),
            Claim(
                f"Free features collapse sooner than with {format_arm(other)}.",
                source, EpochsToThreshold("nc1", 0.1), "lower", NEAREST, other,
            ),
            Claim(f"NC3 ends lower than with {format_arm(other)}.", source, MetricAt("nc3"), "lower", NEAREST, other),
            Claim(
                f"The cosine margin is larger early on than with {format_arm(other)}.",
                source, MetricAt("cosine_margin", at=0.1), "higher", NEAREST, other,
            ),
        ]  # fmt: skip
    figures = (*make_standard_figures(), StudyFigure("times"))
    free_settings = []
    for classes, count in steps.items():
        title, base = make_free_features(classes, count)
        free_settings.append(Setting(f"ufm-{classes}", title, make_arms(base, NEAREST, FIXED, LINEAR), figures))
    return Study(
        "ufm",
        "Unconstrained features, from ten classes on",
        "Where features are free parameters nothing but the classifier shapes the geometry: is the way to collapse "
        "shorter towards the nearest ETF, and does that hold with many classes?",
        tuple(claims),
        tuple(free_settings),
        remarks=(
            "Every step takes all features. Stochastic gradient descent with momentum, a cosine schedule, a weight "
            "decay for each number of classes; measured ever further apart.",
            FLOOR,
        ),
    )


def make_implicit_study(size: Size) -> Study:
    """The gradient through the nearest ETF, on and off."""
    source = f"{PAPER}, §3 and appendix"
    claims = (
        Claim("With the gradient, NC1 ends lower.", source, MetricAt("nc1"), "lower", NEAREST, CUT),
        Claim("With the gradient, NC3 ends lower.", source, MetricAt("nc3"), "lower", NEAREST, CUT),
        Claim("With the gradient, the loss ends lower.", source, MetricAt("loss"), "lower", NEAREST, CUT),
        Claim(
            "With the gradient, features collapse sooner.", source, EpochsToThreshold("nc1", 0.5), "lower", NEAREST, CUT
        ),
        Claim("With the gradient, margins end larger.", source, MetricAt("cosine_margin"), "higher", NEAREST, CUT),
    )
    figures = (StudyFigure("implicit"), StudyFigure("margins"), StudyFigure("test"))
    title, base = make_free_features(10, 1000 if size == "laptop" else 2000)
    free_setting = Setting(
        "ufm-10", title, make_arms(base, NEAREST, CUT), (StudyFigure("implicit"), StudyFigure("margins"))
    )
    return Study(
        "implicit",
        "With and without the gradient through the nearest ETF",
        "The gradient reaches the features by two ways: through the logits, and through the choice of the nearest ETF. "
        "What does the second add?",
        claims,
        (*make_settings(size, (NEAREST, CUT), figures), free_setting),
        remarks=(
            "Unconstrained features end collapsed to the precision of float32 in both arms: what differs there is "
            "rounding, and says nothing of the method.",
        ),
    )


def make_unnormalised_study(size: Size) -> Study:
    """The standard linear head on raw features."""
    source = f"{PAPER}, appendix"
    claims = (
        Claim(
            "The nearest ETF collapses sooner than a standard head without normalisation too.",
            source, EpochsToThreshold("nc1", 0.5), "lower", NEAREST, RAW,
        ),
        Claim("NC1 ends lower.", source, MetricAt("nc1"), "lower", NEAREST, RAW),
        Claim("NC3 ends lower.", source, MetricAt("nc3"), "lower", NEAREST, RAW),
        Claim("The cosine margin ends larger.", source, MetricAt("cosine_margin"), "higher", NEAREST, RAW),
        Claim("It generalises better.", source, MetricAt("top1", "test"), "higher", NEAREST, RAW),
        Claim(
            "Normalised features collapse further than raw ones under a learned classifier.",
            OWN, MetricAt("nc1"), "lower", LINEAR, RAW,
        ),
    )  # fmt: skip
    return Study(
        "unnormalised",
        "The standard head without normalisation",
        "The heads compared elsewhere work on features of one length. Does the nearest ETF keep its lead over a linear "
        "classifier on features as the network makes them?",
        claims,
        make_settings(
            size,
            (NEAREST, LINEAR, RAW),
            (*make_standard_figures(), StudyFigure("equinorm", {"split": "train"}), StudyFigure("test")),
        ),
        remarks=("Losses are not compared: raw features may grow, and the loss falls with their length alone.",),
    )


ITERATED = "nearest ETF, iterative solver"


def make_costs_study(size: Size) -> Study:
    """Time and memory of a step by head; one run at a time."""
    source = f"{PAPER}, appendix"
    claims = (
        Claim("A step with the nearest ETF takes longer than with a linear classifier.", source, StepTime(), "higher",
              NEAREST, LINEAR),
        Claim("A step with the nearest ETF takes longer than with a fixed ETF.", source, StepTime(), "higher",
              NEAREST, FIXED),
        Claim("The gradient through the nearest ETF makes the backward pass longer.", source, StepTime(("backward",)),
              "higher", NEAREST, CUT),
        Claim("The nearest ETF takes more memory than a linear classifier.", source, PeakMemory(), "higher",
              NEAREST, LINEAR),
        Claim("The closed form takes less time in the head than an iterative solver.", OWN, StepTime(("head",)),
              "lower", NEAREST, ITERATED),
    )  # fmt: skip
    cost_settings = []
    for name, (title, base) in choose_real_data(size).items():
        if name != "digits":  # its network is that of the other, on fewer pixels
            cost_settings.append(_setting(f"{name}-costs", title, with_overrides(base, {"epochs": 4})))
    for classes, steps in ((100, 40),) if size == "laptop" else ((100, 200), (1000, 50)):
        title, base = make_free_features(classes, steps)
        cost_settings.append(_setting(f"ufm-{classes}-costs", title, base))
    return Study(
        "costs",
        "Time and memory of a training step",
        "Each step finds the nearest ETF and differentiates through it: what does that cost beside other heads?",
        claims,
        tuple(cost_settings),
        exclusive=True,
        remarks=(
            "One run at a time, all heads of a seed before the next seed, each run in a process of its own. The times "
            "are the medians of what a run reports of its steps; their ratios say more than the times themselves.",
            "On a CPU the memory is that of the whole process, in which a head is little beside the libraries.",
        ),
    )


def _setting(name: str, title: str, base: RunConfig) -> Setting:
    cost_arms = make_arms(base, NEAREST, CUT, FIXED, LINEAR)
    cost_arms[ITERATED] = with_overrides(base, HEADS[NEAREST] | {"head.solver": "riemannian"})
    return Setting(name, title, cost_arms, (StudyFigure("costs"),))
