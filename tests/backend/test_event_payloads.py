"""What events may hold is written once for the engine and once for the store; here they are the same, and held to."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys

import pytest

from backend.jobs.heartbeat import Heartbeat
from backend.jobs.recorder import EventRecorder
from backend.store import event_log, run_attempts, runs
from backend.store.errors import Invalid
from backend.store.event_payloads import PAYLOADS, require_valid
from backend.store.run_status import STATUS_EVENTS
from ncengine import events
from ncengine.training.loop import run as train
from tests.harness import record_here, tiny

ENGINE = {
    each.type: each for each in vars(events).values() if isinstance(each, type) and issubclass(each, events.Event)
}
del ENGINE["Event"]


def test_every_event_of_the_engine_has_the_model_of_its_dataclass():
    assert set(PAYLOADS) == set(ENGINE) | STATUS_EVENTS
    for type_, dataclass in ENGINE.items():
        told = [each for each in dataclasses.fields(dataclass) if each.metadata.get("wire", True)]
        optional = {
            each.name
            for each in told
            if each.default is not dataclasses.MISSING or each.default_factory is not dataclasses.MISSING
        }
        model = PAYLOADS[type_].model_fields
        assert list(model) == [each.name for each in told], type_
        assert {name for name, each in model.items() if not each.is_required()} == optional, type_


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"data": {"name": "synthetic", "class_count": 4, "per_class": 30}, "backbone": {"name": "mlp", "features": 3}},
        {
            "data": {"name": "synthetic", "class_count": 130, "per_class": 4},
            "backbone": {"name": "mlp", "features": 200},
        },
        {
            "data": {"name": "ufm", "class_count": 3, "per_class": 5},
            "backbone": {"name": "free-features", "features": 8},
        },
        {"data": {"name": "digits", "label_noise": "symmetric", "imbalance": "step"}, "measure": {"layers": ["0"]}},
        {"data": {"name": "digits", "classes": [1, 2]}, "measure": {"outside": "digits", "keep_features": "all"}},
    ],
    ids=["digits", "tetrahedron", "130 classes", "ufm", "noise and layers", "classes left out"],
)
def test_what_the_engine_says_fits(changes):
    """Of real runs of many kinds; 130 classes travel in three dimensions."""
    config = tiny(epochs=1, batch_size=8, device="cpu", **changes)
    seen = set()
    for event in train(config):
        require_valid(event.type, event_log.encode_numbers(event.payload()))
        seen.add(event.type)
    assert {"RunStarted", "StepMeasured", "EpochMeasured", "GeometryCaptured", "CheckpointSaved", "RunFinished"} <= seen


STEP = {"epoch": 1, "step": 2, "loss": 0.5, "lr": 0.1}
EPOCH = {"epoch": 1, "step": 2, "scalars": {"train": {"nc1": 1.0}, "test": {}}, "flags": {}, "terminal_phase": None}
BAD = {
    "an unknown type": ("Nothing", {}, "no type of event"),
    "no scalars": ("EpochMeasured", {k: v for k, v in EPOCH.items() if k != "scalars"}, "scalars: Field required"),
    "a list of scalars": ("EpochMeasured", EPOCH | {"scalars": []}, "scalars: Input should be a valid dictionary"),
    "no training": ("EpochMeasured", EPOCH | {"scalars": {"test": {}}}, "scalars must have the split train"),
    "a split of its own": ("EpochMeasured", EPOCH | {"scalars": {"train": {}, "x": {}}}, "scalars.x"),
    "an infinite number": ("EpochMeasured", EPOCH | {"scalars": {"train": {"nc1": math.inf}}}, "finite number"),
    "a number as text": ("StepMeasured", STEP | {"loss": "1.0"}, "loss"),
    "true for a number": ("StepMeasured", STEP | {"loss": True}, "loss"),
    "a step below zero": ("StepMeasured", STEP | {"step": -1}, "step"),
    "a step beyond all": ("StepMeasured", STEP | {"step": 2**31}, "step"),
    "a field that is not one": ("StepMeasured", STEP | {"runs": 1}, "runs"),
    "a null in a text": ("LogLine", {"text": "a\0b"}, "text"),
    "a text without an end": ("LogLine", {"text": "x" * 60_000}, "text"),
}


@pytest.mark.parametrize("case", list(BAD))
def test_what_does_not_fit_is_refused_with_its_field(case):
    type_, payload, words = BAD[case]
    require_valid("StepMeasured", STEP)
    require_valid("EpochMeasured", EPOCH | {"scalars": {"train": {"nc1": "NaN"}}})
    with pytest.raises(Invalid, match=words):
        require_valid(type_, payload)


def test_a_worker_whose_event_does_not_fit_fails_the_run_and_stores_no_such_event(store):
    """The event goes the way of all: through the recorder of a running attempt."""
    run_id, _ = runs.create(store, tiny())
    number = run_attempts.claim_run(store, run_id, "cpu")
    record_here(store, run_id, number)
    recorder = EventRecorder(store, run_id, number, Heartbeat(store, run_id, number, ran_before_s=0.0))
    recorder.record(events.LogLine(text="before"))
    with pytest.raises(Invalid, match="StepMeasured loss"):
        recorder.record(events.StepMeasured(epoch=1, step=1, loss="none", lr=0.1))
    recorder.fail("StepMeasured does not fit", "the log")
    assert runs.get(store, run_id).status == "failed"
    assert [row.type for row in event_log.list_events(store, run_id, 0, 10)] == [
        "RunQueued",
        "LogLine",
        "LogLine",
        "RunFailed",
    ]


def test_models_load_without_torch():
    """The server reads them; only workers load the engine that trains."""
    words = "import sys, json; import backend.store.archive.reader; print(json.dumps('torch' in sys.modules))"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) is False
