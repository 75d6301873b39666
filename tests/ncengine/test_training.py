"""The loop as a generator of facts: their order, what they hold, resuming bit for bit, and the batches it draws."""

from __future__ import annotations

import hashlib
import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import ncengine as nc
from ncengine.capture import CAPTURE_BYTES, sample_budget
from ncengine.config import FashionMnistMini, with_overrides
from ncengine.data import loading
from ncengine.data.facts import FACTS
from ncengine.data.order import balanced_rows, epoch_order
from ncengine.data.places import Places
from ncengine.optim import lr_factor
from ncengine.preset_configs import PRESETS
from tests.harness import tiny

HEADS = ("nearest-etf", "fixed-etf", "linear")


def events(**changes):
    return list(nc.run(tiny(device="cpu", **changes)))


def test_facts_come_in_their_order():
    found = events(epochs=2)
    kinds = [event.type for event in found if event.type != "StepMeasured"]
    epoch = ["EpochMeasured", "GeometryCaptured", "CheckpointSaved"]
    assert kinds == ["RunStarted", *["GeometryCaptured"] * 3, *epoch, *epoch, "RunFinished"]
    captures = [event for event in found if event.type == "GeometryCaptured"]
    assert captures[0].step == 0, "the first geometry is captured before step 1"
    assert [capture.epoch for capture in captures] == sorted(capture.epoch for capture in captures)
    assert found[-1].summary == [e for e in found if e.type == "EpochMeasured"][-1].scalars
    steps = [event for event in found if event.type == "StepMeasured"]
    assert steps[-1].step == found[0].steps_per_epoch * 2
    assert all(0 < step.lr <= 0.1 for step in steps)


@pytest.mark.parametrize("head", HEADS)
def test_training_learns_and_measures_both_splits(head):
    measured = [e for e in events(head={"name": head}, epochs=4) if e.type == "EpochMeasured"]
    assert [event.epoch for event in measured] == [1, 2, 3, 4]
    first, last = measured[0].scalars, measured[-1].scalars
    assert set(last) == {"train", "test"}
    assert set(last["train"]) == set(last["test"])
    assert last["train"]["nc1"] < first["train"]["nc1"]
    assert last["test"]["top1"] > 0.9
    if head != "linear":
        assert last["train"]["nc2_etf_weights"] < 1e-6, "the classifier is a simplex ETF"


@pytest.mark.parametrize("head", HEADS)
def test_a_resumed_run_is_the_uninterrupted_one(head):
    config = tiny(device="cpu", head={"name": head}, optimiser={"name": "adamw"}, epochs=4)
    whole = list(nc.run(config))
    saved = next(e for e in whole if e.type == "CheckpointSaved" and e.epoch == 2)
    torch.manual_seed(123)  # whatever happened in between
    rest = list(nc.run(config, resume=saved))
    assert rest[0].type == "Resumed"
    assert rest[-1].summary == whole[-1].summary
    ends = [[e for e in part if e.type == "GeometryCaptured"][-1].arrays for part in (whole, rest)]
    for name, array in ends[0].items():
        np.testing.assert_array_equal(ends[1][name], array)


def test_another_configs_checkpoint_is_refused():
    saved = next(e for e in events(epochs=1) if e.type == "CheckpointSaved")
    with pytest.raises(ValueError, match="made by another config"):
        next(nc.run(tiny(device="cpu", epochs=2), resume=saved))


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="set device=auto or cpu"):
        next(nc.run(tiny(device="cuda:7")))


def test_measuring_less_often_keeps_the_last_epoch():
    found = events(epochs=5, measure={"every": 2, "first_epoch_captures": 0, "checkpoint_every": 3})
    assert [e.epoch for e in found if e.type == "EpochMeasured"] == [2, 4, 5]
    assert [e.epoch for e in found if e.type == "CheckpointSaved"] == [3, 5]


def test_measuring_changes_nothing_in_training():
    often = events(epochs=3, measure={"every": 1, "first_epoch_captures": 6})
    seldom = events(epochs=3, measure={"every": 3, "first_epoch_captures": 0})
    assert often[-1].summary == seldom[-1].summary


