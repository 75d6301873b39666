"""What a run measures beside its splits: other data, hidden layers, kept features, pictures that do not jump."""

import itertools

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.datasets import load_digits

import ncengine as nc
from ncengine.data import resolve_config
from ncengine.data.embedded import FashionMnistMini
from ncengine.data.loader import load
from ncengine.data.ood import load_ood, to_shape
from ncengine.milestones import collapse_layer, time_to_collapse
from ncengine.training.capture import PICTURE_BYTES, thumbnails
from tests.ncengine.test_training import events, tiny

CPU = torch.device("cpu")


def drained(steps):
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def measured(found):
    return [event for event in found if event.type == "EpochMeasured"]


# Other data


def test_other_data_is_told_apart():
    found = measured(events(epochs=6, measure={"outside": "fashion-mnist-mini"}))
    for split in ("train", "test"):
        last = found[-1].scalars[split]
        assert 0 <= last["nc5_ood"] <= 1
        assert last["ood_auroc_neco"] > 0.6
        assert last["ood_auroc_logit"] > 0.6
        assert found[-1].details[split]["errors"]["ood_auroc_neco"] < 0.05


def test_other_data_has_the_run_s_shape_and_normalisation():
    config = nc.RunConfig(data=FashionMnistMini(), batch_size=64, measure={"outside": "digits"})
    split = drained(load_ood(config, CPU, nc.DataPaths()))
    train, _ = drained(load(config, CPU, nc.DataPaths()))
    (samples, _), (ours, _) = (next(iter(s.evaluation(s.all_rows(), 100))) for s in (split, train))
    assert len(split) == 355
    assert samples.shape == ours.shape == (100, 1, 28, 28)
    # Digits are darker than clothes: zero after normalisation is the mean of the run's own data.
    assert abs(float(ours.mean())) < 0.2
    assert float(samples.min()) == pytest.approx(float(ours.min()))


def test_colour_becomes_grey_and_grey_colour():
    red = np.zeros((2, 8, 8, 3), np.uint8)
    red[..., 0] = 200
    assert to_shape(red, (1, 4, 4)).unique().tolist() == [60]
    grey = np.full((2, 8, 8, 1), 7, np.uint8)
    assert to_shape(grey, (3, 16, 16)).shape == (2, 16, 16, 3)
    with pytest.raises(ValueError, match="1, 3 or 1 channels, got 2"):
        to_shape(np.zeros((1, 8, 8, 2), np.uint8), (1, 8, 8))


def test_classes_left_out_are_other_data():
    config = nc.RunConfig(
        data=FashionMnistMini(classes=(0, 3)), batch_size=64, measure={"outside": "fashion-mnist-mini"}
    )
    assert len(drained(load_ood(config, CPU, nc.DataPaths()))) == 800


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"measure": {"outside": "digits"}}, "measure.outside must be another data set than digits"),
        ({"measure": {"outside": "arrays"}}, "measure.outside_path must say where"),
        ({"measure": {"outside": "cats"}}, "Input should be"),
        (
            {"data": {"name": "synthetic"}, "backbone": {"name": "mlp"}, "measure": {"outside": "digits"}},
            "measure.outside must be none for synthetic",
        ),
    ],
)
def test_other_data_that_cannot_be_is_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        tiny(**settings)


def test_one_s_own_arrays_are_other_data_within_the_allowed_folders(tmp_path):
    rng = np.random.default_rng(0)
    inside = tmp_path / "allowed" / "other.npz"
    inside.parent.mkdir()
    labels = rng.integers(0, 2, 60)
    np.savez(inside, images=rng.integers(0, 255, (60, 12, 12, 3), dtype=np.uint8), labels=labels)
    config = tiny(measure={"outside": "arrays", "outside_path": str(inside)})
    settled = resolve_config(config, roots=(inside.parent,))
    split = drained(load_ood(settled, CPU, nc.DataPaths()))
    assert split.source.samples.shape[1:] == (8, 8, 1)
    with pytest.raises(ValueError, match=r"measure.outside_path must lie under a folder that the operator allows"):
        resolve_config(config, roots=(tmp_path / "elsewhere",))
    with pytest.raises(ValueError, match=r"measure.outside_path"):
        resolve_config(tiny(measure={"outside": "arrays", "outside_path": str(tmp_path / "none.npz")}))


# Hidden layers


