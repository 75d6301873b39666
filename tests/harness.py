"""Real servers, real processes, a real browser: what tests, benchmarks and the script of the README's pictures start.

Each function ends only processes that it started, by process id.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import psutil
from playwright.sync_api import Browser, Playwright

from backend.store.database import Store
from ncengine.backbones.small_networks import Mlp
from ncengine.config import MeasureConfig, RunConfig
from ncengine.data.embedded import Digits

Result = TypeVar("Result")
COLLAPSE = Path(sys.executable).with_name("collapse")
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--enable-unsafe-swiftshader",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    # The page itself is put together without GL, which software would compute: a third less of the processor's time.
    "--disable-gpu-compositing",
]


def open_chromium(playwright: Playwright) -> Browser:
    """Start Debian's Chromium where it is installed, else Playwright's own; WebGL in software."""
    return playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_ARGUMENTS)


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


def wait_for(condition: Callable[[], object], seconds: float = 120, what: str = "the condition") -> object:
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

    def __init__(self, data: Path, *options: str, verify: str | bool = True) -> None:
        self.data = data
        self._trust = ssl.create_default_context(cafile=verify) if isinstance(verify, str) else verify
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
        found = re.search(r"(https?://\S+/\?token=\S+)", self.log.read_text())
        return found.group(1) if found else None

    def _healthy(self) -> bool:
        with contextlib.suppress(httpx2.TransportError):
            return httpx2.get(f"{self.url}/healthz", verify=self._trust).status_code == 200
        return False

    def client(self) -> httpx2.Client:
        return httpx2.Client(base_url=self.url, headers={"authorization": f"Bearer {self.token}"}, timeout=60)

    def stop(self) -> int:
        """Ctrl-C, as a user would."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=20)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def run_async(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end in a thread of its own: Playwright keeps a running loop in the main one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def end_workers(store: Store) -> None:
    """End the workers of a store's running attempts, by their recorded identity."""
    from backend.jobs.processes import ProcessIdentity
    from backend.store import run_attempts

    for row in run_attempts.list_running_attempts(store):
        if row.pid is not None:
            ProcessIdentity(row.pid, row.process_started, row.boot_id).signal_group(signal.SIGKILL)


def end_workers_of(data: Path) -> None:
    """End the workers of a data directory, by their command line: its database may be gone."""
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "backend.jobs.worker" in words and str(data) in words:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
                process.wait(timeout=20)


def record_here(store: Store, run_id: str, number: int) -> None:
    """Say that this very process runs an attempt, so that no supervisor takes it for gone."""
    from backend.jobs.processes import read_identity
    from backend.store import run_attempts
    from backend.store.identity import read_machine_id

    us = read_identity(os.getpid())
    run_attempts.record_process(
        store, run_id, number, pid=us.pid, process_started=us.started, boot_id=us.boot_id, host=read_machine_id()
    )
