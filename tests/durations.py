"""How long tests take: long files start first, and the summary names tests that take longer than they may."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest

from tests import repetitions

LIMIT_S = 10.0
"""Seconds that a test may take, its own fixtures included, on an otherwise idle machine of two cores."""

LONG_TESTS = {
    "tests/docs/test_readme.py::test_the_commands_of_the_terminal_work_in_order": "every command of the README",
    "tests/docs/test_readme.py::test_the_python_works_in_order": "all Python of the README",
    "tests/docs/test_site.py::test_every_link_leads": "builds the documentation",
    "tests/docs/test_extending.py::test_the_tests_of_components": "a test run in a copy of the project",
    "tests/docs/test_extending.py::test_the_examples_are_trained_with": "training in a copy of the project",
    "tests/cli/test_plugins.py::test_a_server_trains": "two servers that import anew",
    "tests/faults/test_kill.py::test_kills_at_random_moments": "workers that import anew after each kill",
    "tests/faults/test_storage.py::test_a_database_locked_for_eight_seconds_costs_eight_seconds": "eight seconds",
    "tests/faults/test_storage.py::test_postgresql_restarted_in_mid_run": "two restarts of a real cluster",
    "tests/faults/test_readers.py::test_a_reader_that_never_reads": "the 20 seconds after which it is let go",
    "tests/backend/test_bad_input.py::test_random_requests": "a thousand random requests",
}
"""Beginnings of the names of tests that may take longer, and what takes the time."""

LONGEST_FILES = (
    "tests/docs/test_site.py",
    "tests/docs/test_readme.py",
    "tests/docs/test_extending.py",
    "tests/faults/test_storage.py",
    "tests/faults/test_database_gone.py",
    "tests/cli/test_cli.py",
    "tests/faults/test_kill.py",
    "tests/e2e/test_walk.py",
    "tests/faults/test_pause.py",
    "tests/e2e/test_pages.py",
    "tests/backend/test_bad_input.py",
    "tests/faults/test_readers.py",
    "tests/ncstudies/test_running.py",
    "tests/faults/test_gc_killed.py",
)
"""Test files that take longest, longest first. The last file to start should be a short one, or a process idles."""


def longest_first(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return the tests of LONGEST_FILES before all others; the order within files and of the others stays."""
    ranks = {file: rank for rank, file in enumerate(LONGEST_FILES)}
    return sorted(items, key=lambda item: ranks.get(item.nodeid.partition("::")[0], len(ranks)))


def seconds_by_test(reports: Iterable[object]) -> Counter[str]:
    """Return the seconds of each test: setup, call and teardown together."""
    seconds: Counter[str] = Counter()
    for report in reports:
        if isinstance(report, pytest.TestReport):
            seconds[report.nodeid] += report.duration  # type: ignore[assignment]
    return seconds


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List tests that took longer than LIMIT_S: no failure, because machines differ by a factor of three or four."""
    if repetitions.exhaustive:
        return
    seconds = seconds_by_test(report for kind in terminalreporter.stats.values() for report in kind)
    too_long = [
        (name, taken)
        for name, taken in seconds.most_common()
        if taken > LIMIT_S and not name.startswith(tuple(LONG_TESTS))
    ]
    if too_long:
        terminalreporter.section(f"tests that took over {LIMIT_S:g} s (tests/durations.py)")
        for name, taken in too_long:
            terminalreporter.write_line(f"{taken:6.1f} s  {name}")