def test_layers_are_measured_in_the_order_of_the_forward_pass():
    backbone = {"name": "mlp", "features": 32, "depth": 2}
    layers = ["3", "1"]
    found = measured(events(epochs=8, backbone=backbone, measure={"layers": layers}))
    last = found[-1]
    assert list(last.layers) == list(last.layers_test) == ["1", "3"]
    for splits in (last.layers, last.layers_test):
        assert all(0 < scalars["ncc_accuracy"] <= 1 for scalars in splits.values())
        assert all("nc1" in scalars and "loss" not in scalars for scalars in splits.values())
    assert last.layers["1"]["ncc_accuracy"] < last.scalars["train"]["ncc_accuracy"]
    expected = collapse_layer(last.layers, last.scalars["train"], "penultimate")
    assert last.collapse_layer == expected


def test_the_layer_where_collapse_starts():
    layers = {name: {"ncc_accuracy": value} for name, value in (("a", 0.995), ("b", 0.9), ("c", 0.99), ("d", 0.999))}
    assert collapse_layer(layers, {"ncc_accuracy": 1.0}, "penultimate") == "c"
    assert collapse_layer({"a": {}}, {"ncc_accuracy": 1.0}, "penultimate") == "penultimate"
    assert collapse_layer(layers, {"ncc_accuracy": 0.5}, "penultimate") is None


@pytest.mark.parametrize(
    ("values", "direction", "expected"),
    [
        ([3, 1, 0.5, 0.1], "low", 4),
        ([0.5, 3, 0.5, 0.1], "low", 4),
        ([3, 0.4, 0.4, 0.1], "low", 2),
        ([0.1, 0.1, 0.1, 3], "low", None),
        ([0.1, None, 0.1, 0.1], "low", 3),
        ([0.1, float("nan"), 0.1, 0.1], "low", 3),
        ([0.2, 0.9, 0.95, 1], "high", 2),
    ],
)
def test_time_to_collapse_is_when_a_metric_stays(values, direction, expected):
    threshold = 0.9 if direction == "high" else 0.4 if expected in (2, 3) else 0.1
    assert time_to_collapse([1, 2, 3, 4], values, threshold, direction) == expected
    with pytest.raises(ValueError, match="equally many, got 3 and 4"):
        time_to_collapse([1, 2, 3], values, 0.1)


# Features that are kept


@pytest.mark.parametrize("keep", ["sample", "all"])
def test_features_are_kept_as_large_as_was_said(keep):
    settings = {"keep_features": keep, "first_epoch_captures": 2}
    config = tiny(device="cpu", epochs=2, measure=settings)
    found = list(nc.run(config))
    kept = [event for event in found if event.type == "FeaturesKept"]
    captures = [event for event in found if event.type == "GeometryCaptured"]
    said = config.kept_features
    assert len(kept) == said.captures == (len(captures) if keep == "sample" else 2)
    for event in kept:
        size = sum(array.nbytes for array in event.arrays.values())
        assert size == event.size_bytes == said.bytes
        assert event.arrays["features_train"].dtype == np.float32
        assert event.samples["train"] == (500 if keep == "sample" else 1442)
        assert ("features_test" in event.arrays) == (keep == "all")
    # They are what was measured.
    last, epoch = kept[-1].arrays, measured(found)[-1]
    again = nc.measure(torch.tensor(last["features_train"]), torch.tensor(last["labels_train"]), classes=10)
    if keep == "all":
        assert again.scalars["nc1"] == pytest.approx(epoch.scalars["train"]["nc1"], rel=1e-9)


def test_nothing_is_kept_unasked_and_too_much_is_refused():
    assert not [event for event in events(epochs=1) if event.type == "FeaturesKept"]
    with pytest.raises(ValidationError, match=r"at most 2 GiB a capture, got 3.0 GiB; set measure.keep_features"):
        nc.RunConfig(
            data={"name": "svhn"}, backbone={"name": "mlp", "features": 8192}, measure={"keep_features": "all"}
        )


# Measurements and pictures


def test_an_epoch_says_what_its_numbers_are_of():
    last = measured(events(epochs=2))[-1]
    details = last.details["train"]
    assert (details["rank"], details["samples"], details["of"], details["center"]) == (9, 1442, 1442, "classes")
    assert last.details["test"]["of"] == 355


