"""Each metric: against its formula, invariant where it must be, ideal at collapse, defined when degenerate."""

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ncengine as nc
from ncengine.metrics import METRICS, classification, long_tail, margins, nc1, nc2, nc3, nc4, norms, ood, spectra
from ncengine.metrics.metric_spec import FromStatistics
from tests.reference import formulas

LONG_TAIL = {key for key, spec in METRICS.items() if spec.family == "Long tail"}
OOD = {key for key, spec in METRICS.items() if spec.family == "NC5"}
EVERYWHERE = [key for key in METRICS if key not in {*LONG_TAIL, *OOD, "frame_drift"}]
"""Metrics of any single measurement with a classifier and at least five classes."""
UNSCALED = {"loss", "feature_norm_mean", "feature_norm_std", "nc4_bias"}


def problem(classes=5, features=12, samples=400, spread=0.3, offset=0.0, seed=0, tail=1.0):
    """Gaussian classes with float32 samples; `tail` is the share of samples that each class has of the one before."""
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(classes, features))
    shares = tail ** np.arange(classes)
    drawn = rng.choice(classes, size=samples - 2 * classes, p=shares / shares.sum())
    labels = np.concatenate([np.repeat(np.arange(classes), 2), drawn])
    data = means[labels] + spread * rng.normal(size=(samples, features)) + offset
    weight = rng.normal(size=(classes, features)) + means
    bias = -weight @ data.mean(axis=0) + 0.1 * rng.normal(size=classes)
    return data.astype(np.float32), labels, weight, bias


def measured(data, labels, weight=None, bias=None, **kwargs):
    given = (torch.tensor(data), torch.tensor(labels), weight, bias)
    return nc.measure(*(torch.tensor(x) if isinstance(x, np.ndarray) else x for x in given), **kwargs)


def fed(data, labels, classes, **kwargs):
    meter = nc.Meter(classes, data.shape[1], **kwargs)
    meter.update(torch.tensor(data), torch.tensor(labels))
    return meter


def collapsed(classes=6, features=9, repeats=4, radius=5.0, seed=0):
    """Float64 features exactly on a rotated simplex ETF, with the aligned classifier."""
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(features, classes - 1, generator=generator, dtype=torch.float64)
    weight = nc.etf_weights(torch.linalg.qr(start).Q)
    labels = torch.arange(classes).repeat(repeats)
    return radius * weight[labels], labels, weight, torch.zeros(classes, dtype=torch.float64)


# Against the formula


@pytest.mark.parametrize("key", EVERYWHERE)
@pytest.mark.parametrize("shape", [(5, 12), (7, 4), (6, 6)], ids=["wide", "fewer features", "square"])
def test_agrees_with_the_formula(key, shape):
    classes, features = shape
    data, labels, weight, bias = problem(classes, features, seed=classes)
    expected = formulas.metrics(data.astype(np.float64), labels, weight, bias, classes)[key]
    # float64 on both sides from the same float32 features; the margin is for the order of summation. The reference of
    # nc1_pinv rounds Σ_B to float32, and those that invert Σ_B or Σ_T lose digits with its condition.
    close = 1e-4 if key == "nc1_pinv" else 1e-7 if key in {"nc1", "nc1_truncated", "vci"} else 1e-9
    assert measured(data, labels, weight, bias).scalars[key] == pytest.approx(expected, rel=close, abs=1e-12)


@pytest.mark.parametrize("key", sorted(LONG_TAIL))
def test_long_tail_metrics_agree_with_the_formula(key):
    data, labels, weight, bias = problem(classes=6, tail=0.5, seed=2)
    expected = formulas.long_tail(data.astype(np.float64), labels, weight, bias, 6)[key]
    assert measured(data, labels, weight, bias).scalars[key] == pytest.approx(expected, rel=1e-9)


