"""The loop as a generator of facts: their order, what they hold, resuming bit for bit, and the batches it draws."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import ncengine as nc
from ncengine.config import MeasureConfig, with_overrides
from ncengine.data import loader
from ncengine.data.batch_order import balanced_rows, epoch_order
from ncengine.data.embedded import FashionMnistMini
from ncengine.data.paths import DataPaths
from ncengine.data.registry import DATASETS
from ncengine.events import STREAMED_ARRAYS
from ncengine.geometry.views import view_matrix
from ncengine.preset_configs import PRESETS
from ncengine.training.capture import CAPTURE_BYTES, sample_budget
from ncengine.training.device import memory_advice
from ncengine.training.optim import lr_factor
from tests.harness import tiny

HEADS = ("nearest-etf", "fixed-etf", "learned-etf", "linear")


def events(**changes):
    return list(nc.run(tiny(device="cpu", **changes)))


def test_facts_come_in_their_order():
    found = events(epochs=2)
    kinds = [event.type for event in found if event.type != "StepMeasured"]
    epoch = ["EpochMeasured", "GeometryCaptured", "CheckpointSaved"]
    assert kinds == ["RunStarted", "SamplesPictured", *["GeometryCaptured"] * 3, *epoch, *epoch, "RunFinished"]
    captures = [event for event in found if event.type == "GeometryCaptured"]
    assert captures[0].step == 0, "the first geometry is captured before step 1"
    assert [capture.epoch for capture in captures] == sorted(capture.epoch for capture in captures)
    assert found[-1].summary == [e for e in found if e.type == "EpochMeasured"][-1].scalars
    steps = [event for event in found if event.type == "StepMeasured"]
    assert steps[-1].step == found[0].steps_per_epoch * 2
    total = found[0].steps_per_epoch * 2
    schedule = tiny().schedule
    assert [step.lr for step in steps] == [0.1 * lr_factor(schedule, s.step - 1, total, total // 2) for s in steps]


@pytest.mark.parametrize("head", HEADS)
def test_training_learns_and_measures_both_splits(head):
    measured = [e for e in events(head={"name": head}, epochs=4) if e.type == "EpochMeasured"]
    assert [event.epoch for event in measured] == [1, 2, 3, 4]
    first, last = measured[0].scalars, measured[-1].scalars
    assert set(last) == {"train", "test"}
    assert set(last["train"]) - {"frame_drift"} == set(last["test"])
    # Over seeds 0 to 2, ETF heads reach 0.50 to 0.53 of the first epoch's nc1 and 0.37 to 0.42 of its loss, the linear
    # head 0.50 to 0.76 and 0.11 to 0.14; all reach a test accuracy of 0.96.
    nc1 = [event.scalars["train"]["nc1"] for event in measured]
    assert nc1 == sorted(nc1, reverse=True), "classes collapse further in every epoch"
    assert nc1[-1] < (0.8 if head == "linear" else 0.6) * nc1[0]
    assert last["train"]["loss"] < 0.5 * first["train"]["loss"]
    assert last["test"]["top1"] > 0.95
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
    # How far the frame has turned is since the measurement before.
    assert often[-1].summary["train"].keys() - seldom[-1].summary["train"].keys() == {"frame_drift"}
    for split, scalars in seldom[-1].summary.items():
        assert {key: often[-1].summary[split][key] for key in scalars} == scalars


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
    assert capture.samples == 1442


def test_the_residual_is_the_part_of_the_features_outside_the_frame():
    found = events(epochs=1, measure={"keep_features": "all", "first_epoch_captures": 0})
    capture = [e for e in found if e.type == "GeometryCaptured"][-1]
    kept = next(e.arrays for e in found if e.type == "FeaturesKept")
    rows = balanced_rows(torch.from_numpy(kept["labels_train"]), len(capture.arrays["labels"])).numpy()
    np.testing.assert_array_equal(kept["labels_train"][rows], capture.arrays["labels"])
    features, frame = kept["features_train"].astype(np.float64), capture.arrays["frame"].astype(np.float64)
    class_means = [features[kept["labels_train"] == label].mean(axis=0) for label in range(10)]
    centred = features[rows] - np.mean(class_means, axis=0)
    outside = centred - centred @ frame @ frame.T
    # The frame is stored in float32.
    expected = np.sqrt(np.square(outside).sum(axis=1).mean()) / capture.mean_norm
    assert capture.residual == pytest.approx(expected, rel=1e-5)
    assert capture.residual > 0.01


@pytest.mark.parametrize("classes", [2, 10, 64, 90])
def test_a_capture_stays_within_its_bytes(classes):
    count = sample_budget(classes, 10_000)
    # Means and rows, cosines of both, and for each feature its coordinates, its label and its prediction.
    floats = 2 * classes * (classes - 1) + 2 * classes**2 + count * (classes - 1 + 2)
    if count > classes:
        assert 4 * floats <= CAPTURE_BYTES < 4 * (floats + classes + 1), "as many features as fit, with their labels"
    else:
        assert count == classes
        assert 4 * (floats + classes + 1) > CAPTURE_BYTES, "more than one a class does not fit"


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
        next(DATASETS[name]().load(0, DataPaths()))
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
    facts = DATASETS[name]().info()
    assert (len(train_images), len(test_images)) == (facts.train, facts.test)
    assert tuple(np.bincount(train_labels)) == facts.train_per_class
    assert train_images.shape[1:] == test_images.shape[1:] == facts.shape[1:]
    assert len(facts.class_names) == len(set(test_labels)) == len(set(train_labels))
    assert train_images.mean() / 255 == pytest.approx(facts.mean[0], abs=2e-3)
    assert train_images.std() / 255 == pytest.approx(facts.std[0], abs=2e-3)


def loaded(config):
    """Return both splits of a config whose data says nothing on the way."""
    with pytest.raises(StopIteration) as found:
        next(loader.load(config, torch.device("cpu"), DataPaths()))
    return found.value.value


def test_the_embedded_data_set_is_the_one_that_was_made():
    folder = Path(loader.__file__).parent
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
    if name == "constant":
        assert factors == [1.0] * 200
    if name == "cosine":
        assert factors == pytest.approx([math.cos(math.pi * step / 400) ** 2 for step in range(200)], rel=1e-12)
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
        "import sys, ncengine as nc; nc.RunConfig; nc.presets; nc.catalogue()\n"
        "assert not {'torch', 'geoopt', 'sklearn', 'fastapi', 'dash', 'sqlalchemy'} & set(sys.modules)\n"
        "assert 'run' in nc.__all__\n"
        "try: nc.nothing\n"
        "except AttributeError as error: assert 'NearestETFHead' in str(error)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("optimiser", ["sgd", "adam", "adamw", "agd"])
def test_a_small_run_waits_for_no_library_that_it_does_not_need(optimiser):
    code = (
        "import sys, ncengine as nc\n"
        f"config = nc.RunConfig(data={{'name': 'digits'}}, optimiser={{'name': '{optimiser}'}}, epochs=1)\n"
        "assert [e for e in nc.run(config)][-1].type == 'RunFinished'\n"
        "assert not {'torch._dynamo', 'sklearn', 'scipy', 'geoopt', 'torchvision'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_step_says_where_its_time_went():
    found = [e for e in events(epochs=2) if e.type == "StepMeasured"]
    assert set(found[0].seconds) == {"data", "forward", "head", "backward", "optimiser"}
    assert all(seconds > 0 for event in found for seconds in event.seconds.values())
    step_s = sum(found[-1].seconds.values())
    assert found[-1].samples_per_s == pytest.approx(64 / step_s)
    assert found[-1].memory_bytes["process"] > 1e7
    assert found[-1].remaining_s < found[0].remaining_s


def test_the_clock_is_an_argument():
    ticks = itertools.count()
    found = list(nc.run(tiny(device="cpu", epochs=2), data_paths=DataPaths(clock=lambda: float(next(ticks)))))
    step = next(e for e in found if e.type == "StepMeasured")
    # One tick a mark: each phase of each step takes one second by this clock.
    assert step.seconds == {"data": 1, "forward": 1, "head": 1, "backward": 1, "optimiser": 1}
    assert step.samples_per_s == pytest.approx(64 / 5)
    measured = [e for e in found if e.type == "EpochMeasured"]
    assert measured[0].measure_s == 1
    last = [e for e in found if e.type == "StepMeasured" and e.epoch == 2][-1]
    assert last.remaining_s == pytest.approx((44 - last.step) * 5 + 1), "two steps and one measurement to come"


def test_geometric_cadence_is_dense_at_first_then_ever_further_apart():
    measure = MeasureConfig(cadence="geometric", growth=1.5, dense_epochs=4)
    assert [e for e in range(1, 61) if measure.measured(e, 60)] == [1, 2, 3, 4, 6, 9, 14, 21, 32, 48, 60]
    every = MeasureConfig(every=20, dense_epochs=3)
    assert [e for e in range(1, 51) if every.measured(e, 50)] == [1, 2, 3, 20, 40, 50]
    found = events(epochs=5, measure={"cadence": "geometric", "growth": 2.0, "first_epoch_captures": 0})
    assert [e.epoch for e in found if e.type == "EpochMeasured"] == [1, 2, 4, 5]


def test_a_batch_in_parts_takes_the_same_step():
    """For a head without state and a network without batch statistics, parts add up to the whole batch's gradient."""
    settings = {"head": {"name": "linear"}, "backbone": {"name": "vit-tiny", "features": 12, "patch": 4}, "epochs": 1}
    data = {"name": "digits", "per_class": 16}
    whole, parts = (
        [
            e.loss
            for e in events(data=data, **settings, optimiser={"name": "sgd", "accumulate": n})
            if hasattr(e, "loss")
        ]
        for n in (1, 4)
    )
    assert parts == pytest.approx(whole, rel=1e-4)


