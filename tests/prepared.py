"""Processes that start at once: they are forked from one that has imported their modules.

A worker takes over two seconds of a core to import torch, a server three for its packages, a command half of one, and
the tests start hundreds of them. With `use`, `subprocess.Popen` forks such a process from a prepared parent (this
file, run as a script). The process has a session, environment, directory, streams, command line and exit status of its
own, as if it had been started; only its modules are imported already. A forked server has its workers and its figure
process forked in the same way.

Nothing is forked with `--exhaustive`, and where a test of the start itself uses the fixture `started_anew`; nor where a
variable that Python or a library reads at its start (`LD_PRELOAD`, `OMP_NUM_THREADS` …) has another value than in the
parent.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import inspect
import json
import os
import pkgutil
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from backend.jobs.launcher import WORKER_ENVIRONMENT

FOLDER = "TESTS_PREPARED"
"""The environment variable with the folder in which prepared parents listen; without it nothing is forked."""
READ_AT_START = ("LD_", "PYTHON", "OMP_", "GOMP_", "MKL_", "OPENBLAS_", "CUDA_", "FAKETIME", "MPL")
"""Beginnings of the variables that are read when a process starts or imports, and that torch does not set itself."""
NUMBER = struct.Struct("i")


class Parent(NamedTuple):
    """What a prepared parent imports (`name.*` with all modules of the package), and variables of its own."""

    modules: tuple[str, ...]
    environment: Mapping[str, str] = {}


PADDING = 2048
"""Characters of a parent's command line, in whose place that of a forked process is shown."""
PARENTS = {
    "service": Parent(
        (
            *("backend.api.*", "backend.cli.*", "backend.client.*", "backend.jobs.supervisor", "dashboard.*"),
            *("uvicorn.loops.uvloop", "uvicorn.protocols.http.httptools_impl", "uvicorn.lifespan.on"),
        )
    ),
    "figures": Parent(("backend.cli.*", "backend.figures.*", "ncfigures.*")),
    "worker": Parent(
        ("backend.jobs.worker", "ncengine.training.loop", "ncengine.data.*", "torchvision"),
        WORKER_ENVIRONMENT,
    ),
}
COMMANDS_THAT_DRAW = ("export", "film", "replay")
MODULES = {"backend.jobs.worker": ("worker", "main"), "backend.figures.worker": ("figures", "serve")}


class Order(NamedTuple):
    """A command that can be forked: its prepared parent, the function that is called, and its words."""

    parent: str
    function: str
    words: list[str]


def order_for(command: object) -> Order | None:
    """Return how a command is forked, or None for one for which no parent is prepared."""
    if isinstance(command, str | bytes | os.PathLike) or not isinstance(command, Sequence) or not command:
        return None
    words = [os.fsdecode(word) for word in command]
    if words[0] == str(Path(sys.executable).with_name("collapse")):
        parent = "figures" if words[1:2] and words[1] in COMMANDS_THAT_DRAW else "service"
        return Order(parent, "backend.cli.main:main", words)
    if words[:3] == [sys.executable, "-P", "-m"] and words[3] in MODULES:
        parent, function = MODULES[words[3]]
        return Order(parent, f"{words[3]}:{function}", words)
    return None


