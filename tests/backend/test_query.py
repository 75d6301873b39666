"""The filter language, sorting and pages, on both databases; and long curves from folded rows."""

from __future__ import annotations

import math
import random

import pytest

from backend.api import run_groups, views, wire
from backend.store import curves, event_log, query, run_attempts, runs
from backend.store.errors import Invalid
from backend.store.event_log import NewEvent
from backend.store.runs import RunDraft
from tests.conftest import BOTH
from tests.harness import tiny

HEADS = ("nearest-etf", "fixed-etf", "linear")


@pytest.fixture
def filled(store):
    """Twelve runs with numbers; the last two have none, or NaN."""
    ids = []
    for i in range(12):
        config = tiny(seed=i, head={"name": HEADS[i % 3]}, optimiser={"name": "sgd", "lr": 0.1 * (1 + i % 2)})
        (run_id,), _ = runs.create_many(
            store, [RunDraft(config, name=f"run {i} α_x%", tags=["even" if i % 2 == 0 else "odd"], group=f"g{i // 6}")]
        )
        nc1 = float("nan") if i == 10 else i / 100
        summary = {} if i == 11 else {"train": {"nc1": nc1, "vci": 2.0 * i}, "test": {"nc1": 1.0 + i, "top1": 0.5}}
        number = run_attempts.claim_run(store, run_id, "cpu")
        measured = {"epoch": i, "scalars": summary}
        event_log.append(
            store,
            run_id,
            number,
            [NewEvent("EpochMeasured", measured)],
            {"epoch": i, "summary": summary, "headline": runs.extract_headline(summary)},
        )
        run_attempts.end_attempt(store, run_id, number, NewEvent("RunFinished" if i < 8 else "RunFailed", {}))
        ids.append(run_id)
    return ids


@BOTH
def test_filters_mean_what_they_say(store, filled):
    means = lambda q: sorted(filled.index(run_id) for run_id in query.list_matching_ids(store, q, 100))
    assert means("head:nearest-etf") == [0, 3, 6, 9]
    assert means("head:nearest-etf dataset:digits nc1<0.05") == [0, 3]
    assert means("nc1<0.05") == [0, 1, 2, 3, 4]
    assert means("nc1>=0.05") == [5, 6, 7, 8, 9], "neither NaN nor nothing is a number"
    assert means("test.nc1<=3") == [0, 1, 2]
    assert means("vci>15") == [8, 9, 10]
    assert means("seed:3") == means("seed=3") == [3]
    assert means("optimiser.lr>0.15 seed<4") == [1, 3]
    assert means("optimiser.name:sgd tag:odd") == [1, 3, 5, 7, 9, 11]
    assert means("-tag:odd status:failed") == [8, 10]
    assert means("group:g1 -status:failed") == [6, 7]
    assert means("epoch>9") == [10, 11]
    assert means('name:"N 1 "') == [1]
    assert means("α_x%") == list(range(12)), "signs of patterns are letters"
    assert means("alpha") == []
    assert means("created>2020-01-01 created<2021") == []
    assert means("loss:cross-entropy") == list(range(12))
    assert means("-head:linear -head:fixed-etf") == [0, 3, 6, 9]
    assert means(f"id:{filled[4]}") == [4]
    assert means("run 7") == [7]
    for wrong, words in (
        ("nc1<low", "nc1 is compared with a number, got 'low'"),
        ("status:asleep", "status must be one of"),
        ("created>soon", "compared with a date"),
    ):
        with pytest.raises(Invalid, match=words):
            means(wrong)


@BOTH
@pytest.mark.parametrize(
    "sort",
    ["-created", "created", "name", "-nc1", "nc1", "test.nc1", "epoch", "-vci", "head", "seed", "status", "-group"],
)
def test_pages_go_through_every_run_once_in_order(store, filled, sort):
    whole = query.list_runs(store, sort=sort, limit=100)
    assert whole.total == len(whole.rows) == 12
    assert whole.next_cursor is None
    seen, cursor = [], None
    while True:
        page = query.list_runs(store, sort=sort, limit=5, cursor=cursor)
        seen += [row.id for row in page.rows]
        assert page.total == 12
        cursor = page.next_cursor
        if cursor is None:
            break
        # A run that arrives meanwhile shifts nothing that was not shown yet.
    assert seen == [row.id for row in whole.rows]
    order = [filled.index(run_id) for run_id in seen]
    if sort == "nc1":
        assert order[:10] == list(range(10))
    if sort == "-nc1":
        assert order[:10] == list(range(10))[::-1], "those without a number come last either way"
    if sort == "-created":
        assert order == list(range(12))[::-1]


