"""(d) Is it the normalisation? The standard head on raw features."""

from __future__ import annotations

from ncstudies.studies.study_settings import LINEAR, NEAREST, OWN, PAPER, RAW, settings, standard
from ncstudies.study import Claim, EpochsToThreshold, MetricAt, Size, Study, StudyFigure


def unnormalised(size: Size) -> Study:
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
        settings(
            size,
            (NEAREST, LINEAR, RAW),
            (*standard(), StudyFigure("equinorm", {"split": "train"}), StudyFigure("test")),
        ),
        remarks=("Losses are not compared: raw features may grow, and the loss falls with their length alone.",),
    )