def read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a forked process has from its parent, whatever it is given."""
    return {name: value for name, value in environment.items() if name.startswith(READ_AT_START)}


# ── in the process that runs tests, and in servers ──────────────────────────────────────────────────────────────────


class PreparedPopen(subprocess.Popen):  # type: ignore[type-arg]
    """`subprocess.Popen`, whose process is forked from a prepared parent where there is one for the command."""

    _status_fd: int | None = None
    """A connection to the prepared parent, which sends the exit status."""

    def _execute_child(self, *arguments: Any) -> None:
        start = super()._execute_child  # type: ignore[misc]
        given = inspect.signature(start).bind(*arguments).arguments
        environment = dict(os.environ if given["env"] is None else given["env"])
        is_special = any(given.get(name) for name in ("executable", "preexec_fn", "pass_fds", "shell", "uid", "gid"))
        order = order_for(given["args"]) if environment.get(FOLDER) and not is_special else None
        parent = connect(order.parent, environment) if order else None
        if order is None or parent is None:
            start(*arguments)
            return
        place = {"cwd": os.fspath(given["cwd"] or Path.cwd()), "environment": environment}
        content = json.dumps(order._asdict() | place | {"new_session": bool(given["start_new_session"])}).encode()
        streams = [given["p2cread"], given["c2pwrite"], given["errwrite"]]
        try:
            self.pid = fork_for(parent, content, [own if fd == -1 else fd for own, fd in enumerate(streams)])
        except ConnectionError as error:
            parent.close()
            raise has_ended(order.parent, environment) from error
        self._status_fd, self._child_created = parent.detach(), True
        pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(given[pipe] for pipe in pipes))  # type: ignore[attr-defined]

    def _has_ended(self, timeout_s: float | None) -> bool:
        """Return whether a forked process ends within so many seconds, and keep its status."""
        assert self._status_fd is not None
        if self.returncode is None and select.select([self._status_fd], [], [], timeout_s)[0]:
            with self._waitpid_lock:  # type: ignore[attr-defined]
                if self.returncode is None:
                    status = os.read(self._status_fd, NUMBER.size)
                    # Without a status the parent has ended, and nobody knows it; `subprocess` returns 0 then.
                    self.returncode = NUMBER.unpack(status)[0] if status else 0
        return self.returncode is not None

    def _internal_poll(self, *arguments: Any, **options: Any) -> int | None:
        if self._status_fd is None:
            return super()._internal_poll(*arguments, **options)  # type: ignore[misc, no-any-return]
        self._has_ended(0)
        return self.returncode

    def _wait(self, timeout: float | None) -> int:
        if self._status_fd is not None and not self._has_ended(timeout):
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return super()._wait(timeout)  # type: ignore[misc, no-any-return]

    def __del__(self, *arguments: Any, **options: Any) -> None:
        super().__del__(*arguments, **options)  # type: ignore[misc]
        if self._status_fd is not None:
            os.close(self._status_fd)
            self._status_fd = None


def connect(parent: str, environment: Mapping[str, str]) -> socket.socket | None:
    """Return a connection to a prepared parent; None where the variables of a process are not the parent's."""
    folder = Path(environment[FOLDER])
    if read_at_start(environment) != json.loads((folder / f"{parent}.json").read_text()):
        return None
    if _parents is not None and str(folder) == _parents.folder:
        _parents.start(parent)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(folder / parent))
    except OSError as error:
        connection.close()
        raise has_ended(parent, environment) from error
    return connection


def fork_for(parent: socket.socket, order: bytes, streams: list[int]) -> int:
    """Send an order with its streams, and return the pid of the forked process."""
    socket.send_fds(parent, [NUMBER.pack(len(order))], streams)
    parent.sendall(order)
    answer = parent.recv(NUMBER.size, socket.MSG_WAITALL)
    if not answer:
        raise ConnectionResetError
    return int(NUMBER.unpack(answer)[0])


def has_ended(parent: str, environment: Mapping[str, str]) -> RuntimeError:
    """Return an error that says why a prepared parent has ended."""
    log = Path(environment[FOLDER], f"{parent}.log").read_text()
    return RuntimeError(f"the prepared parent {parent!r} (PARENTS in tests/prepared.py) has ended: {log}")


class Parents:
    """The prepared parents of this process; each is started when a first process is to be forked from it."""

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="collapse-prepared-")
        self._lock = threading.Lock()
        self._listeners: dict[str, socket.socket] = {}
        self._running: list[tuple[subprocess.Popen[bytes], int]] = []
        self._environment = dict(os.environ)
        os.environ[FOLDER] = self.folder
        for name, parent in PARENTS.items():
            listener = self._listeners[name] = socket.socket(socket.AF_UNIX)
            listener.bind(str(Path(self.folder) / name))
            listener.listen(128)
            variables = read_at_start({**self._environment, **parent.environment})
            Path(self.folder, f"{name}.json").write_text(json.dumps(variables))

    def start(self, name: str) -> None:
        """Start a parent, once, and for a service those of its workers and figures; who connects waits for imports."""
        with self._lock:
            for needed in list(PARENTS) if name == "service" else [name]:
                if needed in self._listeners:
                    self._start(needed, PARENTS[needed])

    def _start(self, name: str, parent: Parent) -> None:
        lifeline, kept = os.pipe()
        listener = self._listeners.pop(name)
        command = [sys.executable, "-P", __file__, name, str(listener.fileno()), str(lifeline), " " * PADDING]
        with Path(self.folder, f"{name}.log").open("wb") as log:
            process = REAL_POPEN(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**self._environment, **parent.environment},
                pass_fds=(listener.fileno(), lifeline),
                start_new_session=True,
            )
        os.close(lifeline)
        listener.close()
        self._running.append((process, kept))

    def close(self) -> None:
        """End the parents; what was forked goes on."""
        for process, lifeline in self._running:
            os.close(lifeline)
            process.wait()
        for listener in self._listeners.values():
            listener.close()
        shutil.rmtree(self.folder, ignore_errors=True)