def test_parts_of_a_batch_are_as_equal_as_can_be():
    """Ten samples in four parts are 3, 3, 2 and 2: a part of one has no batch statistics."""
    found = events(batch_size=10, optimiser={"name": "sgd", "accumulate": 4}, epochs=1)
    assert found[-1].type == "RunFinished"


def test_clipping_bounds_the_step():
    def moved(clip):
        optimiser = {"name": "sgd", "momentum": 0, "weight_decay": 0, "lr": 1.0, "clip_norm": clip}
        config = {"optimiser": optimiser, "schedule": {"name": "constant"}, "epochs": 1}
        measure = {"checkpoint_steps": 1, "first_epoch_captures": 0}
        saved = [e.tensors for e in events(**config, measure=measure) if e.type == "CheckpointSaved"][:2]
        names = [n for n in saved[0] if n.startswith("backbone") and "running" not in n and "tracked" not in n]
        return np.sqrt(sum(np.square(saved[1][n] - saved[0][n]).sum() for n in names))

    assert moved(1e-3) == pytest.approx(1e-3, rel=1e-3)
    assert moved(None) > 1e-2


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16", "float16"])
@pytest.mark.parametrize("channels_last", [True, False])
def test_precisions_and_memory_orders_train(precision, channels_last):
    found = events(precision=precision, channels_last=channels_last, epochs=2, backbone={"name": "cnn-small"})
    assert found[-1].summary["train"]["top1"] > 0.6


