"""Suggestions for mistyped names, for every error message that lists what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Return " (did you mean 'x'?)" for the candidate most similar to `name`, or "" if none is similar.

    A dotted candidate is also found by its last part: `lr` suggests `optimiser.lr`.
    """
    names = list(candidates)
    known: dict[str, str] = {}
    for candidate in names:
        known.setdefault(candidate.rpartition(".")[2].lower(), candidate)
    known |= {candidate.lower(): candidate for candidate in names}
    similar = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.7)
    return f" (did you mean {known[similar[0]]!r}?)" if similar else ""