ALONE = {
    "nc1": lambda s: nc1.nc1(s.m, s.within),
    "nc1_truncated": lambda s: nc1.nc1_truncated(s.m, s.within),
    "nc1_pinv": lambda s: nc1.nc1_pinv(s.m, s.within),
    "nc1_ratio": lambda s: nc1.nc1_ratio(float(s.within.trace()), float((s.m**2).sum() / len(s.m))),
    "vci": lambda s: nc1.vci(s.m, s.within),
    "cdnv": lambda s: nc1.cdnv(s.m, s.variances),
    "cdnv_log": lambda s: nc1.cdnv_log(s.m, s.variances),
    "numerical_rank": lambda s: spectra.numerical_rank(s.h, s.y, 6).value,
    "nc2_equinorm_means": lambda s: nc2.equinorm(s.m),
    "nc2_equinorm_weights": lambda s: nc2.equinorm(s.w - s.w.mean(0)),
    "nc2_equiangular_means": lambda s: nc2.equiangular(s.m),
    "nc2_angle_std_weights": lambda s: nc2.angle_std(s.w - s.w.mean(0)),
    "nc2_etf_means": lambda s: nc2.gram_distance_means(s.m),
    "nc2_etf_weights": lambda s: nc2.gram_distance_weights(s.w),
    "gnc2_means": lambda s: nc2.gnc2(s.m),
    "etf_distance_weights": lambda s: nc2.etf_distance(s.w - s.w.mean(0)),
    "nc3": lambda s: nc3.nc3(s.m, s.w),
    "nc3_distance": lambda s: nc3.nc3_distance(s.m, s.w),
    "nc3_cosine": lambda s: nc3.nc3_cosine(s.m, s.w),
    "nc3_uniform": lambda s: nc3.nc3_uniform(s.m, s.w),
    "nc4_bias": lambda s: nc4.nc4_bias(s.w @ s.center + s.b),
    "nc4_ncc_mismatch": lambda s: nc4.ncc_mismatch(s.logits.argmax(1), s.nearest).double().mean(),
    "cosine_margin": lambda s: margins.cosine_margins(s.h - s.center, s.y, s.w).mean(),
    "wh_equinorm_gap": lambda s: norms.equinorm_gap(s.m, s.w - s.w.mean(0)),
    "loss": lambda s: classification.cross_entropy(s.logits, s.y).mean(),
    "top5": lambda s: classification.topk_correct(s.logits, s.y, 5).double().mean(),
    "tail_cosine_means": lambda s: long_tail.group_cosine(s.m, s.tail),
    "head_tail_norm_ratio_weights": lambda s: long_tail.norm_ratio(s.w - s.w.mean(0), s.head, s.tail),
    "head_top1": lambda s: long_tail.group_correct(s.logits.argmax(1), s.y, s.head).nanmean(),
}
"""Metrics as functions of plain tensors: features h, labels y, W, b, centred class means m."""


@pytest.mark.parametrize("key", list(ALONE))
def test_a_metric_can_be_called_alone_with_plain_tensors(key):
    data, labels, weight, bias = problem(classes=6, tail=0.5, seed=2)
    h, y, w, b = torch.tensor(data).double(), torch.tensor(labels), torch.tensor(weight), torch.tensor(bias)
    means = torch.stack([h[y == c].mean(0) for c in range(6)])
    deviations = h - means[y]
    head, tail = (torch.tensor(positions) for positions in formulas.groups(labels, 6))
    statistics = SimpleNamespace(
        h=h,
        y=y,
        w=w,
        b=b,
        center=means.mean(0),
        m=means - means.mean(0),
        within=deviations.mT @ deviations / len(h),
        variances=torch.stack([(deviations[y == c] ** 2).sum(1).mean() for c in range(6)]),
        logits=h @ w.mT + b,
        nearest=torch.cdist(h, means).argmin(1),
        head=head,
        tail=tail,
    )
    # Two ways to the same statistics in float64: the order of summation differs.
    expected = measured(data, labels, weight, bias).scalars[key]
    assert float(ALONE[key](statistics)) == pytest.approx(expected, rel=1e-8, abs=1e-12)