@pytest.mark.parametrize("loss", [{"name": "mse"}, {"name": "cross-entropy", "label_smoothing": 0.1}])
def test_other_losses_train(loss):
    assert events(loss=loss, epochs=4)[-1].summary["train"]["top1"] > 0.6


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_network_gives_the_same_numbers():
    plain, compiled = (events(compile=on, epochs=1)[-1].summary["train"]["loss"] for on in (False, True))
    # Compiled kernels add up in another order: float32's last digits over 22 steps.
    assert compiled == pytest.approx(plain, rel=1e-3)


def test_divergence_stops_at_the_step_and_names_the_tensor():
    """Steps so large that weights overflow: the run ends there, and what was before is kept."""
    optimiser = {"name": "sgd", "lr": 100, "momentum": 0.99, "weight_decay": 10}
    settings = {"schedule": {"name": "constant"}, "head": {"name": "linear"}, "epochs": 30}
    measure = {"first_epoch_captures": 0, "checkpoint_steps": 1}
    config = tiny(device="cpu", optimiser=optimiser, measure=measure, **settings)
    kept = []

    def train():
        for event in nc.run(config):
            kept.extend([event] if event.type == "CheckpointSaved" else [])

    with pytest.raises(FloatingPointError) as failure:
        train()
    words = str(failure.value)
    assert "training diverged at step" in words
    assert "is the first tensor that is not finite" in words
    assert "step 1:" not in words
    assert "lower optimiser.lr (now 100)" in words
    assert kept
    assert all(np.isfinite(array).all() for array in kept[-1].tensors.values() if array.dtype.kind == "f")


def test_memory_that_does_not_suffice_says_how_much_and_what_to_do():
    config = tiny(device="cpu", backbone={"name": "mlp", "width": 32, "features": 9}, batch_size=64)
    with pytest.raises(MemoryError) as failure, memory_advice(config):
        torch.empty(10**15)
    words = str(failure.value)
    assert "4000000000000000 bytes could not be allocated" in words
    assert "batch_size=64" in words
    assert "set batch_size=32" in words
    with pytest.raises(RuntimeError, match="something else"), memory_advice(config):
        raise RuntimeError("something else")


