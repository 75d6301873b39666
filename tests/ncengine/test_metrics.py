"""Each metric: against its formula, invariant where it must be, ideal at collapse, defined when degenerate."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ncengine as nc
from ncengine.metrics import METRICS
from tests.reference import formulas


def problem(classes=5, features=12, samples=400, spread=0.3, offset=0.0, seed=0):
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(classes, features))
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, samples - classes)])
    data = means[labels] + spread * rng.normal(size=(samples, features)) + offset
    weight = rng.normal(size=(classes, features))
    bias = -weight @ data.mean(axis=0)
    return data.astype(np.float32), labels, weight, bias


def measured(data, labels, weight, bias, **kwargs):
    tensors = (torch.tensor(data), torch.tensor(labels), torch.tensor(weight), torch.tensor(bias))
    return nc.measure(*tensors, **kwargs)


def collapsed(classes=6, features=9, repeats=4, radius=5.0):
    """Features exactly on a rotated simplex ETF, with the aligned classifier."""
    rotation = torch.linalg.qr(torch.randn(features, classes - 1, dtype=torch.float64)).Q
    weight = nc.etf_weights(rotation)
    labels = torch.arange(classes).repeat(repeats)
    return radius * weight[labels], labels, weight, torch.zeros(classes, dtype=torch.float64)


@pytest.mark.parametrize("key", list(METRICS))
@pytest.mark.parametrize("seed", [0, 1])
def test_agrees_with_the_formula(key, seed):
    data, labels, weight, bias = problem(seed=seed)
    expected = formulas.metrics(data.astype(np.float64), labels, weight, bias, 5)[key]
    # float64 on both sides from the same float32 features; the margin is for the order of summation.
    assert measured(data, labels, weight, bias).scalars[key] == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("spread", [1e-1, 1e-3, 1e-5])
@pytest.mark.parametrize("relative_offset", [0.0, 1000.0])
def test_nc1_is_exact_when_collapsed_and_far_from_the_origin(spread, relative_offset):
    data, labels, weight, bias = problem(spread=spread, offset=relative_offset * spread, seed=3)
    expected = formulas.nc1(data.astype(np.float64), labels, 5)
    assert measured(data, labels, weight, bias).scalars["nc1"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("key", list(METRICS))
def test_ideal_value_at_perfect_collapse(key):
    torch.manual_seed(0)
    spec = METRICS[key]
    found = nc.measure(*collapsed()).scalars[key]
    # Features are float32 in the second pass, so equal points spread by 1e-7; cross-entropy at radius 5 is not zero.
    expected = math.log(1 + 5 * math.exp(-5 * (1 + 1 / 5))) if key == "loss" else spec.ideal(6)
    assert found == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("key", [k for k in METRICS if k not in ("loss", "top1", "nc4_ncc_mismatch")])
def test_rotation_and_scale_change_nothing(key):
    data, labels, weight, bias = problem(seed=5)
    turn = np.linalg.qr(np.random.default_rng(9).normal(size=(12, 12)))[0]
    before = measured(data, labels, weight, bias).scalars[key]
    after = measured((7 * data @ turn).astype(np.float32), labels, weight @ turn, bias).scalars[key]
    # Turning float32 features rounds them again, by 6e-8 relative each.
    assert after == pytest.approx(before, rel=1e-5, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 400), max_size=6), seed=st.integers(0, 100))
def test_any_split_and_order_of_batches_gives_the_same(cuts, seed):
    data, labels, weight, bias = problem(seed=seed)
    whole = measured(data, labels, weight, bias).scalars
    bounds = [0, *sorted(cuts), 400]
    meters = []
    for low, high in itertools.pairwise(bounds):
        meter = nc.Meter(5, 12)
        meter.update(torch.tensor(data[low:high]), torch.tensor(labels[low:high]))
        meters.append(meter)
    total = nc.Meter(5, 12)
    for meter in reversed(meters):
        total.merge(meter)
    merged = total.compute(torch.tensor(weight), torch.tensor(bias)).scalars
    for key, value in whole.items():
        assert merged[key] == pytest.approx(value, rel=1e-9, abs=1e-12), key


DEGENERATE = {
    "empty class": (lambda d, y: (d[y != 2], y[y != 2]), "empty-class"),
    "one sample a class": (lambda d, y: (d[:5], y[:5]), "one-sample-class"),
    "all features equal": (lambda d, y: (np.ones_like(d), y), "means-equal"),
    "one class only": (lambda d, y: (d[y == 1], y[y == 1]), "empty-class"),
}


@pytest.mark.parametrize("case", list(DEGENERATE))
@pytest.mark.filterwarnings("error")
def test_degenerate_input_has_a_value_and_a_flag(case):
    change, flag = DEGENERATE[case]
    data, labels, weight, bias = problem()
    found = measured(*change(data, labels), weight, bias, classes=5)
    assert flag in found.flags
    assert all(math.isfinite(value) for value in found.scalars.values())


def test_two_classes_and_fewer_features_than_rank():
    data, labels, weight, bias = problem(classes=2, features=3)
    assert measured(data, labels, weight, bias).scalars["nc2_equiangular_means"] == pytest.approx(0, abs=1e-12)
    data, labels, weight, bias = problem(classes=8, features=3)
    found = measured(data, labels, weight, bias)
    assert "features-below-rank" in found.flags
    assert found.rank == 3
    assert all(math.isfinite(value) for value in found.scalars.values())


def test_metrics_of_a_classifier_are_absent_without_one():
    data, labels, _, _ = problem()
    found = nc.measure(torch.tensor(data), torch.tensor(labels)).scalars
    assert "nc1" in found
    assert not {"loss", "nc3", "cosine_margin", "nc2_etf_weights"} & set(found)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda d, y: (d, y + 1), r"0 … 4, got 5"),
        (lambda d, y: (d, y - 1), r"0 … 4, got -1"),
        (lambda d, y: (d[:, :3], y), r"\(N, 12\), got"),
        (lambda d, y: (d, y[:-1]), r"labels must be \(400,\)"),
        (lambda d, y: (d * np.float32("nan"), y), "finite"),
    ],
)
def test_bad_input_says_what_was_expected(spoil, message):
    data, labels, _, _ = problem()
    meter = nc.Meter(5, 12)
    spoiled_data, spoiled_labels = spoil(data, labels)
    with pytest.raises(ValueError, match=message):
        meter.update(torch.tensor(spoiled_data), torch.tensor(spoiled_labels))


def test_beyond_its_budget_a_meter_keeps_a_sample_and_says_so():
    data, labels, weight, bias = problem(samples=1000)
    meter = nc.Meter(5, 12, keep_bytes=300 * 12 * 4)
    for start in range(0, 1000, 100):
        meter.update(torch.tensor(data[start : start + 100]), torch.tensor(labels[start : start + 100]))
    found = meter.compute(torch.tensor(weight), torch.tensor(bias))
    assert "sampled" in found.flags
    assert 150 <= found.samples <= 300
    assert found.scalars["nc1"] == pytest.approx(measured(data, labels, weight, bias).scalars["nc1"], rel=1e-9)


def test_test_samples_are_classified_by_the_training_means():
    data, labels, weight, bias = problem()
    shifted = nc.Meter(5, 12)
    shifted.update(torch.tensor(data), torch.tensor(labels))
    far = np.roll(shifted.means_DK, 1, axis=1)
    own = shifted.compute(torch.tensor(weight), torch.tensor(bias)).scalars["nc4_ncc_mismatch"]
    other = shifted.compute(torch.tensor(weight), torch.tensor(bias), class_means_DK=far).scalars["nc4_ncc_mismatch"]
    assert other != own
