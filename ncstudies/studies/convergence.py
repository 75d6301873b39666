"""(a) Does the nearest ETF converge sooner and more steadily than a fixed ETF and a learned classifier?"""

from __future__ import annotations

from ncstudies.studies.study_settings import FIXED, LINEAR, NEAREST, PAPER, settings, standard
from ncstudies.study import Claim, Drawing, Level, Size, Study, TimeTo

FLOOR = (
    "Unit rows and features of length τ hold the loss above log(1 + (K−1)·exp(−τK/(K−1))), 0.034 for K = 10 and τ = 5; "
    "the rows of a linear classifier may grow, and its loss then falls further."
)
SOURCE = f"{PAPER}, abstract and §4"


def convergence(size: Size) -> Study:
    """Nearest ETF against fixed ETF and linear: loss, accuracy, NC1, NC3, margins."""
    claims = []
    for other in (FIXED, LINEAR):
        claims += [
            Claim(
                f"The nearest ETF fits the training data sooner than {words(other)}.",
                SOURCE, Level("top1", at=0.25), "higher", NEAREST, other,
            ),
            Claim(
                f"Its features collapse sooner than with {words(other)}.",
                SOURCE, TimeTo("nc1", 0.5), "lower", NEAREST, other,
            ),
            Claim(f"NC1 ends lower than with {words(other)}.", SOURCE, Level("nc1"), "lower", NEAREST, other),
            Claim(f"NC3 ends lower than with {words(other)}.", SOURCE, Level("nc3"), "lower", NEAREST, other),
            Claim(
                f"The cosine margin ends larger than with {words(other)}.",
                SOURCE, Level("cosine_margin"), "higher", NEAREST, other,
            ),
            Claim(
                f"The training loss ends lower than with {words(other)}.",
                SOURCE, Level("loss"), "lower", NEAREST, other,
            ),
            Claim(
                f"It generalises better than {words(other)}.",
                SOURCE, Level("top1", "test"), "higher", NEAREST, other,
            ),
            Claim(
                f"Training is steadier over seeds than with {words(other)}.",
                f"{PAPER}, abstract", Level("top1", at=0.25), "steadier", NEAREST, other,
            ),
        ]  # fmt: skip
    drawings = (*standard(), Drawing("times", {"threshold": "0.5"}), Drawing("test"))
    return Study(
        "convergence",
        "Convergence of the nearest ETF, a fixed ETF, and a linear classifier",
        "The classifier set to the simplex ETF nearest to the class means, and differentiated through, is said to "
        "accelerate convergence and to make training steadier.",
        tuple(claims),
        settings(size, (NEAREST, FIXED, LINEAR), drawings, broad=True),
        remarks=(
            "All arms see the same batches, stratified, in the same order.",
            FLOOR,
        ),
    )


def words(arm: str) -> str:
    """Return an arm in a sentence."""
    return f"the {arm} classifier" if arm.startswith("linear") else f"the {arm}"
