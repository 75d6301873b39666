"""What `make test` leaves out is marked, and what it names is there."""

from __future__ import annotations

import pytest

from tests import repetitions


def test_cases_that_are_not_kept_are_exhaustive():
    first, second, third = repetitions.exhaustive_except(["a", ("b", 1), "c"], ["a"])
    assert first == "a"
    assert (second.values, third.values) == (("b", 1), ("c",))
    assert [[mark.name for mark in case.marks] for case in (second, third)] == [["exhaustive"], ["exhaustive"]]


@pytest.mark.parametrize("kept", [[], ["renamed"]])
def test_a_case_to_keep_must_be_there(kept):
    with pytest.raises(ValueError, match="kept must be some of the cases"):
        repetitions.exhaustive_except(["a", "b"], kept)


@pytest.mark.parametrize(("exhaustive", "expected"), [(False, 5), (True, 50)])
def test_the_option_chooses_the_count(monkeypatch, exhaustive, expected):
    monkeypatch.setattr(repetitions, "exhaustive", exhaustive)
    assert repetitions.repetitions(5, 50) == expected
