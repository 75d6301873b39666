"""(b) Free features: 10, 100, 200 (and 1,000) classes."""

from __future__ import annotations

from ncstudies.studies.convergence import FLOOR, words
from ncstudies.studies.study_settings import FIXED, LINEAR, NEAREST, PAPER, arms, free, standard
from ncstudies.study import Claim, Drawing, Level, Setting, Size, Study, TimeTo

LAPTOP_STEPS = {10: 1000, 100: 400, 200: 150}
PAPER_STEPS = {10: 2000, 100: 2000, 200: 2000, 1000: 2000}


def ufm(size: Size) -> Study:
    """The unconstrained-features model from 10 to 1,000 classes, by head."""
    source = f"{PAPER}, §4"
    steps = LAPTOP_STEPS if size == "laptop" else PAPER_STEPS
    claims = []
    for other in (FIXED, LINEAR):
        claims += [
            Claim(
                f"The loss is lower early on than with {words(other)}.",
                source, Level("loss", at=0.1), "lower", NEAREST, other,
            ),
            Claim(
                f"Free features collapse sooner than with {words(other)}.",
                source, TimeTo("nc1", 0.1), "lower", NEAREST, other,
            ),
            Claim(f"NC3 ends lower than with {words(other)}.", source, Level("nc3"), "lower", NEAREST, other),
            Claim(
                f"The cosine margin is larger early on than with {words(other)}.",
                source, Level("cosine_margin", at=0.1), "higher", NEAREST, other,
            ),
        ]  # fmt: skip
    drawings = (*standard(), Drawing("times"))
    held = []
    for classes, count in steps.items():
        title, base = free(classes, count)
        held.append(Setting(f"ufm-{classes}", title, arms(base, NEAREST, FIXED, LINEAR), drawings))
    return Study(
        "ufm",
        "Unconstrained features, from ten classes on",
        "Where features are free parameters nothing but the classifier shapes the geometry: is the way to collapse "
        "shorter towards the nearest ETF, and does that hold with many classes?",
        tuple(claims),
        tuple(held),
        remarks=(
            "Every step takes all features. Stochastic gradient descent with momentum, a cosine schedule, a weight "
            "decay for each number of classes; measured ever further apart.",
            FLOOR,
        ),
    )
