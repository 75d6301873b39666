"""(d) Is it the normalisation? The standard head on raw features."""

from __future__ import annotations

from ncstudies.studies.study_settings import LINEAR, NEAREST, OWN, PAPER, RAW, settings, standard
from ncstudies.study import Claim, Drawing, Level, Size, Study, TimeTo


def unnormalised(size: Size) -> Study:
    """The standard linear head on raw features."""
    source = f"{PAPER}, appendix"
    claims = (
        Claim(
            "The nearest ETF collapses sooner than a standard head without normalisation too.",
            source, TimeTo("nc1", 0.5), "lower", NEAREST, RAW,
        ),
        Claim("NC1 ends lower.", source, Level("nc1"), "lower", NEAREST, RAW),
        Claim("NC3 ends lower.", source, Level("nc3"), "lower", NEAREST, RAW),
        Claim("The cosine margin ends larger.", source, Level("cosine_margin"), "higher", NEAREST, RAW),
        Claim("It generalises better.", source, Level("top1", "test"), "higher", NEAREST, RAW),
        Claim(
            "Normalised features collapse further than raw ones under a learned classifier.",
            OWN, Level("nc1"), "lower", LINEAR, RAW,
        ),
    )  # fmt: skip
    return Study(
        "unnormalised",
        "The standard head without normalisation",
        "The heads compared elsewhere work on features of one length. Does the nearest ETF keep its lead over a linear "
        "classifier on features as the network makes them?",
        claims,
        settings(size, (NEAREST, LINEAR, RAW), (*standard(), Drawing("equinorm", {"split": "train"}), Drawing("test"))),
        remarks=("Losses are not compared: raw features may grow, and the loss falls with their length alone.",),
    )
