"""All studies, each a function of the size. A new study is one function and one line here."""

from __future__ import annotations

from collections.abc import Callable

from ncstudies.studies.further_questions import (
    make_averaging_study,
    make_label_noise_study,
    make_learned_study,
    make_long_tail_study,
)
from ncstudies.studies.paper_claims import (
    make_convergence_study,
    make_costs_study,
    make_implicit_study,
    make_ufm_study,
    make_unnormalised_study,
)
from ncstudies.study import Size, Study

STUDIES: dict[str, Callable[[Size], Study]] = {
    "convergence": make_convergence_study,
    "ufm": make_ufm_study,
    "implicit": make_implicit_study,
    "unnormalised": make_unnormalised_study,
    "costs": make_costs_study,
    "averaging": make_averaging_study,
    "learned": make_learned_study,
    "long-tail": make_long_tail_study,
    "label-noise": make_label_noise_study,
}
