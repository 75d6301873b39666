"""A meter: any split and order gives the same, samples are thinned fairly, processes add up, views are bounded."""

import itertools
import multiprocessing
import socket

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ncengine as nc
from ncengine.metrics import METRICS
from tests.ncengine.test_metrics import fed, measured, problem
from tests.reference import formulas


def classifier(weight, bias):
    return torch.tensor(weight), torch.tensor(bias)


def same(found, expected, rel=1e-9):
    assert set(found.scalars) == set(expected.scalars)
    for key, value in expected.scalars.items():
        assert found.scalars[key] == pytest.approx(value, rel=rel, abs=1e-12), key


@settings(max_examples=25, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 400), max_size=6),
    seed=st.integers(0, 100),
    spread=st.sampled_from([1e-5, 0.3]),
    offset=st.sampled_from([0.0, 1000.0]),
)
def test_any_split_and_order_of_batches_gives_the_same(cuts, seed, spread, offset):
    data, labels, weight, bias = problem(seed=seed, spread=spread, offset=offset * spread)
    whole = measured(data, labels, weight, bias)
    order = np.random.default_rng(seed).permutation(400)
    total = nc.Meter(5, 12)
    for low, high in reversed(list(itertools.pairwise([0, *sorted(cuts), 400]))):
        part = order[low:high]
        total.merge(fed(data[part], labels[part], 5))
    # Class means of collapsed features 1000 spreads away keep 11 digits of what tells them from each other.
    same(total.compute(*classifier(weight, bias)), whole)


@pytest.mark.parametrize("batch", [1, 7, 400])
def test_batches_of_any_size_give_the_same(batch):
    data, labels, weight, bias = problem()
    meter = nc.Meter(5, 12)
    for start in range(0, 400, batch):
        meter.update(torch.tensor(data[start : start + batch]), torch.tensor(labels[start : start + batch]))
    same(meter.compute(*classifier(weight, bias)), measured(data, labels, weight, bias))


def test_large_batches_are_taken_in_parts(monkeypatch):
    data, labels, weight, bias = problem()
    whole = measured(data, labels, weight, bias)
    monkeypatch.setattr("ncengine.metrics.moments.CHUNK_BYTES", 50 * 12 * 8)
    monkeypatch.setattr("ncengine.metrics.samples.BATCH_BYTES", 30 * 12 * 8)
    monkeypatch.setattr("ncengine.metrics.pairs.TILE_BYTES", 2 * 5 * 8)
    monkeypatch.setattr("ncengine.metrics.spectra.CHUNK_BYTES", 100 * 12 * 8)
    same(measured(data, labels, weight, bias), whole)


def test_computing_leaves_the_state_alone_and_reset_forgets_it():
    data, labels, weight, bias = problem()
    meter = fed(data[:200], labels[:200], 5)
    meter.compute(*classifier(weight, bias))
    meter.update(torch.tensor(data[200:]), torch.tensor(labels[200:]))
    same(meter.compute(*classifier(weight, bias)), measured(data, labels, weight, bias))
    meter.reset()
    assert meter.compute().flags >= {"no-samples"}
    meter.update(torch.tensor(data), torch.tensor(labels))
    same(meter.compute(*classifier(weight, bias)), measured(data, labels, weight, bias))


def test_a_measurement_stays_as_it_was():
    data, labels, _, _ = problem()
    meter = fed(data[:200], labels[:200], 5)
    found = meter.compute()
    expected = fed(data[:200], labels[:200], 5).compute().arrays["means"]
    meter.update(torch.tensor(data[200:]), torch.tensor(labels[200:]))
    meter.merge(meter)
    np.testing.assert_array_equal(found.arrays["means"], expected)


def test_only_the_metrics_that_are_wanted():
    data, labels, weight, bias = problem()
    meter, whole = fed(data, labels, 5), measured(data, labels, weight, bias)
    some = meter.compute(*classifier(weight, bias), keys=["nc3", "nc1", "cdnv"])
    assert some.scalars == {key: whole.scalars[key] for key in ("nc1", "cdnv", "nc3")}
    assert "margins" not in some.arrays
    both = meter.compute(*classifier(weight, bias), keys=["nc1", "top1", "numerical_rank"])
    assert both.scalars == {key: whole.scalars[key] for key in ("top1", "nc1", "numerical_rank")}
    with pytest.raises(ValueError, match="keys must be metrics, 'nc9' is none; there are loss, top1"):
        meter.compute(keys=["nc1", "nc9"])


def test_what_the_caller_does_with_a_batch_afterwards_does_not_matter():
    data, labels, weight, bias = problem()
    features_BD, labels_B = torch.tensor(data), torch.tensor(labels)
    meter = nc.Meter(5, 12)
    meter.update(features_BD, labels_B)
    features_BD.zero_()
    labels_B.zero_()
    same(meter.compute(*classifier(weight, bias)), measured(data, labels, weight, bias))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_takes_any_floating_dtype_and_gradients(dtype):
    data, labels, weight, bias = problem()
    features_BD = torch.tensor(data).to(dtype).requires_grad_()
    meter = nc.Meter(5, 12)
    meter.update(features_BD, torch.tensor(labels, dtype=torch.int32))
    same(
        meter.compute(*classifier(weight, bias)),
        measured(features_BD.detach().double().numpy(), labels, weight, bias),
    )


