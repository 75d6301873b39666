"""(c) Does the gradient through the choice of the nearest ETF matter?"""

from __future__ import annotations

from ncstudies.studies.study_settings import CUT, NEAREST, PAPER, arms, free, settings
from ncstudies.study import Claim, Drawing, Level, Setting, Size, Study, TimeTo


def implicit(size: Size) -> Study:
    """The gradient through the nearest ETF, on and off."""
    source = f"{PAPER}, §3 and appendix"
    claims = (
        Claim("With the gradient, NC1 ends lower.", source, Level("nc1"), "lower", NEAREST, CUT),
        Claim("With the gradient, NC3 ends lower.", source, Level("nc3"), "lower", NEAREST, CUT),
        Claim("With the gradient, the loss ends lower.", source, Level("loss"), "lower", NEAREST, CUT),
        Claim("With the gradient, features collapse sooner.", source, TimeTo("nc1", 0.5), "lower", NEAREST, CUT),
        Claim("With the gradient, margins end larger.", source, Level("cosine_margin"), "higher", NEAREST, CUT),
    )
    drawings = (Drawing("implicit"), Drawing("margins"), Drawing("test"))
    title, base = free(10, 1000 if size == "laptop" else 2000)
    free_setting = Setting("ufm-10", title, arms(base, NEAREST, CUT), (Drawing("implicit"), Drawing("margins")))
    return Study(
        "implicit",
        "With and without the gradient through the nearest ETF",
        "The gradient reaches the features by two ways: through the logits, and through the choice of the nearest ETF. "
        "What does the second add?",
        claims,
        (*settings(size, (NEAREST, CUT), drawings), free_setting),
        remarks=(
            "Unconstrained features end collapsed to the precision of float32 in both arms: what differs there is "
            "rounding, and says nothing of the method.",
        ),
    )