def test_a_table_is_scrolled_anywhere_and_shows_only_some(store, filled):
    newest = [row.id for row in query.list_runs(store, limit=100).rows]
    page = query.list_runs(store, offset=5, limit=4)
    assert [row.id for row in page.rows] == newest[5:9]
    assert page.total == 12
    beyond = query.list_runs(store, offset=50)
    assert (beyond.rows, beyond.total) == ([], 12)
    with pytest.raises(Invalid, match="got both"):
        query.list_runs(store, offset=1, cursor="x")
    some = query.list_runs(store, only=[filled[3], filled[8], "nosuchrun0"], sort="created")
    assert ([row.id for row in some.rows], some.total) == ([filled[3], filled[8]], 2)


@BOTH
def test_runs_fold_by_what_they_have_in_common(store, filled):
    found = run_groups.group_runs(store, "head", keys=["train.nc1", "test.nc1", "train.vci"])
    assert found.total == 3
    by_head = {group.value: group for group in found.items}
    nearest = by_head["nearest-etf"]
    assert nearest.run_ids == [filled[i] for i in (9, 6, 3, 0)]
    assert nearest.status_counts == {"finished": 3, "failed": 1}
    assert nearest.shared == {
        "name": None, "group": None, "head": "nearest-etf", "data": "digits", "backbone": "mlp", "seed": None
    }  # fmt: skip
    spread = nearest.ranges["train.nc1"]
    assert (spread.median, spread.min, spread.max, spread.count) == (pytest.approx(0.045), 0.0, 0.09, 4)
    fixed = by_head["fixed-etf"]
    assert fixed.ranges["train.nc1"].count == 3, "NaN is no number"
    expected = wire.MetricRange(median=10.0, min=4.0, max=16.0, count=3)
    assert by_head["linear"].ranges["train.vci"] == expected, "a number that is not in short"
    some = run_groups.group_runs(store, "group", q="head:linear", keys=[]).items
    assert [(group.value, len(group.run_ids)) for group in some] == [("g1", 2), ("g0", 2)]
    for by in ("nc1", "test.nc1", "epoch", "nothing", ""):
        with pytest.raises(Invalid, match="`by` must be seeds or a field"):
            run_groups.group_runs(store, by)
    with pytest.raises(Invalid, match="must be metrics such as"):
        run_groups.group_runs(store, "head", keys=["nc1"])


@BOTH
def test_seeds_fold_into_one_row(store):
    for head in HEADS[:2]:
        for seed in range(3):
            runs.create_many(store, [RunDraft(tiny(seed=seed, head={"name": head}))])
    runs.create_many(store, [RunDraft(tiny(seed=0, epochs=4))])
    found = run_groups.group_runs(store, "seeds")
    assert found.total == 3
    assert sorted((len(group.run_ids), group.shared["seed"] or "") for group in found.items) == [
        (1, "0"),
        (3, ""),
        (3, ""),
    ]
    assert len(run_groups.group_runs(store, "seeds", limit=2).items) == 2


@BOTH
def test_small_curves_of_several_runs(store):
    run_id, _ = recorded(store, 30)
    (found,) = views.read_sparklines(store, [run_id, "nosuchrun0"], "nc1", "train", 10)
    assert (found.run, found.epochs[0], found.epochs[-1]) == (run_id, 1, 30)
    assert (found.values[0], found.values[-1]) == (1.0, pytest.approx(1 / 30))
    assert 8 <= len(found.values) <= 12
    (other,) = views.read_sparklines(store, [run_id], "nc9", "train", 10)
    assert (other.epochs, other.values) == ([], [])


