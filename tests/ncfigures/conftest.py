"""Runs in a store, written as the worker writes them: two heads, three seeds each, and what some figures need."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from backend.jobs.heartbeat import Heartbeat
from backend.jobs.recorder import EventRecorder
from backend.store import run_attempts, runs
from backend.store.database import open_store
from backend.store.event_log import NewEvent
from ncengine.events import RunFinished
from ncengine.training.loop import run as train
from tests.harness import tiny


def trained(store, config, name):
    """Run a config to its end; return its id."""
    run_id, _ = runs.create(store, config, name=name)
    number = run_attempts.claim_run(store, run_id, "cpu")
    recorder = EventRecorder(store, run_id, number, Heartbeat(store, run_id, number, ran_before_s=0.0))
    for event in train(config):
        if isinstance(event, RunFinished):
            recorder.end(NewEvent(event.type, event.payload()))
        else:
            recorder.record(event)
    return run_id


@pytest.fixture(scope="session")
def kept(tmp_path_factory):
    """A store with `run`, `heads` (ids of two heads with three seeds each), `cut` and `layered`."""
    store = open_store(tmp_path_factory.mktemp("paper"))
    heads = [
        trained(store, tiny(seed=seed, head={"name": head}), name)
        for head, name in (("nearest-etf", "for paper"), ("linear", "linear $x$ 手"))
        for seed in range(3)
    ]
    cut = trained(store, tiny(epochs=2, head={"name": "nearest-etf", "implicit_gradient": False}), "cut")
    layered = trained(store, tiny(epochs=2, measure={"layers": ["2"]}), "layered")
    many = trained(
        store,
        tiny(
            epochs=1,
            data={"name": "ufm", "class_count": 200, "per_class": 2},
            backbone={"name": "free-features", "features": 200},
            batch_size=200,
        ),
        "two hundred classes",
    )
    yield SimpleNamespace(store=store, run=heads[0], heads=heads, cut=cut, layered=layered, many=many)
    store.close()
