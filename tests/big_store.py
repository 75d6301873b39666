"""A store with much in it, made from real training: a long run of many classes, a short one, a thousand in a list."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import numpy as np

from backend.jobs.heartbeat import Heartbeat
from backend.jobs.recorder import EventRecorder
from backend.store import artifacts, curves, event_log, run_attempts, run_folders, runs
from backend.store.database import Store
from backend.store.event_log import NewEvent
from backend.store.models import run
from ncengine.config import RunConfig
from ncengine.events import RunFinished
from ncengine.metrics import METRICS
from ncengine.training.loop import run as train
from tests.harness import tiny

CLASSES = 100
EPOCHS_A_COMMIT = 50
CAPTURE_EVERY = 25


@dataclass(frozen=True, slots=True)
class BigStore:
    """Ids of the runs that tests ask for."""

    long: str
    """2,000 epochs of 100 classes, finished."""
    short: str
    """Trained for real to its end: ten classes, three epochs, every kind of array."""
    listed: list[str]
    """Finished runs that have a summary and no events but the first."""


def fill(store: Store, *, epochs: int = 2000, listed: int = 1000) -> BigStore:
    """Store the runs; takes about fifteen seconds."""
    return BigStore(_long(store, epochs), train_here(store, tiny(), "short"), _listed(store, listed))


def train_here(store: Store, config: RunConfig, name: str, *, most_epochs: int | None = None) -> str:
    """Train in this process, recorded as the worker records it; return the run's id.

    With `most_epochs` the run is left running after so many epochs.
    """
    run_id, _ = runs.create(store, config, name=name)
    number = run_attempts.claim_run(store, run_id, "cpu")
    assert number is not None
    run_folders.register(store, run_id)
    recorder = EventRecorder(store, run_id, number, Heartbeat(store, run_id, number, ran_before_s=0.0))
    for event in train(config):
        if isinstance(event, RunFinished):
            recorder.end(NewEvent(event.type, event.payload()))
            break
        if most_epochs is not None and getattr(event, "epoch", 0) > most_epochs:
            recorder.flush()
            break
        recorder.record(event)
    return run_id


def _long(store: Store, epochs: int) -> str:
    """Train one epoch, and repeat what it said and captured for the others, with every number a little changed."""
    config = tiny(
        data={"name": "ufm", "class_count": CLASSES, "per_class": 4},
        backbone={"name": "free-features", "features": 128},
        batch_size=400,
        epochs=epochs,
    )
    run_id = train_here(store, config, "long", most_epochs=1)
    measured = event_log.find_newest_event(store, run_id, "EpochMeasured")
    captured = event_log.find_newest_event(store, run_id, "GeometryCaptured")
    assert measured is not None
    assert captured is not None
    held = artifacts.find_row(store, run_id, "geometry", captured.payload["step"])
    assert held is not None
    loaded = artifacts.read(store, held)
    assert loaded is not None
    rng, per_epoch = np.random.default_rng(0), measured.payload["step"] // measured.payload["epoch"]
    folder = curves.CurveAggregator.resumed(store, run_id, "epoch")
    numbers = iter(range(measured.payload["epoch"] + 1, epochs + 1))
    while group := list(islice(numbers, EPOCHS_A_COMMIT)):
        entries, buckets = [], []
        for epoch in group:
            factor = 1 + 0.1 * rng.random()
            scalars = {
                split: {key: value * factor if isinstance(value, float) else value for key, value in known.items()}
                for split, known in measured.payload["scalars"].items()
            }
            payload = {**measured.payload, "epoch": epoch, "step": epoch * per_epoch, "scalars": scalars}
            entries.append(NewEvent("LogLine", {"text": f"epoch {epoch} of {epochs}"}))
            entries.append(NewEvent("EpochMeasured", payload))
            buckets += folder.add(payload)
            if epoch % CAPTURE_EVERY == 0:
                step = epoch * per_epoch
                file = artifacts.write(store, run_id, "geometry", step, 1, loaded.arrays)
                facts = {**captured.payload, "epoch": float(epoch), "step": step}
                entries.append(NewEvent("GeometryCaptured", facts, file))
        patch = {"epoch": group[-1], "summary": scalars, "headline": runs.extract_headline(scalars)}
        event_log.append(store, run_id, 1, entries, patch, buckets=buckets)
    run_attempts.end_attempt(store, run_id, 1, NewEvent("RunFinished", {}))
    return run_id


def _listed(store: Store, count: int) -> list[str]:
    rng, config, rows = np.random.default_rng(1), tiny(), []
    for i in range(count):
        summary = {split: {key: float(rng.random()) for key in METRICS} for split in ("train", "test")}
        draft = runs.RunDraft(config.model_copy(update={"seed": i}), name=f"run {i}", tags=["a"], group=f"g{i // 10}")
        row = draft.row(runs.make_run_id(), 10 + i, None)
        rows.append({**row, "status": "finished", "summary": summary, "headline": runs.extract_headline(summary)})
    with store.writing() as connection:
        connection.execute(run.insert(), rows)
        for row in rows:
            event_log.insert_events(
                connection, row["id"], 1, [NewEvent("RunQueued", {"config_hash": row["config_hash"]})]
            )
    return [row["id"] for row in rows]
