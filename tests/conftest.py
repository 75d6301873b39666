"""Real servers, real databases, real processes. Each test ends only what it started, by id."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from backend.store.database import Store, open_store
from ncengine.config import Digits, MeasureConfig, Mlp, RunConfig

COLLAPSE = Path(sys.executable).with_name("collapse")


def tiny(**changes: object) -> RunConfig:
    """Return a run of a few seconds on real data."""
    settings: dict[str, object] = {
        "data": Digits(),
        "backbone": Mlp(features=16, width=32, depth=1),
        "epochs": 3,
        "batch_size": 64,
        "measure": MeasureConfig(first_epoch_captures=2, features=100),
    }
    return RunConfig.model_validate(settings | changes)


def wait_for(condition: Callable[[], object], seconds: float = 60, what: str = "the condition") -> object:
    """Return the condition's first true value, or fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come within {seconds} s")


class ServerProcess:
    """A `collapse serve` of its own, on a free port."""

    def __init__(self, data: Path, *options: str) -> None:
        self.data = data
        self.log = data.with_suffix(".log")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("COLLAPSE_")}
        environment.pop("DISPLAY", None)
        self.started = time.monotonic()
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [COLLAPSE, "serve", "--data", str(data), "--no-open", *options],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        address = wait_for(self._address, 30, f"the address in {self.log}")
        self.url, self.token = str(address).split("/?token=")
        wait_for(self._healthy, 30, "/healthz")
        self.up_after_s = time.monotonic() - self.started

    def _address(self) -> str | None:
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended at once: {self.log.read_text()}")
        found = re.search(r"(http://\S+/\?token=\S+)", self.log.read_text())
        return found.group(1) if found else None

    def _healthy(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/healthz").status_code == 200
        return False

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {self.token}"}, timeout=60)

    def stop(self) -> int:
        """Ctrl-C, as a user would."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=20)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def end_workers(store: Store) -> None:
    """End the workers of a store's running attempts, by their recorded identity."""
    from backend.jobs.processes import ProcessIdentity
    from backend.store import runs

    for row in runs.owned_attempts(store):
        if row.pid is not None:
            ProcessIdentity(row.pid, row.process_started, row.boot_id).signal_group(signal.SIGKILL)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "data")
    yield opened
    end_workers(opened)
    opened.close()


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Return a function that starts servers; all are ended afterwards, and their workers."""
    servers: list[ServerProcess] = []

    def start(*options: str, data: Path | None = None) -> ServerProcess:
        servers.append(ServerProcess(data or tmp_path / "data", *options))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.stop()
    for data in {server.data for server in servers}:
        opened = open_store(data)
        end_workers(opened)
        opened.close()


@pytest.fixture(scope="session")
def quiet_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server without a demonstration or a warm worker, for tests of the API."""
    server = ServerProcess(tmp_path_factory.mktemp("quiet") / "data", "--no-demonstration", "--no-warm")
    yield server
    server.stop()
    opened = open_store(server.data)
    end_workers(opened)
    opened.close()
