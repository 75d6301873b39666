"""A clean-up that is killed (SIGKILL) just before its n-th change of a file, folder or database.

`python -m tests.faults.killed_gc DATA` reads lines `ACTION ARGUMENT N` and answers each with how the process ended: -9,
or 0 where it came to its end before. Each line is carried out by a process of its own, forked before anything is open.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import sqlalchemy as sa

from backend.store.database import open_store
from backend.store.gc import delete, files, restore, trash

CHANGES = {"os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir"}


def carry_out(data: Path, action: str, argument: str, moment: int) -> None:
    """Do one thing, and be killed at one moment of it."""
    files.time = SimpleNamespace(time=lambda: time.time() + 2 * 86_400)  # type: ignore[assignment]
    store = open_store(data)
    changes = 0

    def count(*_: object) -> None:
        nonlocal changes
        changes += 1
        if changes == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        written = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event in CHANGES or written:
            count()

    sa.event.listen(store.engine, "commit", count)
    sys.addaudithook(watch)
    if action == "delete":
        delete.execute_plan(store, argument)
    elif action == "restore":
        restore.restore_entries(store, None)
    else:
        trash.empty_listed(store, argument)


def main() -> None:
    data = Path(sys.argv[1])
    for line in sys.stdin:
        action, argument, moment = line.split()
        child = os.fork()
        if child == 0:
            carry_out(data, action, argument, int(moment))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