@pytest.mark.parametrize(("limit", "raised"), [(2**40, MemoryError), (resource.RLIM_INFINITY, SystemError)])
def test_an_error_that_found_no_memory_itself_is_one_of_memory_at_a_limit(monkeypatch, limit, raised):
    """What Python raises at a limit on the process, seen inside torch; without a limit it stays a fault."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    with pytest.raises(raised), memory_advice(tiny(device="cpu")):
        raise SystemError("error return without exception set")


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_preset_is_a_config_that_can_be_stored(name):
    config = PRESETS[name]()
    assert nc.RunConfig.model_validate_json(config.canonical_json()) == config
    assert (PRESETS[name].__doc__ or "").strip().endswith(".")
    if name.startswith("paper-"):
        assert (config.epochs, config.batch_size, config.optimiser.name) == (200, 256, "agd")
        assert config.head.temperature == 5.0
        assert getattr(config.head, "delta", 1e-3) == 1e-3
    if name.startswith("released-code-"):
        in_paper = name.replace("released-code-", "paper-")
        # Only the released code trains on MNIST.
        assert (in_paper in PRESETS) == ("mnist" not in name)
        assert PRESETS.get(in_paper, nc.RunConfig)() != config, "it differs from the paper"


def test_the_presets_that_stay():
    wanted = {f"{data}-{head}" for data in ("digits", "fashion") for head in ("nearest", "fixed", "linear")}
    assert wanted | {"first-light", "ufm-10", "ufm-100"} <= set(PRESETS)


IMPOSSIBLE = {
    "one class": ({"data": {"name": "digits", "classes": [3]}}, "at least 2 different labels"),
    "ufm alone": ({"data": {"name": "ufm"}}, "backbone.name must be free-features"),
    "free features alone": ({"backbone": {"name": "free-features"}}, "backbone.name must be free-features"),
    "vectors": ({"data": {"name": "synthetic"}}, "set backbone.name=mlp"),
    "agd and a bias": ({"optimiser": {"name": "agd"}, "head": {"name": "linear"}}, "set head.bias=false"),
    "agd and positions": ({"optimiser": {"name": "agd"}, "backbone": {"name": "vit-tiny", "patch": 7}}, "than agd"),
    "nesterov": ({"optimiser": {"name": "sgd", "nesterov": True, "momentum": 0}}, "set optimiser.momentum=0.9"),
    "milestones": ({"schedule": {"name": "multi-step", "milestones": [5, 3]}}, "must ascend"),
    "parts": ({"batch_size": 8, "optimiser": {"name": "sgd", "accumulate": 5}}, "set optimiser.accumulate=4"),
    "patch": ({"backbone": {"name": "vit-tiny", "patch": 5, "features": 12}}, "7 divides 28"),
    "layers": ({"measure": {"layers": ["1", "1"]}}, "must be different names"),
    "few features": ({"backbone": {"name": "mlp", "features": 8}}, "set backbone.features=9"),
}


@pytest.mark.parametrize("case", list(IMPOSSIBLE))
def test_impossible_configs_say_what_to_set(case):
    settings, message = IMPOSSIBLE[case]
    with pytest.raises(ValueError) as failure:
        nc.RunConfig.model_validate(settings)
    assert message in str(failure.value)


def test_a_thousand_classes_travel_in_three_dimensions():
    config = nc.RunConfig.model_validate(
        {
            "data": {"name": "ufm", "class_count": 200, "per_class": 2},
            "backbone": {"name": "free-features", "features": 199},
            "batch_size": 400,
            "epochs": 1,
            "measure": {"first_epoch_captures": 0},
            "device": "cpu",
        }
    )
    found = list(nc.run(config))
    started, capture = found[0], [e for e in found if e.type == "GeometryCaptured"][-1]
    assert np.array(started.vertices).shape == (200, 3)
    np.testing.assert_allclose(np.linalg.norm(started.vertices, axis=1), 1, atol=1e-4)
    arrays = capture.arrays
    assert arrays["means"].shape == arrays["weights"].shape == (200, 3)
    assert arrays["means_whole"].shape == (200, 199)
    streamed = sum(array.nbytes for name, array in arrays.items() if name in STREAMED_ARRAYS)
    assert streamed <= CAPTURE_BYTES
    view = view_matrix(200)
    np.testing.assert_allclose(arrays["means"], arrays["means_whole"] @ view, atol=1e-5)
