"""Beyond the paper: a rotation learned on the Stiefel manifold, between a fixed ETF and the nearest one."""

from __future__ import annotations

from ncstudies.studies.study_settings import FIXED, LEARNED, NEAREST, OWN, settings, standard
from ncstudies.study import Claim, Drawing, Level, Size, Study, TimeTo


def learned(size: Size) -> Study:
    """A learned rotation of the ETF against the nearest and a fixed one."""
    claims = (
        Claim("The nearest ETF collapses sooner than a learned one.", OWN, TimeTo("nc1", 0.5), "lower", NEAREST,
              LEARNED),
        Claim("NC1 ends lower than with a learned one.", OWN, Level("nc1"), "lower", NEAREST, LEARNED),
        Claim("NC3 ends lower than with a learned one.", OWN, Level("nc3"), "lower", NEAREST, LEARNED),
        Claim("It generalises better than a learned one.", OWN, Level("top1", "test"), "higher", NEAREST, LEARNED),
        Claim("A learned ETF collapses sooner than a fixed one.", OWN, TimeTo("nc1", 0.5), "lower", LEARNED, FIXED),
        Claim("With a learned ETF, NC3 ends lower than with a fixed one.", OWN, Level("nc3"), "lower", LEARNED, FIXED),
    )  # fmt: skip
    drawings = (*standard(), Drawing("times", {"threshold": "0.5"}), Drawing("test"))
    return Study(
        "learned",
        "A learned ETF against the nearest one",
        "Between a fixed ETF and the nearest one stands a third way: the rotation as a parameter on the Stiefel "
        "manifold, trained beside the network. Is it as good as the nearest?",
        claims,
        settings(size, (NEAREST, LEARNED, FIXED), drawings),
        remarks=("The rotation is trained by Riemannian Adam (geoopt) with learning rate 0.01, starting from a random "
                 "one; no other rate was tried.",),
    )  # fmt: skip
