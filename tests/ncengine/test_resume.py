"""Resuming is bit for bit, from any step, for every head and optimiser; a checkpoint that is not whole says why."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch

import ncengine as nc
from ncengine.config import with_overrides
from ncengine.events import CheckpointSaved
from ncengine.files import array_file, atomic_write
from ncengine.files.array_file import CorruptFileError
from ncengine.training import checkpoint
from tests.harness import tiny
from tests.repetitions import exhaustive_except

HEADS = {
    "nearest": {"name": "nearest-etf", "averaging": "ema-decay"},
    "nearest-cma": {"name": "nearest-etf", "averaging": "cma", "first_frame": "haar"},
    "fixed": {"name": "fixed-etf"},
    "learned-adam": {"name": "learned-etf"},
    "learned-sgd": {"name": "learned-etf", "optimiser": "riemannian-sgd"},
    "linear": {"name": "linear", "renormalise": True, "bias": False},
}
OPTIMISERS = {
    "sgd": {"name": "sgd", "nesterov": True, "clip_norm": 1.0, "accumulate": 2},
    "adam": {"name": "adam"},
    "adamw": {"name": "adamw"},
    "agd": {"name": "agd", "gain": 1.0},
}
STEPS = 22  # an epoch of 1,442 digits in batches of 64
AUGMENTED = {"name": "digits", "crop_padding": 1, "flip": True, "cutout": 2, "label_noise": "symmetric"}


def config(**changes):
    measure = {"first_epoch_captures": 0, "features": 20, "checkpoint_steps": 5}
    return tiny(**({"device": "cpu", "epochs": 3, "measure": measure, "data": AUGMENTED} | changes))


def numbers(events):
    """Everything that was measured, by step; times are none of it."""
    found = {}
    for event in events:
        if event.type == "StepMeasured":
            found["loss", event.step] = (event.loss, event.lr)
        elif event.type == "EpochMeasured":
            found["scalars", event.step] = event.scalars
        elif event.type == "GeometryCaptured":
            found["means", event.step] = event.arrays["means"].tobytes()
        elif event.type == "RunFinished":
            found["end"] = event.summary
    return found


EACH_ONCE = {("nearest", optimiser) for optimiser in OPTIMISERS} | {(head, "sgd") for head in HEADS}


@pytest.mark.parametrize(("head", "optimiser"), exhaustive_except(itertools.product(HEADS, OPTIMISERS), EACH_ONCE))
def test_a_run_stopped_anywhere_goes_on_bit_for_bit(head, optimiser):
    described = config(head=HEADS[head], optimiser=OPTIMISERS[optimiser])
    whole = list(nc.run(described))
    saved = {event.step: event for event in whole if event.type == "CheckpointSaved"}
    assert set(saved) == {*range(5, 3 * STEPS, 5), STEPS, 2 * STEPS, 3 * STEPS}
    expected = numbers(whole)
    for step in (5, 2 * STEPS, 50):  # within the first epoch, at an epoch's end, within the last one
        torch.manual_seed(step)  # whatever happened in between
        rest = list(nc.run(described, resume=saved[step]))
        assert (rest[0].type, rest[0].step, rest[0].epoch) == ("Resumed", step, step // STEPS)
        found = numbers(rest)
        assert found == {key: value for key, value in expected.items() if key == "end" or key[1] > step}
        again = [event for event in rest if event.type == "CheckpointSaved"][-1]
        for name, array in saved[3 * STEPS].tensors.items():
            np.testing.assert_array_equal(again.tensors[name], array, err_msg=name)


def test_networks_that_draw_while_training_go_on_too():
    """Dropout draws from torch's own random state, which a checkpoint holds."""
    described = config(
        backbone={"name": "torchvision", "model": "squeezenet1_1", "features": 12},
        data={"name": "fashion-mnist-mini", "per_class": 8},
        batch_size=16,
        epochs=2,
    )
    whole = list(nc.run(described))
    saved = next(event for event in whole if event.type == "CheckpointSaved" and event.epoch == 1)
    assert numbers(nc.run(described, resume=saved))["end"] == numbers(whole)["end"]


def test_free_features_go_on_too():
    described = config(
        data={"name": "ufm", "class_count": 5, "per_class": 8, "imbalance": "step", "imbalance_factor": 0.5},
        backbone={"name": "free-features", "features": 12},
        batch_size=10,
        epochs=6,
    )
    whole = list(nc.run(described))
    saved = [event for event in whole if event.type == "CheckpointSaved"][3]
    expected = numbers(whole)
    assert expected["end"]["test"] == {}
    assert numbers(nc.run(described, resume=saved)) == {
        key: value for key, value in expected.items() if key == "end" or key[1] > saved.step
    }


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_goes_on_too(precision):
    described = config(precision=precision, epochs=2)
    whole = list(nc.run(described))
    saved = [event for event in whole if event.type == "CheckpointSaved"][2]
    assert numbers(nc.run(described, resume=saved))["end"] == numbers(whole)["end"]
    if precision == "float16":
        assert saved.state["scaler"]["scale"] > 0
    assert whole[-1].summary["train"]["top1"] > 0.3, "of ten classes, with noisy labels, after two epochs"