# The samples of the second pass


@pytest.mark.parametrize("order", ["shuffled", "sorted", "alternating"])
def test_beyond_its_budget_a_meter_keeps_every_class_s_share_and_says_so(order):
    data, labels, weight, bias = problem(samples=4000, spread=1.5)
    place = {
        "shuffled": np.arange(4000),
        "sorted": np.argsort(labels, kind="stable"),
        "alternating": np.argsort(np.arange(4000) % 2 * 10 + labels % 2, kind="stable"),
    }[order]
    data, labels = data[place], labels[place]
    meter = nc.Meter(5, 12, keep_bytes=900 * 12 * 4)
    for start in range(0, 4000, 130):
        meter.update(torch.tensor(data[start : start + 130]), torch.tensor(labels[start : start + 130]))
    found = meter.compute(*classifier(weight, bias))
    whole = measured(data, labels, weight, bias)
    assert "sampled" in found.flags
    assert found.of == 4000
    assert 450 <= found.samples <= 900
    kept = torch.bincount(meter._buffer.concatenated()[1], minlength=5).numpy()
    assert np.abs(kept / kept.sum() - np.bincount(labels) / 4000).max() < 0.003
    for key, spec in METRICS.items():
        if key not in whole.scalars:
            continue
        if spec.exact:
            assert found.scalars[key] == pytest.approx(whole.scalars[key], rel=1e-9), key
        elif whole.scalars[key] not in (0.0, 1.0):
            # Five standard errors, as the measurement states them.
            assert abs(found.scalars[key] - whole.scalars[key]) <= 5 * found.errors[key] + 1e-12, key
    assert set(whole.errors) <= {"numerical_rank"}


def test_merged_meters_keep_both_sides_alike():
    data, labels, _, _ = problem(samples=4000)
    first, second = (nc.Meter(5, 12, keep_bytes=600 * 12 * 4) for _ in range(2))
    first.update(torch.tensor(data[:3600]), torch.tensor(labels[:3600]))
    second.update(torch.tensor(data[3600:]), torch.tensor(labels[3600:]))
    before = len(second._buffer.concatenated()[1])
    first.merge(second)
    kept = first._buffer.concatenated()[0].numpy()
    late = sum(bool((data[3600:] == row).all(axis=1).any()) for row in kept)
    assert len(kept) <= 600
    assert late / len(kept) == pytest.approx(0.1, abs=0.02)
    assert len(second._buffer.concatenated()[1]) == before


def test_at_least_one_sample_of_each_class_stays():
    meter = nc.Meter(50, 4, keep_bytes=1)
    labels = torch.arange(50).repeat(20)
    meter.update(torch.randn(1000, 4), labels)
    assert torch.bincount(meter._buffer.concatenated()[1], minlength=50).tolist() == [1] * 50


def test_numerical_rank_says_when_it_is_of_some_samples():
    rng = np.random.default_rng(0)
    data, labels = rng.normal(size=(3000, 6)).astype(np.float32) + 2, rng.integers(0, 2, 3000)
    found = measured(data, labels)
    expected = formulas.numerical_rank(data.astype(np.float64), labels, 2)
    assert "numerical-rank-sampled" in found.flags
    assert found.scalars["numerical_rank"] == pytest.approx(expected, rel=0.05)
    assert 0 < found.errors["numerical_rank"] < 0.2
    assert found.sizes["numerical_rank"] == 512 < found.sizes["ncc_accuracy"] == found.of


def test_test_samples_are_classified_by_the_training_means():
    data, labels, weight, bias = problem()
    split = fed(data, labels, 5)
    far = fed(data, (labels + 1) % 5, 5)
    own = split.compute(*classifier(weight, bias)).scalars
    other = split.compute(*classifier(weight, bias), training=far).scalars
    assert other["ncc_accuracy"] < 0.2 < own["ncc_accuracy"]
    assert other["nc4_ncc_mismatch"] != own["nc4_ncc_mismatch"]
    # What does not compare samples with means is the split's own.
    assert other["nc1"] == own["nc1"]


# Views


