"""A PostgreSQL of the tests' own: a cluster in a temporary folder, on a free port of 127.0.0.1, ended with them."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))


def binary(name: str) -> Path | None:
    """Return one of PostgreSQL's programs, or None where it is not installed."""
    if BINARIES:
        return BINARIES[-1].with_name(name)
    found = shutil.which(name)
    return Path(found) if found else None


class Cluster:
    """A running server; each test makes databases of its own in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        initdb = binary("initdb")
        assert initdb is not None
        # PostgreSQL refuses to run as root.
        self._user = next((n for n in ("postgres", "nobody") if os.geteuid() == 0 and _exists(n)), None)
        if self._user:
            shutil.chown(folder, self._user)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._call(initdb, "-D", folder / "data", "-U", "collapse", "-A", "trust", "--no-sync", "-E", "UTF8")
        self.start()

    def _call(self, *command: object) -> None:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, user=self._user, cwd="/")
        assert done.returncode == 0, done.stdout + done.stderr

    def _control(self, *arguments: object) -> None:
        # pg_ctl leaves the server with our pipes, so nobody may wait for their end.
        with (self._folder / "control.log").open("ab") as log:
            command = [str(part) for part in (binary("pg_ctl"), "-D", self._folder / "data", "-w", *arguments)]
            done = subprocess.run(command, stdout=log, stderr=log, user=self._user, cwd="/")
        assert done.returncode == 0, (self._folder / "control.log").read_text()

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        self._control("-l", self._folder / "server.log", "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        self._control("-m", mode, "stop")

    def restart(self) -> None:
        """Cut all connections, be away, and come back."""
        self.stop()
        self.start()

    def database(self) -> str:
        """Make an empty database and return its URL."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        address = f"postgresql://collapse@127.0.0.1:{self.port}/"
        with psycopg.connect(address + "postgres", autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return address.replace("postgresql", "postgresql+psycopg") + name

    def close(self) -> None:
        with contextlib.suppress(AssertionError):
            self.stop("immediate")


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """Run a cluster in a folder of its own, which another user than root can reach."""
    with tempfile.TemporaryDirectory(prefix="collapse-postgres-") as folder:
        running = Cluster(Path(folder))
        try:
            yield running
        finally:
            running.close()
