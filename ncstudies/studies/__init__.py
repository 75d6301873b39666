"""The studies that there are, each a function of the size. One file and one line make a new one."""

from __future__ import annotations

from collections.abc import Callable

from ncstudies.studies.averaging import averaging
from ncstudies.studies.convergence import convergence
from ncstudies.studies.costs import costs
from ncstudies.studies.hard_labels import label_noise, long_tail
from ncstudies.studies.implicit import implicit
from ncstudies.studies.learned import learned
from ncstudies.studies.ufm import ufm
from ncstudies.studies.unnormalised import unnormalised
from ncstudies.study import Size, Study

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
