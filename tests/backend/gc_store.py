"""Stores with something to clean up: a finished run with real files, strays, moments of the past."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from backend.store import artifacts, event_log, run_actions, run_attempts, run_folders, runs
from backend.store.database import Store
from backend.store.event_log import NewEvent
from backend.store.gc import delete, eligible
from backend.store.gc.plans import CleanupPlan, CleanupResult, CleanupRules
from backend.store.models import artifact, attempt, bucket, event, reading, run
from tests.harness import tiny

LONG_AGO = "2026-01-01T00:00:00.000Z"
TABLES = (run, attempt, event, artifact, bucket, reading)


def finished_run(store: Store, *, captures: int = 7, key: str | None = None) -> str:
    """Store a finished run as a worker does, with two checkpoints, a log, buckets and readings."""
    # On a device that no machine has, so that no server takes the run first.
    run_id, _ = runs.create(
        store, tiny(epochs=captures, device="cuda:99"), name="finished", tags=["a"], idempotency_key=key
    )
    run_folders.register(store, run_id)
    number = run_attempts.claim_run(store, run_id, "cpu")
    assert number is not None
    event_log.append(store, run_id, number, [NewEvent("RunStarted", {"class_names": ["a", "b"]})])
    for epoch in range(1, captures + 1):
        arrays = {"means": np.full((3, 2), epoch, np.float32)}
        entries = [
            NewEvent("EpochMeasured", {"epoch": epoch, "scalars": {"train": {"nc1": float("nan")}}}),
            NewEvent(
                "GeometryCaptured",
                {"epoch": epoch, "step": epoch},
                artifacts.write(store, run_id, "geometry", epoch, number, arrays),
            ),
        ]
        if epoch > captures - 2:
            state = {"epoch": epoch, "step": epoch}
            written = artifacts.write(store, run_id, "checkpoint", epoch, number, arrays, state)
            entries.append(NewEvent("CheckpointSaved", {"epoch": epoch, "step": epoch}, written))
        held = event_log.Bucket("epoch", 1, epoch, {"nc1": [0.25, epoch]})
        event_log.append(store, run_id, number, entries, {"epoch": epoch}, buckets=[held])
    run_attempts.end_attempt(store, run_id, number, NewEvent("RunFinished", {"summary": {}}))
    artifacts.worker_log_path(store, run_id).write_text("what the worker printed\n")
    with store.writing() as connection:
        values = {"run_id": run_id, "at": LONG_AGO, "attempt": 1, "cpu_percent": 12.5, "memory_bytes": 2**33}
        connection.execute(reading.insert().values(**values))
        here = sa.update(artifact).where(artifact.c.run_id == run_id).values(directory_id=store.directory_id)
        connection.execute(here)
    return run_id


def delete_long_ago(store: Store, run_id: str) -> None:
    """Delete a run, so long ago that its week is over."""
    run_actions.delete(store, run_id)
    with store.writing() as connection:
        connection.execute(sa.update(run).where(run.c.id == run_id).values(deleted_at=LONG_AGO))


def stray(store: Store, relative: str) -> Path:
    """Write a file that no row names, last changed two days ago."""
    path = store.data_dir / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"stray" * 200)
    os.utime(path, (time.time() - 2 * 86_400,) * 2)
    return path


def preview(store: Store, **rules: object) -> CleanupPlan:
    return eligible.create_plan(store, CleanupRules.model_validate(rules))


def clean(store: Store, **rules: object) -> CleanupResult:
    """Preview and delete at once."""
    return delete.execute_plan(store, preview(store, **rules).id)


def files(store: Store) -> dict[str, bytes]:
    """Return every file of runs and imports, by path."""
    found = [path for name in ("runs", "imports") for path in (store.data_dir / name).rglob("*")]
    return {str(path.relative_to(store.data_dir)): path.read_bytes() for path in found if path.is_file()}


def rows(store: Store, *, deleted_at: bool = True) -> dict[str, list[dict[str, object]]]:
    """Return every row of every run; without `deleted_at` that column is left out."""
    with store.reading() as connection:
        held = {
            table.name: [
                dict(row._mapping) for row in connection.execute(sa.select(table).order_by(*table.primary_key.columns))
            ]
            for table in TABLES
        }
    if not deleted_at:
        for row in held["run"]:
            del row["deleted_at"]
    return held


def require_no_missing_files(store: Store) -> None:
    """No row names a file that is not in its place."""
    for row in rows(store)["artifact"]:
        assert (store.data_dir / str(row["path"])).is_file(), row["path"]
