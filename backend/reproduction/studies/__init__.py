"""The studies that there are, each a function of the size. One file and one line make a new one."""

from __future__ import annotations

from collections.abc import Callable

from backend.reproduction.studies.averaging import averaging
from backend.reproduction.studies.convergence import convergence
from backend.reproduction.studies.costs import costs
from backend.reproduction.studies.hard_labels import label_noise, long_tail
from backend.reproduction.studies.implicit import implicit
from backend.reproduction.studies.learned import learned
from backend.reproduction.studies.ufm import ufm
from backend.reproduction.studies.unnormalised import unnormalised
from backend.reproduction.study import Size, Study

STUDIES: dict[str, Callable[[Size], Study]] = {
    "convergence": convergence,
    "ufm": ufm,
    "implicit": implicit,
    "unnormalised": unnormalised,
    "costs": costs,
    "averaging": averaging,
    "learned": learned,
    "long-tail": long_tail,
    "label-noise": label_noise,
}
