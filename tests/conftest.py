"""Fixtures: real stores and real servers, which the tests that asked for them end; and the option `--exhaustive`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from backend.store.database import Store, open_store
from tests import postgres, prepared, repetitions
from tests.durations import longest_first, pytest_terminal_summary
from tests.harness import ServerProcess, end_workers, end_workers_of, open_chromium

__all__ = ["pytest_terminal_summary"]  # a hook

BOTH = pytest.mark.parametrize("store", ["sqlite", "postgresql"], indirect=True)
"""Runs a test of the store on both databases."""

SQLITE_FIRST = pytest.mark.parametrize(
    "store", repetitions.exhaustive_except(["sqlite", "postgresql"], ["sqlite"]), indirect=True
)
"""Runs a test of the store on SQLite, and on PostgreSQL with `--exhaustive`: where other tests of its kind use BOTH."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--exhaustive",
        action="store_true",
        help="run tests marked exhaustive too, and all repetitions of the others (make test-all)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Choose how much is repeated, and with how many threads torch computes, here and in processes that tests start.

    In a test several processes share two cores. OpenMP's threads then wait for each other in a loop, which makes the
    steps of a tiny run up to 20 times slower. So `make test` computes with one thread in each process; `make test-all`
    with as many as there are cores, as users do. OpenMP reads both when torch is loaded, so they are set here.
    """
    repetitions.exhaustive = config.getoption("--exhaustive")
    threads = {"OMP_WAIT_POLICY": "PASSIVE"} if repetitions.exhaustive else {"OMP_NUM_THREADS": "1"}
    os.environ.update(threads)
    if not repetitions.exhaustive:
        prepared.use()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put long files first, and leave out tests marked `exhaustive`, unless `--exhaustive` asks for them."""
    items[:] = longest_first(items)
    if repetitions.exhaustive:
        return
    left_out = [item for item in items if item.get_closest_marker("exhaustive")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if not item.get_closest_marker("exhaustive")]


@pytest.fixture(scope="session")
def cluster() -> Iterator[postgres.Cluster]:
    """A PostgreSQL server of the tests' own."""
    if postgres.binary("initdb") is None:
        pytest.skip("PostgreSQL's programs are not installed here, and could not be")
    with postgres.cluster() as running:
        yield running


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store: on SQLite, or, where a test is marked with BOTH, on each database in turn."""
    on_postgres = getattr(request, "param", "sqlite") == "postgresql"
    opened = open_store(tmp_path / "data", request.getfixturevalue("cluster").database() if on_postgres else None)
    yield opened
    end_workers(opened)
    opened.close()


@pytest.fixture
def started_anew() -> Iterator[None]:
    """Start every process as users do, with all of its imports, for a test of the start itself (tests/prepared.py)."""
    with prepared.started_anew():
        yield


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Return a function that starts servers; all are ended afterwards, and their workers."""
    servers: list[ServerProcess] = []

    def start(*options: str, data: Path | None = None, verify: str | bool = True) -> ServerProcess:
        servers.append(ServerProcess(data or tmp_path / "data", *options, verify=verify))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.stop()
    for data in {server.data for server in servers}:
        end_workers_of(data)


@pytest.fixture(scope="session")
def quiet_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server without a demonstration or a warm worker, for tests of the API."""
    server = ServerProcess(tmp_path_factory.mktemp("quiet") / "data", "--no-demonstration", "--no-warm")
    yield server
    server.stop()
    end_workers_of(server.data)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests: Playwright runs once in a process."""
    with sync_playwright() as playwright:
        opened = open_chromium(playwright)
        yield opened
        opened.close()