def test_scores_of_other_data_can_be_computed_alone():
    scores = torch.tensor([0.1, 0.5, 0.5, 0.9])
    # Of the 8 pairs 0.1 wins none, each 0.5 one and a tie, 0.9 both.
    assert ood.auroc(scores, torch.tensor([0.2, 0.5])).value == 5 / 8
    along, across = torch.eye(3)[:2], torch.eye(3)[2:]
    assert ood.neco_scores(along, torch.eye(3)[:, :2].double(), torch.zeros(3)).tolist() == [1, 1]
    assert ood.nc5_ood(along, across[0]) == 0


def test_balanced_data_has_no_head_and_no_tail():
    assert not LONG_TAIL & set(nc.measure(*collapsed()).scalars)


def test_head_and_tail_of_a_test_split_are_those_of_the_training_data():
    data, labels, weight, bias = problem(classes=6, tail=0.5, seed=2)
    balanced, even, _, _ = problem(classes=6, seed=2)
    found = fed(balanced, even, 6).compute(torch.tensor(weight), torch.tensor(bias), training=fed(data, labels, 6))
    assert set(found.scalars) >= LONG_TAIL
    head, _ = formulas.groups(labels, 6)
    expected = formulas.pair_cosines(formulas.centred(balanced.astype(np.float64), even, 6)[head]).mean()
    assert found.scalars["head_cosine_means"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("key", sorted(OOD))
def test_out_of_distribution_metrics_agree_with_the_formula(key):
    data, labels, weight, bias = problem(samples=150)
    other_data = np.random.default_rng(4).normal(size=(60, 12)).astype(np.float32) + 0.5
    other_data[:20] = data[:20]  # so that no score tells all apart
    other = nc.Meter(1, 12)
    other.update(torch.tensor(other_data), torch.zeros(60, dtype=torch.int64))
    found = fed(data, labels, 5).compute(torch.tensor(weight), torch.tensor(bias), ood=other)
    doubles = data.astype(np.float64), labels, weight, bias, 5, other_data.astype(np.float64)
    assert found.scalars[key] == pytest.approx(formulas.of_ood(*doubles)[key], rel=1e-9)
    # A standard error is given even though all samples count: both sets stand for a larger population.
    if key == "nc5_ood":
        assert key not in found.errors
    else:
        assert 0 < found.errors[key] < 0.1


def test_frame_drift_is_how_far_the_vertices_moved():
    data, labels, _, _ = problem(features=6)
    first, second = (torch.linalg.qr(torch.randn(6, 4, generator=torch.Generator().manual_seed(s))).Q for s in (0, 1))
    found = fed(data, labels, 5).compute(frame_DR=second, previous_frame_DR=first).scalars["frame_drift"]
    vertices = nc.simplex_basis(5, dtype=torch.float64).mT
    expected = torch.linalg.norm(second.double() @ vertices - first.double() @ vertices) / 2
    assert found == pytest.approx(float(expected), rel=1e-12)
    assert "frame_drift" not in fed(data, labels, 5).compute(frame_DR=second).scalars


@pytest.mark.parametrize("key", ["etf_distance_means", "nc1", "nc3", "nc2_equinorm_means"])
def test_the_mean_of_all_samples_is_the_other_centre(key):
    data, labels, weight, bias = problem(classes=5, tail=0.5, seed=3)
    doubles = data.astype(np.float64)
    m = formulas.class_means(doubles, labels, 5) - doubles.mean(axis=0)
    between = m.T @ m / 5
    norms = np.linalg.norm(m, axis=1)
    expected = {
        "etf_distance_means": formulas.etf_distance(m),
        "nc1": np.trace(formulas.within_covariance(doubles, labels, 5) @ np.linalg.pinv(between)) / 5,
        "nc3": formulas.gram_gap(weight @ m.T),
        "nc2_equinorm_means": norms.std() / norms.mean(),
    }
    found = measured(data, labels, weight, bias, center="samples")
    assert found.center == "samples"
    assert found.scalars[key] == pytest.approx(expected[key], rel=1e-8)
    assert found.scalars[key] != pytest.approx(measured(data, labels, weight, bias).scalars[key], rel=1e-3)


# Collapsed features


@pytest.mark.parametrize("key", ["nc1", "nc1_truncated", "nc1_ratio", "cdnv", "cdnv_log", "numerical_rank"])
@pytest.mark.parametrize("spread", [1e-1, 1e-3, 1e-5])
@pytest.mark.parametrize("relative_offset", [0.0, 1000.0])
def test_exact_when_collapsed_and_far_from_the_origin(key, spread, relative_offset):
    data, labels, weight, bias = problem(spread=spread, offset=relative_offset * spread, seed=3)
    doubles = data.astype(np.float64)
    expected = formulas.metrics(doubles, labels, weight, bias, 5)[key]
    found = measured(data, labels, weight, bias).scalars[key]
    assert found == pytest.approx(expected, rel=1e-5)
    if key == "nc1" and spread == 1e-5:
        assert found < 1e-8
    if key == "numerical_rank":
        # What tells the rank from one is what collapses.
        assert found - 1 == pytest.approx(expected - 1, rel=1e-4, abs=1e-12)


def test_nc1_down_to_1e_10():
    data, labels, weight, bias = problem(spread=1e-5, offset=1e-2, seed=3)
    expected = formulas.nc1(data.astype(np.float64), labels, 5)
    assert 1e-11 < expected < 1e-10
    assert measured(data, labels, weight, bias).scalars["nc1"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("spread", [1.0, 1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("features", [3, 4])
def test_vci_has_its_digits_when_collapsed(spread, features):
    data, labels, _, _ = problem(classes=4, features=features, samples=40, spread=spread, offset=1000 * spread)
    expected = formulas.vci_exactly(data, labels, 4)
    assert measured(data, labels).scalars["vci"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "shape",
    [(2, 1), (2, 7), (3, 2), (6, 9), (10, 9), (10, 64), (100, 99), (100, 128), (1000, 999), (1000, 1200)],
    ids=str,
)
def test_ideal_value_at_perfect_collapse(shape):
    classes, features = shape
    found = nc.measure(*collapsed(classes, features))
    expected = {key: METRICS[key].ideal for key in EVERYWHERE if METRICS[key].ideal and key != "loss"}
    for key, ideal in expected.items():
        if key != "top5" or classes >= 5:
            assert found.scalars[key] == pytest.approx(ideal(classes), abs=1e-12), key
    assert found.rank == classes - 1
    assert not found.flags
    # Cross-entropy at radius r is that of a logit gap r K/(K−1).
    gap = 5 * classes / (classes - 1)
    assert found.scalars["loss"] == pytest.approx(math.log1p((classes - 1) * math.exp(-gap)), rel=1e-12)


def test_ideals_of_a_long_tail_and_of_other_data():
    features_ND, labels_N, weight_KD, bias_K = collapsed(6, 9)
    keep = torch.cat([torch.arange(6), *((labels_N == c).nonzero()[:, 0].repeat(3) for c in range(3))])
    other = nc.Meter(1, 9)
    basis = torch.linalg.qr(weight_KD.mT @ torch.randn(6, 5, dtype=torch.float64)).Q
    beside = torch.eye(9, dtype=torch.float64) - basis @ basis.mT
    other.update(100 * beside, torch.zeros(9, dtype=torch.int64))
    meter = nc.Meter(6, 9)
    meter.update(features_ND[keep], labels_N[keep])
    found = meter.compute(weight_KD, bias_K, ood=other).scalars
    for key in [*LONG_TAIL, "nc5_ood", "ood_auroc_neco", "ood_auroc_logit"]:
        assert found[key] == pytest.approx(METRICS[key].ideal(6), abs=1e-12), key


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_gaussian_mixtures_have_the_values_of_their_covariances(seed):
    classes, features, each = 6, 10, 4000
    rng = np.random.default_rng(seed)
    means = 3 * rng.normal(size=(classes, features))
    factor = rng.normal(size=(features, features)) / math.sqrt(features)
    within = factor @ factor.T
    labels = np.repeat(np.arange(classes), each)
    data = means[labels] + rng.normal(size=(len(labels), features)) @ factor.T
    m = means - means.mean(axis=0)
    between = m.T @ m / classes
    distances = [np.sum((means[i] - means[j]) ** 2) for i in range(classes) for j in range(classes) if i != j]
    expected = {
        "nc1": np.trace(within @ np.linalg.pinv(between)) / classes,
        "cdnv": np.mean([np.trace(within) / distance for distance in distances]),
        "nc1_ratio": np.trace(within) / np.trace(between),
        "vci": 1 - np.trace(np.linalg.pinv(within + between) @ between) / (classes - 1),
    }
    found = measured(data, labels).scalars
    for key, value in expected.items():
        # 4,000 samples a class: a class mean is off by 1.6 % of the spread, a variance by 2.2 %, in each direction.
        assert found[key] == pytest.approx(value, rel=0.05), key


# Properties


@pytest.mark.parametrize("key", EVERYWHERE)
def test_rotation_changes_nothing_and_scale_only_what_has_units(key):
    data, labels, weight, bias = problem(seed=5)
    data = data.astype(np.float64)
    turn = np.linalg.qr(np.random.default_rng(9).normal(size=(12, 12)))[0]
    before = measured(data, labels, weight, bias).scalars[key]
    turned = measured(data @ turn, labels, weight @ turn, bias).scalars[key]
    assert turned == pytest.approx(before, rel=1e-7, abs=1e-9)
    # Features and classifier scaled against each other leave all logits.
    scaled = measured(7 * data, labels, weight / 7, bias).scalars[key]
    factor = 7 if key.startswith("feature_norm") else 1
    assert scaled == pytest.approx(factor * before, rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("key", [*EVERYWHERE, *sorted(LONG_TAIL)])
def test_names_of_classes_do_not_matter(key):
    data, labels, weight, bias = problem(classes=6, tail=0.6, seed=6)
    order = np.random.default_rng(1).permutation(6)
    place = np.argsort(order)
    before = measured(data, labels, weight, bias).scalars[key]
    after = measured(data, place[labels], weight[order], bias[order]).scalars[key]
    assert after == pytest.approx(before, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("key", ["nc1", "nc1_ratio", "cdnv", "vci", "nc2_equinorm_means", "etf_distance_means"])
def test_where_the_origin_lies_does_not_matter(key):
    data, labels, _, _ = problem(seed=7)
    data = data.astype(np.float64)
    before, after = measured(data, labels).scalars[key], measured(data + 3.0, labels).scalars[key]
    assert after == pytest.approx(before, rel=1e-9)


def test_vci_does_not_change_under_linear_maps():
    data, labels, _, _ = problem(seed=8)
    linear = np.random.default_rng(2).normal(size=(12, 12))
    before, after = (measured(x, labels).scalars["vci"] for x in (data.astype(np.float64), data @ linear))
    assert after == pytest.approx(before, rel=1e-8)


# Degenerate and bad input

DEGENERATE = {
    "empty class": (lambda d, y: (d[y != 2], y[y != 2]), "empty-class"),
    "one sample a class": (lambda d, y: (d[[list(y).index(c) for c in range(5)]], np.arange(5)), "one-sample-class"),
    "all features equal": (lambda d, y: (np.ones_like(d), y), "means-equal"),
    "all features zero": (lambda d, y: (np.zeros_like(d), y), "means-equal"),
    "all class means equal": (lambda d, y: (np.concatenate([d, -d]), np.concatenate([y, y])), "means-equal"),
    "two class means equal": (
        lambda d, y: (np.concatenate([d, d[y == 0]]), np.concatenate([np.where(y == 1, 2, y), 0 * y[y == 0] + 1])),
        "means-coincide",
    ),
    "one class only": (lambda d, y: (d[y == 1], y[y == 1]), "means-equal"),
    "no samples": (lambda d, y: (d[:0], y[:0]), "no-samples"),
    "means on a line": (
        lambda d, y: ((0.01 * d + np.linspace(0, 1, 5)[y, None] * np.ones(12)), y),
        None,
    ),
    "huge": (lambda d, y: (d.astype(np.float64) * 1e38, y), None),
    "tiny": (lambda d, y: (d.astype(np.float64) * 1e-160, y), "overflow"),
}


@pytest.mark.parametrize("case", list(DEGENERATE))
@pytest.mark.parametrize("with_classifier", [True, False])
def test_degenerate_input_has_a_value_or_none_and_a_flag(case, with_classifier):
    change, flag = DEGENERATE[case]
    data, labels, weight, bias = problem()
    classifier = (weight, bias) if with_classifier else ()
    found = measured(*change(data, labels), *classifier, classes=5)
    assert flag in found.flags if flag else not found.flags
    assert all(math.isfinite(value) for value in found.scalars.values())
    assert all(math.isfinite(value) for value in found.errors.values())
    of_means = {"nc1", "nc2_equiangular_means", "cdnv"}
    are_undefined = bool(found.flags & {"means-equal", "no-samples"})
    assert of_means & set(found.scalars) == (set() if are_undefined else of_means)


@pytest.mark.filterwarnings("error")
def test_equal_classifier_rows_have_no_angles_and_a_flag():
    data, labels, weight, bias = problem()
    found = measured(data, labels, np.ones_like(weight), bias)
    assert "weights-equal" in found.flags
    assert {"nc1", "loss", "top1"} <= set(found.scalars)
    assert not {"nc2_equiangular_weights", "nc3_cosine", "cosine_margin"} & set(found.scalars)


def test_what_does_not_fit_into_a_float64_is_absent_and_said(monkeypatch):
    data, labels, weight, bias = problem()
    broken = dataclasses.replace(METRICS["nc1"], computation=FromStatistics(lambda _: math.inf))
    monkeypatch.setattr("ncengine.measurement.meter.METRICS", {**METRICS, "nc1": broken})
    found = measured(data, labels, weight, bias)
    assert "nc1" not in found.scalars
    assert "overflow" in found.flags


def test_two_classes_and_fewer_features_than_rank():
    data, labels, weight, bias = problem(classes=2, features=3)
    found = measured(data, labels, weight, bias)
    assert found.scalars["nc2_equiangular_means"] == pytest.approx(0, abs=1e-12)
    assert "top5" not in found.scalars
    data, labels, weight, bias = problem(classes=8, features=3)
    found = measured(data, labels, weight, bias)
    assert "features-below-rank" in found.flags
    assert found.rank == 3


def test_a_smaller_rank_than_there_could_be_is_said():
    data, labels, weight, bias = problem()
    data[:, 2:] *= 0
    found = measured(data, labels, weight, bias)
    assert found.rank == 2
    assert "rank-deficient" in found.flags


def test_metrics_of_a_classifier_are_absent_without_one():
    data, labels, _, _ = problem()
    found = measured(data, labels).scalars
    assert {"nc1", "ncc_accuracy"} <= set(found)
    assert not {"loss", "nc3", "cosine_margin", "nc2_etf_weights", "nc4_ncc_mismatch"} & set(found)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda d, y: (d, y + 1), r"0 … 4, got 5"),
        (lambda d, y: (d, y - 1), r"0 … 4, got -1"),
        (lambda d, y: (d[:, :3], y), r"\(N, 12\), got \(400, 3\)"),
        (lambda d, y: (d, y[:-1]), r"labels must be \(400,\), got \(399,\)"),
        (lambda d, y: (d, y.astype(np.float64)), r"labels must be integers, got torch.float64"),
        (lambda d, y: (d.astype(np.int64), y), r"features must be floating point, got torch.int64"),
        (lambda d, y: (d * np.float32("nan"), y), "finite and within .*, got NaN, infinity or more"),
        (lambda d, y: (d.astype(np.float64) * 1e200, y), r"within ±3.4e\+38"),
        (
            lambda d, y: (np.where(np.arange(12) == 3, np.inf, d).astype(np.float32), y),
            "finite and within .*, got NaN, infinity or more",
        ),
    ],
)
def test_bad_input_says_what_was_expected(spoil, message):
    data, labels, _, _ = problem()
    spoiled_data, spoiled_labels = spoil(data, labels)
    meter = nc.Meter(5, 12)
    with pytest.raises(ValueError, match=message):
        meter.update(torch.tensor(spoiled_data), torch.tensor(spoiled_labels))
    # What was refused left nothing behind.
    assert "no-samples" in meter.compute().flags


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight_KD": torch.zeros(4, 12)}, r"weight must be \(5, 12\), got \(4, 12\)"),
        ({"bias_K": torch.zeros(4)}, r"bias must be \(5,\), got \(4,\)"),
        ({"weight_KD": torch.full((5, 12), float("nan"))}, "weight must be finite"),
        ({"frame_DR": torch.zeros(4, 12)}, r"frame must be \(12, R\), got \(4, 12\)"),
        ({"training": nc.Meter(4, 12)}, r"\(5, 12\), got \(4, 12\)"),
        ({"ood": nc.Meter(1, 3)}, "must have 12 features, got 3"),
    ],
)
def test_a_classifier_that_does_not_fit_is_refused(arguments, message):
    data, labels, _, _ = problem()
    with pytest.raises(ValueError, match=message):
        fed(data, labels, 5).compute(**arguments)


# What a metric says about itself


def test_the_catalogue_explains_every_metric():
    for spec in nc.catalogue():
        assert METRICS[spec.key] is spec
        assert spec.reading.endswith(".")
        assert spec.source
        assert spec.formula
        assert spec.label
    assert len({spec.label for spec in nc.catalogue()}) == len(METRICS)


def test_only_the_documented_metrics_exist_beside_those_of_the_method():
    described = {
        *("nc1", "cdnv", "nc1_ratio", "vci", "numerical_rank", "frame_drift", "nc3", "nc3_distance", "nc3_cosine"),
        *("nc3_uniform", "nc4_ncc_mismatch", "nc4_bias", "cosine_margin", "wh_equinorm_gap", "feature_norm_mean"),
        *("feature_norm_std", "nc5_ood", "loss", "top1", "top5"),
        *(
            f"{name}_{which}"
            for name in ("nc2_equinorm", "nc2_equiangular", "nc2_angle_std", "nc2_etf", "gnc2", "etf_distance")
            for which in ("means", "weights")
        ),
    }
    assert described <= set(METRICS)


@settings(max_examples=40, deadline=None)
@given(
    classes=st.integers(2, 9),
    features=st.integers(1, 9),
    seed=st.integers(0, 1000),
    spread=st.sampled_from([0.0, 1e-6, 1e-2, 1.0, 1e3]),
    offset=st.sampled_from([0.0, 1.0, 1e4]),
)
def test_values_stay_in_their_range_whatever_the_shape(classes, features, seed, spread, offset):
    data, labels, weight, bias = problem(classes, features, 60, spread, offset, seed, tail=0.7)
    found = measured(data, labels, weight, bias)
    for key, value in found.scalars.items():
        assert math.isfinite(value), key
        spec = METRICS[key]
        assert not spec.share or 0 <= value <= 1, key
        if spec.family in {"NC1", "NC3"}:
            assert value >= (-1 if key == "nc3_cosine" else 0), key
    assert found.scalars.get("vci", 0.5) <= 1 + 1e-12
    assert 1 - 1e-9 <= found.scalars.get("numerical_rank", 1.0) <= min(60, features) + 1e-9
    assert found.scalars.get("etf_distance_means", 0.0) <= 2