@pytest.fixture(scope="module")
def run_events():
    return list(nc.run(config(epochs=2)))


@pytest.fixture
def saved(run_events):
    return [event for event in run_events if event.type == "CheckpointSaved"][1]


def test_a_checkpoint_as_a_file_goes_on_too(run_events, saved, tmp_path):
    path = nc.save_checkpoint(saved, tmp_path)
    assert path.name == f"checkpoint-{saved.step:09d}.safetensors"
    expected = numbers(run_events)["end"]
    for resume in (path, tmp_path):
        assert numbers(nc.run(config(epochs=2), resume=resume))["end"] == expected


def test_two_generations_are_kept_and_a_damaged_one_is_passed_over(run_events, tmp_path):
    made = [event for event in run_events if event.type == "CheckpointSaved"][:3]
    for event in made:
        nc.save_checkpoint(event, tmp_path)
    files = sorted(tmp_path.iterdir())
    assert [file.name[11:20] for file in files] == [f"{event.step:09d}" for event in made[1:]]
    files[-1].write_bytes(files[-1].read_bytes()[:-10])
    assert nc.load_checkpoint(tmp_path).step == made[1].step
    files[0].write_bytes(b"")
    with pytest.raises(CorruptFileError, match="cut short"):
        nc.load_checkpoint(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no checkpoint"):
        nc.load_checkpoint(tmp_path.parent / "nothing-here")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="there is no checkpoint"):
        nc.load_checkpoint(tmp_path / "empty")


def test_another_runs_later_checkpoints_are_left_alone_and_push_none_out(run_events, tmp_path):
    first, second = [event for event in run_events if event.type == "CheckpointSaved"][:2]
    others = [tmp_path / f"checkpoint-{step:09d}.safetensors" for step in (900_000, 900_001, 900_002)]
    for other in others:
        other.write_bytes(b"last year's")
    kept = [nc.save_checkpoint(event, tmp_path) for event in (first, second)]
    assert sorted(tmp_path.iterdir()) == [*kept, *others]


def test_files_that_are_not_whole_say_why(saved, tmp_path):
    path = nc.save_checkpoint(saved, tmp_path)
    content = path.read_bytes()
    for cut in (3, 50, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:cut])
        with pytest.raises(CorruptFileError, match="cut short or no file of arrays"):
            nc.load_checkpoint(path)
    flipped = bytearray(content)
    flipped[-100] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(CorruptFileError, match="was changed after it was written"):
        nc.load_checkpoint(path)
    changed = content.replace(b'\\"step\\": ', b'\\"step\\":9', 1)
    assert changed != content
    path.write_bytes(changed)
    with pytest.raises(CorruptFileError, match="was changed after it was written"):
        nc.load_checkpoint(path)
    path.write_bytes(array_file.encode({"a": np.zeros(3)}, {}))
    with pytest.raises(CorruptFileError, match="no checkpoint"):
        nc.load_checkpoint(path)


def test_another_configs_checkpoint_names_what_differs(saved):
    other = with_overrides(config(epochs=2), {"optimiser.lr": 0.05, "seed": 3})
    with pytest.raises(ValueError, match=r"another config \(optimiser.lr 0.1 → 0.05; seed 0 → 3\)"):
        next(nc.run(other, resume=saved))


def test_settings_that_came_later_do_not_shut_out_older_checkpoints(saved):
    state = json.loads(json.dumps(saved.state))
    del state["config"]["compile"], state["config"]["optimiser"]["clip_norm"]
    older = CheckpointSaved(epoch=saved.epoch, step=saved.step, tensors=saved.tensors, state=state)
    assert next(nc.run(config(epochs=2), resume=older)).type == "Resumed"


@pytest.mark.parametrize(("version", "message"), [(99, "made by a newer version"), (1, "made by an older version")])
def test_another_format_says_so(saved, version, message):
    state = {**saved.state, "format": version}
    other = CheckpointSaved(epoch=saved.epoch, step=saved.step, tensors=saved.tensors, state=state)
    with pytest.raises(ValueError, match=message):
        next(nc.run(config(epochs=2), resume=other))


def test_nothing_half_written_stays(saved, tmp_path, monkeypatch):
    nc.save_checkpoint(saved, tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic_write.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save_checkpoint(saved, tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