@BOTH
def test_a_cursor_must_be_of_this_order(store, filled):
    cursor = query.list_runs(store, sort="name", limit=2).next_cursor
    with pytest.raises(Invalid, match="belongs to sort=name, got sort=-created"):
        query.list_runs(store, cursor=cursor)
    for wrong in ("x", "e30", "WzEsMl0", "bnVsbA", "W1tdLFtdLFtdXQ"):
        with pytest.raises(Invalid, match="next_cursor of the page before"):
            query.list_runs(store, cursor=wrong)
    for wrong in ("", "-", "nothing", "train", "config.data", "1"):
        with pytest.raises(Invalid, match="`sort` must be a field"):
            query.list_runs(store, sort=wrong)


# ── long curves ─────────────────────────────────────────────────────────────────────────────────────────────────────


def recorded(store, epochs, each=lambda epoch: {"train": {"nc1": 1.0 / epoch}}):
    """Store epochs as a worker does, with the rows that fold them; in attempts of random length."""
    run_id, _ = runs.create(store, tiny())
    number = run_attempts.claim_run(store, run_id, "cpu")
    rng = random.Random(4)  # noqa: S311
    epoch, series = 0, []
    while epoch < epochs:
        folder = curves.CurveAggregator.resumed(store, run_id, "epoch")
        for _ in range(rng.randint(1, 700)):
            if epoch == epochs:
                break
            entries, buckets = [], []
            for _ in range(rng.randint(1, 20)):
                if epoch == epochs:
                    break
                epoch += 1
                payload = event_log.encode_numbers({"epoch": epoch, "scalars": each(epoch)})
                series.append(payload["scalars"])
                entries.append(NewEvent("EpochMeasured", payload))
                buckets += folder.add(payload)
            event_log.append(store, run_id, number, entries, {"epoch": epoch}, buckets=buckets)
    return run_id, series


@BOTH
def test_a_long_curve_keeps_its_spikes_and_its_ends(store):
    rng = random.Random(5)  # noqa: S311
    spikes = {1234: 50.0, 2500: -50.0}
    values = [rng.random() for _ in range(5003)]
    each = lambda epoch: {"train": {"nc1": spikes.get(epoch, values[epoch - 1])}, "test": {"top1": epoch / 1e4}}
    run_id, series = recorded(store, 5003, each)
    for at_most in (10, 100, 1000):
        found = curves.read_curves(store, run_id, "epoch", at_most)
        assert found.points == 5003
        assert found.decimated
        assert 0.4 * at_most <= len(found.positions) <= 1.6 * at_most + 4
        assert found.positions == sorted(found.positions)
        assert (found.positions[0], found.positions[-1]) == (1, 5003)
        line = found.values["train"]["nc1"]
        assert (max(line), min(line)) == (50.0, -50.0), "no spike is lost"
        assert (line[0], line[-1]) == (series[0]["train"]["nc1"], series[-1]["train"]["nc1"])
        rising = found.values["test"]["top1"]
        assert rising == sorted(rising), "extremes stand in the order in which they came"
        for place, value in zip(found.positions, line, strict=True):
            if abs(value) == 50.0:
                distance = min(abs(place - spike) for spike in spikes)
                assert distance <= 2.5 * 5003 / len(found.positions) + 8
    whole = curves.read_curves(store, run_id, "epoch", 10_000)
    assert not whole.decimated
    assert whole.positions == list(range(1, 5004))
    assert whole.values["train"]["nc1"] == [scalars["train"]["nc1"] for scalars in series]


def test_what_is_no_number_is_left_out_of_extremes(store):
    each = lambda epoch: {"train": {"nc1": float("nan") if epoch % 7 else float(epoch), "nc3": math.inf}}
    run_id, _ = recorded(store, 300, each)
    found = curves.read_curves(store, run_id, "epoch", 20)
    numbers = [value for value in found.values["train"]["nc1"][1:-1] if value is not None]
    assert numbers
    assert all(value % 7 == 0 for value in numbers)
    assert found.values["train"]["nc1"][0] == "NaN", "the ends are exact"
    few = curves.read_curves(store, run_id, "epoch", 300)
    assert few.values["train"]["nc3"] == ["Infinity"] * 300
