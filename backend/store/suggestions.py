"""Suggestions for mistyped names, for every error message that lists what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Return " (did you mean 'x'?)" for the candidate most similar to `name`, or "" if none is similar."""
    known = {each.lower(): each for each in candidates}
    similar = difflib.get_close_matches(name.lower(), known, n=1)
    return f" (did you mean {known[similar[0]]!r}?)" if similar else ""
