"""How much a test repeats: little in `make test`, at length in `make test-all` (tests/README.md)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TypeVar

import pytest

Amount = TypeVar("Amount")

exhaustive = False
"""Whether pytest was called with `--exhaustive`; tests/conftest.py sets it before any test is collected."""


def repetitions(short: Amount, long: Amount) -> Amount:
    """Return `long` with `--exhaustive`, else `short`: how often to repeat, or another measure of how much."""
    return long if exhaustive else short


def exhaustive_except(cases: Iterable[object], kept: Collection[object]) -> list[object]:
    """Return `cases` for `parametrize`: those in `kept` run always, the others only with `--exhaustive`.

    As in `parametrize`, a case of several arguments is a tuple.

    Raises:
        ValueError: `kept` names something that is no case, as after a rename.
    """
    all_cases = list(cases)
    if not kept or any(case not in all_cases for case in kept):
        raise ValueError(f"kept must be some of the cases {all_cases}, got {list(kept)}")
    rest = pytest.mark.exhaustive
    return [
        case if case in kept else pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=rest)
        for case in all_cases
    ]
