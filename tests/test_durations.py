"""The order of test files, and what the summary says of long tests."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import durations, repetitions

ROOT = Path(__file__).parents[1]


def test_the_files_and_tests_that_are_named_are_there():
    for file in durations.LONGEST_FILES:
        assert (ROOT / file).is_file(), file
    for name in durations.LONG_TESTS:
        file, _, test = name.partition("::")
        assert f"def {test}" in (ROOT / file).read_text(), name


def test_tests_of_long_files_are_first_and_stay_in_order():
    names = ["tests/a.py::z", "tests/a.py::y", f"{durations.LONGEST_FILES[1]}::b", f"{durations.LONGEST_FILES[0]}::c"]
    items = durations.longest_first([SimpleNamespace(nodeid=name) for name in names])
    assert [item.nodeid for item in items] == [names[3], names[2], names[0], names[1]]


@pytest.mark.skipif(repetitions.exhaustive, reason="with --exhaustive tests may take long")
def test_a_test_that_takes_too_long_is_listed_with_all_of_its_parts():
    lines = []
    listed = next(iter(durations.LONG_TESTS))
    reports = [
        pytest.TestReport(name, ("", 0, ""), {}, "passed", None, when, duration=taken)
        for name, when, taken in [
            ("a::slow", "setup", 6),
            ("a::slow", "call", 5),
            ("a::quick", "call", 9),
            (listed, "call", 99),
        ]
    ]
    reporter = SimpleNamespace(
        stats={"": reports[:1], "passed": reports[1:], "deselected": ["a::left_out"]},
        section=lines.append,
        write_line=lines.append,
    )
    durations.pytest_terminal_summary(reporter)
    assert lines == ["tests that took over 10 s (tests/durations.py)", "  11.0 s  a::slow"]