def test_arrays_are_what_their_names_say():
    data, labels, weight, bias = problem()
    frame = torch.linalg.qr(torch.randn(12, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).Q
    found = measured(data, labels, weight, bias, frame_DR=frame).arrays
    doubles = data.astype(np.float64)
    m, w = formulas.centred(doubles, labels, 5), weight - weight.mean(axis=0)
    within = formulas.within_covariance(doubles, labels, 5)
    between = formulas.between_covariance(doubles, labels, 5)
    logits = doubles @ weight.T + bias
    confusion = np.zeros((5, 5), int)
    np.add.at(confusion, (labels, logits.argmax(1)), 1)
    units = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (m, w)]
    expected = {
        "means": formulas.class_means(doubles, labels, 5).T,
        "global_mean": formulas.class_means(doubles, labels, 5).mean(axis=0),
        "counts": np.bincount(labels),
        "weight": weight,
        "bias": bias,
        "within_variance": formulas.class_variances(doubles, labels, 5),
        "spectrum_within": np.linalg.eigvalsh(within)[::-1],
        "spectrum_between": np.linalg.eigvalsh(between)[::-1][:4],
        "cosines_means": units[0] @ units[0].T,
        "cosines_weights": units[1] @ units[1].T,
        "cosines_between": units[1] @ units[0].T,
        "angles_between": np.degrees(np.arccos(units[1] @ units[0].T)),
        "confusion": confusion,
        "accuracy": np.diag(confusion) / np.bincount(labels),
        "coordinates_means": m @ frame.numpy(),
        "coordinates_weights": w @ frame.numpy(),
    }
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-6, atol=1e-9, err_msg=name)
    blocks = {f"block_cosines_{name}" for name in ("means", "weights", "between")}
    assert set(found) == {*expected, *blocks, "margins", "angles_means", "angles_weights"}
    assert len(found["margins"]) == 400
    assert (np.diff(found["margins"]) >= 0).all()
    assert found["margins"].mean() == pytest.approx(measured(data, labels, weight, bias).scalars["cosine_margin"], 1e-6)


@pytest.mark.parametrize("classes", [5, 150])
def test_the_summary_of_pairs_agrees_with_the_whole_matrix(classes, monkeypatch):
    monkeypatch.setattr("ncengine.metrics.pairs.TILE_BYTES", 8 * classes * 40)
    data, labels, weight, bias = problem(classes, 12, 20 * classes)
    found = measured(data, labels, weight, bias)
    cosines = found.arrays["cosines_means"]
    off = cosines[~np.eye(classes, dtype=bool)]
    summary = found.pairs("means", worst=4)
    for share, value in summary.quantiles.items():
        assert value == pytest.approx(np.quantile(off, share, method="inverted_cdf"), abs=summary.quantile_error + 1e-9)
    assert (summary.quantiles[0.0], summary.quantiles[1.0]) == pytest.approx((off.min(), off.max()), abs=1e-12)
    above = np.argwhere(np.triu(np.ones_like(cosines), 1))
    ranked = sorted(((cosines[i, j], i, j) for i, j in above), reverse=True)[:4]
    assert [(i, j) for i, j, _ in summary.worst] == [(i, j) for _, i, j in ranked]
    block = np.arange(classes) // summary.block
    assert len(summary.block_means) <= 64
    mask = (block == 0)[:, None] & (block == block[-1]) & ~np.eye(classes, dtype=bool)
    assert summary.block_means[0, -1] == pytest.approx(cosines[mask].mean(), abs=1e-12)
    with pytest.raises(ValueError, match="no cosines of weights"):
        measured(data, labels).pairs("weights")


# Several processes


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _measure_in_a_group(rank, world, port, shares, weight, bias, found):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    data, labels = shares[rank]
    train = nc.Meter(5, 12, keep_bytes=100 * 12 * 4 if world == 3 else 2**28)
    for start in range(0, len(labels), 64):
        train.update(torch.tensor(data[start : start + 64]), torch.tensor(labels[start : start + 64]))
    both = train.compute(torch.tensor(weight), torch.tensor(bias))
    alone = train.compute(torch.tensor(weight), torch.tensor(bias), sync=False)
    found.put((rank, both.scalars, both.samples, both.of, alone.of, both.arrays["confusion"].tolist()))
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("world", [2, 3])
def test_processes_measure_what_one_would(world):
    data, labels, weight, bias = problem(samples=600, spread=1e-3, offset=1.0)
    # One of three has seen nothing.
    cuts = [0, 170, 600] if world == 2 else [0, 0, 430, 600]
    shares = [(data[a:b], labels[a:b]) for a, b in itertools.pairwise(cuts)]
    context = multiprocessing.get_context("spawn")
    found = context.Queue()
    port = _free_port()
    processes = [
        context.Process(target=_measure_in_a_group, args=(rank, world, port, shares, weight, bias, found))
        for rank in range(world)
    ]
    for process in processes:
        process.start()
    results = sorted(found.get(timeout=120) for _ in processes)
    for process in processes:
        process.join(timeout=60)
        assert process.exitcode == 0
    whole = measured(data, labels, weight, bias)
    for rank, scalars, samples, of, alone, confusion in results:
        assert (of, alone) == (600, len(shares[rank][1]))
        assert confusion == results[0][5]
        for key, value in whole.scalars.items():
            if METRICS[key].exact or world == 2:
                assert scalars[key] == pytest.approx(value, rel=1e-9, abs=1e-12), key
        if world == 2:
            assert samples == 600
            assert confusion == whole.arrays["confusion"].tolist()
        else:
            assert samples <= 100