def test_a_capture_is_what_a_picture_needs():
    capture = [e for e in events(epochs=1) if e.type == "GeometryCaptured"][-1]
    arrays = capture.arrays
    assert arrays["means"].shape == arrays["weights"].shape == (10, 9)
    assert arrays["features"].shape == (100, 9)
    assert np.bincount(arrays["labels"]).tolist() == [10] * 10, "class-balanced"
    # In the frame of the nearest ETF, scaled to a mean norm of one, and centred.
    np.testing.assert_allclose(np.linalg.norm(arrays["means"], axis=1).mean(), 1, atol=1e-5)
    np.testing.assert_allclose(arrays["means"].sum(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(arrays["frame"].T @ arrays["frame"], np.eye(9), atol=1e-6)
    aligned = arrays["means"].T @ nc.simplex_etf(10).numpy()
    np.testing.assert_allclose(aligned, aligned.T, atol=1e-4, err_msg="Procrustes: the alignment is symmetric")
    assert capture.residual >= 0
    assert capture.samples == 1442


@pytest.mark.parametrize("classes", [2, 10, 64, 90])
def test_a_capture_stays_within_its_bytes(classes):
    count = sample_budget(classes, 10_000)
    floats = 2 * classes * (classes - 1) + 2 * classes**2 + count * classes
    assert count >= classes
    assert 4 * floats <= CAPTURE_BYTES or count == classes


def test_batches_hold_every_sample_once_and_repeat():
    labels = torch.tensor([0] * 50 + [1] * 30 + [2] * 20)
    for sampler in ("shuffled", "stratified"):
        order = epoch_order(labels, sampler, seed=3, epoch=2)
        assert sorted(order.tolist()) == list(range(100))
        assert torch.equal(order, epoch_order(labels, sampler, seed=3, epoch=2))
        assert not torch.equal(order, epoch_order(labels, sampler, seed=3, epoch=3))
        assert not torch.equal(order, epoch_order(labels, sampler, seed=4, epoch=2))


def test_stratified_batches_hold_classes_in_their_share():
    labels = torch.tensor([0] * 500 + [1] * 300 + [2] * 200)
    order = epoch_order(labels, "stratified", seed=0, epoch=1)
    for batch in order.split(100):
        counts = torch.bincount(labels[batch], minlength=3)
        assert (counts - torch.tensor([50, 30, 20])).abs().max() <= 2


def test_a_balanced_sample_is_always_the_same():
    labels = torch.tensor([2, 0, 1, 1, 0, 2, 2, 0])
    assert balanced_rows(labels, 6).tolist() == [0, 1, 2, 3, 4, 5]
    assert balanced_rows(labels, 1).tolist() == [0, 1, 2], "at least one of each class"


def raw(name):
    """What a source returns, for those that say nothing on the way."""
    with pytest.raises(StopIteration) as found:
        next(loading._raw(with_overrides(nc.RunConfig(), {"data.name": name, "batch_size": 32}), Places()))
    return found.value.value


@pytest.mark.parametrize("name", ["digits", "fashion-mnist-mini"])
def test_what_is_known_of_a_data_set_is_true(name):
    found = raw(name)
    train_images, train_labels, test_images, test_labels = (
        found.train,
        found.train_labels,
        found.test,
        found.test_labels,
    )
    facts = FACTS[name]
    assert (len(train_images), len(test_images)) == (facts.train, facts.test)
    assert tuple(np.bincount(train_labels)) == facts.train_per_class
    assert train_images.shape[1:] == test_images.shape[1:] == facts.shape[1:]
    assert len(facts.class_names) == len(set(test_labels)) == len(set(train_labels))
    assert train_images.mean() / 255 == pytest.approx(facts.mean[0], abs=2e-3)
    assert train_images.std() / 255 == pytest.approx(facts.std[0], abs=2e-3)


def loaded(config):
    """Return both splits of a config whose data says nothing on the way."""
    with pytest.raises(StopIteration) as found:
        next(loading.load(config, torch.device("cpu"), Places()))
    return found.value.value


def test_the_embedded_data_set_is_the_one_that_was_made():
    folder = Path(loading.__file__).parent
    sums = json.loads((folder / "fashion_mnist_mini.json").read_text())["sha256"]
    content = (folder / "fashion_mnist_mini.npz").read_bytes()
    assert hashlib.sha256(content).hexdigest() == sums["fashion_mnist_mini.npz"]
    assert len(content) < 3_000_000
    assert "MIT" in (folder / "LICENSE.fashion-mnist").read_text()


def test_chosen_classes_are_renumbered_in_the_order_given():
    config = nc.RunConfig(data=FashionMnistMini(classes=(8, 5)), batch_size=64)
    train, _ = loaded(config)
    assert config.class_names == ("Bag", "Sandal")
    assert torch.bincount(train.labels).tolist() == [500, 500]
    whole = raw("fashion-mnist-mini")
    samples = train.source.samples[..., 0]
    np.testing.assert_array_equal(samples[train.labels == 0][0].numpy(), whole.train[whole.train_labels == 8][0])


@pytest.mark.parametrize("name", ["constant", "cosine", "one-cycle"])
def test_schedules_stay_in_their_range(name):
    config = with_overrides(nc.RunConfig(), {"schedule.name": name}).schedule
    factors = [lr_factor(config, step, 200, 10) for step in range(200)]
    assert all(0 < factor <= 1 for factor in factors)
    if name == "one-cycle":
        assert factors.index(max(factors)) == 60
        assert all(a < b for a, b in itertools.pairwise(factors[:60]))
    if name != "constant":
        assert factors[-1] < 1e-3


def test_equal_configs_have_equal_hashes_and_others_do_not():
    first, second = PRESETS["digits-nearest"](), PRESETS["digits-nearest"]()
    assert first.hash() == second.hash()
    assert first.hash() != with_overrides(first, {"seed": 1}).hash()
    assert nc.RunConfig.model_validate_json(first.canonical_json()) == first


def test_overrides_change_kinds_and_refuse_what_is_not_there():
    changed = with_overrides(nc.RunConfig(), {"head.name": "linear", "head.bias": False, "optimiser.lr": 0.3})
    assert (changed.head.name, changed.head.bias, changed.optimiser.lr) == ("linear", False, 0.3)
    with pytest.raises(ValueError, match="there is no setting 'heat'"):
        with_overrides(nc.RunConfig(), {"heat.delta": 1})


def test_importing_the_engine_loads_no_torch_and_no_web():
    code = (
        "import sys, ncengine as nc; nc.RunConfig; nc.presets\n"
        "assert not {'torch', 'geoopt', 'sklearn', 'fastapi', 'dash', 'sqlalchemy'} & set(sys.modules)\n"
        "assert 'run' in nc.__all__\n"
        "try: nc.nothing\n"
        "except AttributeError as error: assert 'NearestETFHead' in str(error)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