REAL_POPEN = subprocess.Popen
_parents: Parents | None = None


def use() -> None:
    """Fork prepared processes from now on, wherever this process calls `subprocess`.

    Only Linux's libraries can be used in a process that was forked after they were loaded.
    """
    global _parents
    if sys.platform != "linux":
        return
    _parents = Parents()
    atexit.register(_parents.close)
    subprocess.Popen = PreparedPopen  # type: ignore[misc]


@contextlib.contextmanager
def started_anew() -> Iterator[None]:
    """Start every process as users do, and with it those that it starts itself."""
    folder = os.environ.pop(FOLDER, None)
    try:
        yield
    finally:
        if folder is not None:
            os.environ[FOLDER] = folder


# ── in a prepared parent ────────────────────────────────────────────────────────────────────────────────────────────


def import_all(modules: Sequence[str]) -> None:
    """Import modules; `name.*` is a package with all of its modules."""
    for name in modules:
        module = importlib.import_module(name.removesuffix(".*"))
        if name.endswith(".*") and hasattr(module, "__path__"):
            for found in pkgutil.iter_modules(module.__path__):
                if found.name == "__main__":
                    continue
                import_all([f"{module.__name__}.{found.name}.*"])


def receive(connection: socket.socket) -> dict[str, Any]:
    """Return an order, with its streams."""
    head, streams, _, _ = socket.recv_fds(connection, NUMBER.size, 3)
    content = connection.recv(NUMBER.unpack(head)[0], socket.MSG_WAITALL)
    return {**json.loads(content), "streams": streams}


def wait_for_orders(listener: socket.socket, lifeline: int) -> dict[str, Any] | None:
    """Fork a process for each order; return the order in that process, and None in the parent at its end."""
    woken, wake = socket.socketpair()
    wake.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake.fileno())
    children: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([listener, woken, lifeline], [], [])
        if lifeline in ready:
            return None
        if woken in ready:
            woken.recv(4096)
            report_ended(children)
        if listener in ready:
            connection, _ = listener.accept()
            order = receive(connection)
            has_become, becomes = os.pipe()
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for held in (listener, woken, wake, connection, *children.values()):
                    held.close()
                os.close(lifeline)
                os.close(has_become)
                return {**order, "becomes": becomes}
            for held_fd in (*order["streams"], becomes):
                os.close(held_fd)
            os.read(has_become, 1)  # returns when the process has closed its end
            os.close(has_become)
            connection.sendall(NUMBER.pack(pid))
            children[pid] = connection


def report_ended(children: dict[int, socket.socket]) -> None:
    """Send the exit statuses of the processes that have ended to those that ordered them."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            with children.pop(ended[0]) as connection, contextlib.suppress(OSError):
                connection.sendall(NUMBER.pack(os.waitstatus_to_exitcode(ended[1])))


def become(order: dict[str, Any]) -> object:
    """Take on what a started process would have, and call its function."""
    if order["new_session"]:
        os.setsid()
    for own, stream in enumerate(order["streams"]):
        os.dup2(stream, own)
        os.close(stream)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["environment"])
    time.tzset()
    words = order["words"]
    sys.orig_argv, sys.argv = words, words[words.index("-m") + 1 :] if words[2:3] == ["-m"] else words
    show_command_line(words)
    os.close(order["becomes"])
    module, function = order["function"].split(":")
    return getattr(importlib.import_module(module), function)()


def show_command_line(words: Sequence[str]) -> None:
    """Put a command line where the system shows it, in the place of the parent's (Linux)."""
    stat = Path("/proc/self/stat")
    if not stat.exists():
        return
    # Fields `arg_start` and `arg_end` of proc(5).
    start, end = (int(field) for field in stat.read_text().rpartition(")")[2].split()[45:47])
    content = b"".join(word.encode() + b"\0" for word in words)
    if start and len(content) <= end - start:
        ctypes.memmove(start, content.ljust(end - start, b"\0"), end - start)


def main() -> object:
    """Import, and fork a process for each order; return what the exit status of this one or a forked one is."""
    name, listener, lifeline = sys.argv[1], socket.socket(fileno=int(sys.argv[2])), int(sys.argv[3])
    import_all(PARENTS[name].modules)
    subprocess.Popen = PreparedPopen  # type: ignore[misc]
    gc.collect()
    gc.freeze()
    order = wait_for_orders(listener, lifeline)
    return None if order is None else become(order)


if __name__ == "__main__":
    sys.exit(main())  # type: ignore[arg-type]