def test_a_resumed_run_knows_the_frame_before():
    config = tiny(device="cpu", epochs=4, measure={"every": 2, "first_epoch_captures": 2})
    whole = list(nc.run(config))
    saved = next(e for e in whole if e.type == "CheckpointSaved" and e.epoch == 3)
    rest = list(nc.run(config, resume=saved))
    assert measured(rest)[-1].scalars == measured(whole)[-1].scalars
    assert "frame_drift" in measured(rest)[-1].scalars["train"]
    assert "frame_drift" not in measured(whole)[0].scalars["train"]


def test_a_capture_holds_what_views_need():
    arrays = [e for e in events(epochs=2) if e.type == "GeometryCaptured"][-1].arrays
    for name in ("cosines_means", "cosines_weights", "cosines_between", "confusion"):
        assert arrays[name].shape == (10, 10), name
    np.testing.assert_allclose(
        arrays["confusion"].sum(axis=1),
        [143, 146, 142, 147, 145, 146, 145, 144, 140, 144],
    )
    assert arrays["accuracy"].shape == arrays["within_variance"].shape == (10,)
    assert len(arrays["spectrum_between"]) == 9
    assert (np.diff(arrays["margins"]) >= 0).all()
    assert arrays["pca"].shape == (9, 3)


def test_a_capture_says_what_the_classifier_takes_its_samples_for():
    few = {"name": "digits", "per_class": 20}
    found = events(epochs=3, data=few, head={"name": "linear", "bias": True}, measure={"features": 200})
    captures = [e.arrays for e in found if e.type == "GeometryCaptured" and e.epoch in (1, 2, 3)]
    shares = [event.scalars["train"]["top1"] for event in measured(found)]
    # All training samples are in the cloud, so what is right there is the accuracy.
    assert [float((each["predictions"] == each["labels"]).mean()) for each in captures] == pytest.approx(shares)
    assert 0.1 < shares[0] < 1
    confusion = np.zeros((10, 10), int)
    np.add.at(confusion, (captures[-1]["labels"], captures[-1]["predictions"]), 1)
    np.testing.assert_array_equal(confusion, captures[-1]["confusion"])


def test_the_samples_of_captures_are_pictured_once():
    found = events(
        epochs=1, measure={"features": 60}, data={"name": "digits", "label_noise": "symmetric", "noise_rate": 0.4}
    )
    pictured = [e for e in found if e.type == "SamplesPictured"]
    assert len(pictured) == 1
    capture = [e for e in found if e.type == "GeometryCaptured"][-1].arrays
    images, truth = (pictured[0].arrays[name] for name in ("images", "true_labels"))
    assert images.shape == (60, 8, 8, 1)
    assert 0.15 < (truth != capture["labels"]).mean() < 0.6
    # Each is the picture of its sample: the mean picture of its true class is nearer than those of others.
    raw = load_digits()
    means = np.stack([raw.images[raw.target == label].mean(axis=0) for label in range(10)]) / 16
    apart = ((images[:, None, :, :, 0] / 255 - means) ** 2).sum(axis=(2, 3))
    assert (apart.argmin(axis=1) == truth).mean() > 0.8
    free = [e.type for e in nc.run(nc.presets["ufm-10"]().model_copy(update={"epochs": 1}))]
    assert "SamplesPictured" not in free, "free features are pictures of nothing"


@pytest.mark.parametrize(
    ("shape", "small"), [((5, 28, 28, 1), (28, 28)), ((300, 224, 112, 3), (34, 17)), ((40, 96, 96, 3), (48, 48))]
)
def test_pictures_are_small(shape, small):
    images = torch.randint(0, 256, (1, *shape[1:]), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    images = images.repeat(shape[0], 1, 1, 1)
    found = thumbnails(images)
    assert found.shape == (shape[0], *small, shape[3])
    assert found.numel() <= PICTURE_BYTES
    assert abs(float(found.float().mean()) - float(images.float().mean())) < 1
    assert torch.equal(
        thumbnails(torch.full(shape, 77, dtype=torch.uint8)).unique(), torch.tensor([77], dtype=torch.uint8)
    )


def test_the_principal_picture_does_not_jump():
    captures = [e.arrays for e in events(epochs=5) if e.type == "GeometryCaptured"]
    for before, after in itertools.pairwise(captures[1:]):
        aligned = np.linalg.svd(after["pca"].T @ before["pca"])
        # The best rotation within the picture's space is none: it has been applied already.
        np.testing.assert_allclose(aligned[0] @ aligned[2], np.eye(3), atol=1e-5)
