"""What every fault test shares: a supervisor, moments, and the one checker that looks afterwards.

The checker: per run contiguous numbers, each epoch once, a legal path of states, files whole
(`backend.store.integrity`, which `collapse doctor --check` runs too); one unfenced writer; and the numbers of an
uninterrupted run, bit for bit.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

import sqlalchemy as sa

from backend.jobs.processes import ProcessIdentity
from backend.jobs.slots import count_slots
from backend.jobs.supervisor import JobLimits, Supervisor
from backend.store import event_log, integrity, run_attempts, runs
from backend.store.database import Store
from backend.store.models import artifact
from ncengine.training.loop import run as train
from tests.harness import wait_for

LONG = 40
"""Epochs of a run to which something happens after two. Tests share it, so that a process trains the uninterrupted run
with which they compare once."""


@contextlib.contextmanager
def supervising(store: Store, *, warm: bool = False, **limits: object) -> Iterator[Supervisor]:
    """Run a supervisor over a store; `limits` are those of the operator, with a CPU slot unless `slots` says more."""
    settings: dict[str, object] = {"slots": count_slots(), "min_free_bytes": 0} | limits
    supervisor = Supervisor(store, warm=warm, limits=JobLimits(**settings))  # type: ignore[arg-type]
    supervisor.start()
    try:
        yield supervisor
    finally:
        supervisor.close()


def owner(store: Store, run_id: str) -> ProcessIdentity | None:
    """Return the process that runs a run now, or None."""
    found = [row for row in run_attempts.list_running_attempts(store) if row.run_id == run_id and row.pid]
    return ProcessIdentity(found[0].pid, found[0].process_started, found[0].boot_id) if found else None


def processes(store: Store, run_id: str) -> list[ProcessIdentity]:
    """Return the processes of a run's attempts, ended ones included, in order."""
    attempts = run_attempts.list_attempts(store, run_id)
    return [ProcessIdentity(row.pid, row.process_started, row.boot_id) for row in attempts]


def status(store: Store, run_id: str) -> str:
    return str(runs.get(store, run_id).status)


def wait_status(store: Store, run_id: str, *wanted: str, seconds: float = 300) -> str:
    """Return the state of a run once it is one of `wanted`."""
    wait_for(lambda: status(store, run_id) in wanted, seconds, f"the state {' or '.join(wanted)}")
    return status(store, run_id)


def wait_epoch(store: Store, run_id: str, epoch: int) -> None:
    wait_for(lambda: runs.get(store, run_id).epoch >= epoch, 300, f"epoch {epoch}")


@functools.cache
def _uninterrupted(config_json: str) -> dict[str, dict[str, float]]:
    from ncengine.config import RunConfig

    return {
        split: dict(known)
        for split, known in list(train(RunConfig.model_validate_json(config_json)))[-1].summary.items()
    }


def require_whole(store: Store, run_id: str | None = None, *, finished: bool = True) -> None:
    """The checker. With `finished`, the run's last numbers are those of an uninterrupted run of this process."""
    assert list(integrity.find_problems(store)) == []
    if run_id is None:
        return
    events = event_log.list_events(store, run_id, 0, 1_000_000)
    # One unfenced writer: files are of attempts in turn, none by an earlier attempt after a later one wrote.
    with store.reading() as connection:
        query = sa.select(artifact.c.path).where(artifact.c.run_id == run_id).order_by(artifact.c.seq)
        writers = [int(path.rpartition("-a")[2].partition(".")[0]) for path in connection.execute(query).scalars()]
    assert writers == sorted(writers)
    numbers = [row.number for row in run_attempts.list_attempts(store, run_id)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert sum(row.ended_at is None for row in run_attempts.list_attempts(store, run_id)) == (
        status(store, run_id) == "running"
    )
    if finished:
        row = runs.get(store, run_id)
        assert row.status == "finished", row.error
        config = runs.parse_config(row)
        measured = [event.payload["epoch"] for event in events if event.type == "EpochMeasured"]
        assert measured == list(range(1, config.epochs + 1))
        expected = event_log.encode_numbers(_uninterrupted(config.model_dump_json()))
        assert row.summary == expected, "bit for bit"
