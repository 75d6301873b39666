"""(e) What does a step cost with each head, in time and memory?"""

from __future__ import annotations

from ncengine.config import RunConfig, with_overrides
from ncstudies.studies.study_settings import CUT, FIXED, HEADS, LINEAR, NEAREST, OWN, PAPER, arms, free, real
from ncstudies.study import Claim, Drawing, Memory, Setting, Size, StepTime, Study

ITERATED = "nearest ETF, iterative solver"


def costs(size: Size) -> Study:
    """Time and memory of a step by head; one run at a time."""
    source = f"{PAPER}, appendix"
    claims = (
        Claim("A step with the nearest ETF takes longer than with a linear classifier.", source, StepTime(), "higher",
              NEAREST, LINEAR),
        Claim("A step with the nearest ETF takes longer than with a fixed ETF.", source, StepTime(), "higher",
              NEAREST, FIXED),
        Claim("The gradient through the nearest ETF makes the backward pass longer.", source, StepTime(("backward",)),
              "higher", NEAREST, CUT),
        Claim("The nearest ETF takes more memory than a linear classifier.", source, Memory(), "higher",
              NEAREST, LINEAR),
        Claim("The closed form takes less time in the head than an iterative solver.", OWN, StepTime(("head",)),
              "lower", NEAREST, ITERATED),
    )  # fmt: skip
    held = []
    for name, (title, base) in real(size).items():
        if name != "digits":  # its network is that of the other, on fewer pixels
            held.append(_setting(f"{name}-costs", title, with_overrides(base, {"epochs": 4})))
    for classes, steps in ((100, 40),) if size == "laptop" else ((100, 200), (1000, 50)):
        title, base = free(classes, steps)
        held.append(_setting(f"ufm-{classes}-costs", title, base))
    return Study(
        "costs",
        "Time and memory of a training step",
        "Each step finds the nearest ETF and differentiates through it: what does that cost beside other heads?",
        claims,
        tuple(held),
        alone=True,
        remarks=(
            "One run at a time, all heads of a seed before the next seed, each run in a process of its own. The times "
            "are the medians of what a run reports of its steps; their ratios say more than the times themselves.",
            "On a CPU the memory is that of the whole process, in which a head is little beside the libraries.",
        ),
    )


def _setting(name: str, title: str, base: RunConfig) -> Setting:
    held = arms(base, NEAREST, CUT, FIXED, LINEAR)
    held[ITERATED] = with_overrides(base, HEADS[NEAREST] | {"head.solver": "riemannian"})
    return Setting(name, title, held, (Drawing("costs"),))
