"""All studies, each a function of the size. A new study is one function and one line here."""

from __future__ import annotations

from collections.abc import Callable

from ncstudies.studies.further_questions import averaging, label_noise, learned, long_tail
from ncstudies.studies.paper_claims import convergence, costs, implicit, ufm, unnormalised
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
