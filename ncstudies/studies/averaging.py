"""Beyond the paper: does a fixed half-life remove the late lag of the running means?"""

from __future__ import annotations

from ncengine.config import RunConfig, with_overrides
from ncstudies.studies.study_settings import NEAREST, OWN, settings
from ncstudies.study import Claim, Drawing, Lag, Level, Setting, Size, Study

EPOCH, TENTH = "half-life of one epoch", "half-life of a tenth of an epoch"


def averaging(size: Size) -> Study:
    """Running means with a fixed half-life against the released schedule."""
    claims = (
        Claim("A half-life of one epoch lags less than the released schedule.", OWN, Lag(), "lower", EPOCH, NEAREST),
        Claim("A half-life of a tenth of an epoch lags less still.", OWN, Lag(), "lower", TENTH, EPOCH),
        Claim("With less lag NC3 ends lower.", OWN, Level("nc3"), "lower", EPOCH, NEAREST),
        Claim("With less lag NC1 ends lower.", OWN, Level("nc1"), "lower", EPOCH, NEAREST),
        Claim("With less lag the test accuracy ends higher.", OWN, Level("top1", "test"), "higher", EPOCH, NEAREST),
    )
    drawings = (
        Drawing("curves", {"keys": "nc3_distance,etf_distance_means,nc3,nc1"}),
        Drawing("training", {"split": "train"}),
        Drawing("finals", {"keys": "nc3_distance,etf_distance_means,nc3,nc1,top1", "split": "train"}),
        Drawing("test"),
    )
    return Study(
        "averaging",
        "The running class means: released schedule, or a half-life",
        "Under the released schedule the mean age of what is averaged grows like a third of the steps, so that late in "
        "training the classifier would lag behind the class means. Does a fixed half-life remove that lag, and does it "
        "help?",
        claims,
        tuple(
            Setting(each.name, each.title, _averaged(each.arms[NEAREST]), drawings)
            for each in settings(size, (NEAREST,), ())
        ),
        remarks=(f"“{NEAREST}” has the released schedule, α = max(2/(t + 1), 10⁻⁴).",),
    )


def _averaged(nearest: RunConfig) -> dict[str, RunConfig]:
    steps = nearest.steps_per_epoch

    def half_life(count: float) -> RunConfig:
        return with_overrides(nearest, {"head.averaging": "ema", "head.half_life_steps": max(1.0, count)})

    return {NEAREST: nearest, EPOCH: half_life(steps), TENTH: half_life(steps / 10)}
