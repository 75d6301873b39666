"""Over HTTP: the catalogue, other views of a capture, milestones, kept features as .npz, margins as figures."""

import csv
import io

import numpy as np
import pytest
import torch

import ncengine as nc
from backend.api import wire
from backend.store.archive.zip_stream import stream_npz
from ncengine.metrics import METRICS
from tests.harness import tiny, wait_for


def run_of(http, config, seconds=90):
    answer = http.post("/api/v1/runs", json={"config": config.model_dump(mode="json")})
    assert answer.status_code == 201, answer.text
    run_id = answer.json()["id"]
    ended = ("finished", "failed")
    wait_for(lambda: http.get(f"/api/v1/runs/{run_id}").json()["status"] in ended, seconds, "the end of the run")
    run = http.get(f"/api/v1/runs/{run_id}").json()
    assert run["status"] == "finished", run["error"]
    return run_id


@pytest.fixture(scope="module")
def kept(quiet_server):
    """A finished run that kept all features and was told apart from other data."""
    settings = {"keep_features": "all", "outside": "fashion-mnist-mini", "first_epoch_captures": 1}
    with quiet_server.client() as http:
        return run_of(http, tiny(measure=settings))


def test_the_catalogue_is_the_engine_s(quiet_server):
    with quiet_server.client() as http:
        items = http.get("/api/v1/metrics", params={"classes": 5}).json()["items"]
        assert [item["key"] for item in items] == list(METRICS)
        margin = next(item for item in items if item["key"] == "cosine_margin")
        assert margin["ideal"] == 1.25
        assert margin["formula"] == METRICS["cosine_margin"].formula
        assert (margin["exact"], margin["family"]) == (False, "Margin")
        assert http.get("/api/v1/metrics", params={"classes": 1}).status_code == 422


def test_the_size_of_kept_features_is_said_before_launch(quiet_server, kept):
    with quiet_server.client() as http:
        config = http.get(f"/api/v1/runs/{kept}").json()["config"]
        facts = http.post("/api/v1/config/check", json=config).json()["facts"]
        items = http.get(f"/api/v1/runs/{kept}/events", params={"limit": 2000}).json()["items"]
    events = [item for item in items if item["type"] == "FeaturesKept"]
    assert facts["kept_captures"] == len(events) == 3
    assert {event["size_bytes"] for event in events} == {facts["kept_bytes_each"]}


def test_kept_features_are_what_was_measured(quiet_server, kept):
    with quiet_server.client() as http:
        answer = http.get(f"/api/v1/runs/{kept}/features.npz", params={"epoch": 2})
        series = http.get(f"/api/v1/runs/{kept}/metrics", params={"keys": "nc1,nc2_etf_means"}).json()
    assert answer.headers["content-disposition"].endswith('-features-epoch-2.npz"')
    with np.load(io.BytesIO(answer.content), allow_pickle=False) as found:
        arrays = dict(found)
    assert arrays["features_train"].shape == (1442, 16)
    assert arrays["features_test"].shape == (355, 16)
    for split in ("train", "test"):
        given = torch.tensor(arrays[f"features_{split}"]), torch.tensor(arrays[f"labels_{split}"])
        scalars = nc.measure(*given, classes=10).scalars
        for key in ("nc1", "nc2_etf_means"):
            assert scalars[key] == pytest.approx(series["values"][split][key][1], rel=1e-9)


def test_pictures_of_samples_travel_as_bytes(quiet_server, kept):
    with quiet_server.client() as http:
        answer = http.get(f"/api/v1/runs/{kept}/samples")
        held = wire.SampleImages.model_validate_json(answer.content)
        capture = wire.GeometryWire.model_validate_json(http.get(f"/api/v1/runs/{kept}/geometry").content)
        images, predictions = wire.from_typed(held.images), wire.from_typed(capture.arrays["predictions"])
        assert (held.height, held.width, held.channels, held.true_labels) == (8, 8, 1, None)
        assert (images.dtype, images.shape) == (np.uint8, (len(predictions), 64))
        assert images.max() > 200
        again = http.get(f"/api/v1/runs/{kept}/samples", headers={"if-none-match": answer.headers["etag"]})
        assert again.status_code == 304
        assert [f["kind"] for f in http.get(f"/api/v1/runs/{kept}/artifacts").json()["items"]].count("samples") == 1
        assert "SamplesPictured" in http.get(f"/api/v1/runs/{kept}/overview").json()["newest"]
        free = nc.presets["ufm-10"]().model_copy(update={"epochs": 1})
        refused = http.get(f"/api/v1/runs/{run_of(http, free)}/samples")
        assert refused.status_code == 404
        assert "is not of images" in refused.json()["detail"]


def test_features_that_are_not_there_are_explained(quiet_server, kept):
    with quiet_server.client() as http:
        none = run_of(http, tiny(epochs=1))
        missing = http.get(f"/api/v1/runs/{none}/features.npz")
        early = http.get(f"/api/v1/runs/{kept}/features.npz", params={"epoch": 0})
    assert missing.status_code == early.status_code == 404
    assert "measure.keep_features is sample or all" in missing.json()["detail"]
    assert "the first is at epoch 1" in early.json()["detail"]


def test_changed_features_are_not_handed_out(quiet_server, kept):
    with quiet_server.client() as http:
        step = http.get(f"/api/v1/runs/{kept}/events", params={"limit": 2000}).json()["items"]
        last = next(item for item in step if item["type"] == "FeaturesKept")["step"]
        path = next((quiet_server.data / "runs" / kept).glob(f"features-{last:09d}-*"))
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        answer = http.get(f"/api/v1/runs/{kept}/features.npz", params={"epoch": 1})
        path.write_bytes(content)
    assert answer.status_code == 503
    assert "damaged or missing" in answer.json()["detail"]


def test_arrays_are_sent_in_parts_that_make_a_whole(monkeypatch):
    monkeypatch.setattr("backend.store.archive.zip_stream.CHUNK_BYTES", 1000)
    arrays = {"a": np.arange(3000, dtype=np.float32).reshape(30, 100), "b": np.arange(7), "empty": np.zeros((0, 4))}
    parts = list(stream_npz(arrays))
    assert max(len(part) for part in parts) < 2000
    with np.load(io.BytesIO(b"".join(parts)), allow_pickle=False) as found:
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)


def test_a_capture_is_seen_along_principal_directions_and_as_a_tetrahedron(quiet_server, kept):
    address = f"/api/v1/runs/{kept}/geometry"
    with quiet_server.client() as http:
        own = wire.GeometryWire.model_validate(http.get(address).json())
        pca = wire.GeometryWire.model_validate(http.get(address, params={"view": "pca"}).json())
        four = http.get(address, params={"view": "tetrahedron", "classes": "1,4,7,9"}).json()
        wrong = http.get(address, params={"view": "tetrahedron", "classes": "1,4,7"})
        unknown = http.get(address, params={"view": "sideways"})
        more = http.get(address, params={"arrays": "confusion,spectrum_between"}).json()["arrays"]
        no_array = http.get(address, params={"arrays": "cats"})
    assert own.view == "spherical"
    matrix = np.array(pca.view_matrix)
    np.testing.assert_allclose(matrix.T @ matrix, 3 * np.eye(3), atol=1e-5)
    # Along principal directions the class means spread at least as far as in the run's own view.
    spreads = [np.square(wire.from_typed(g.arrays["means"]) @ np.array(g.view_matrix)).sum() for g in (own, pca)]
    assert spreads[1] >= spreads[0] * 0.99
    seen = np.array(four["vertices"]) @ np.array(four["view_matrix"])
    np.testing.assert_allclose(np.linalg.norm(seen[[1, 4, 7, 9]], axis=1), 1, atol=1e-5)
    assert "4 different ones of 0 … 9, got [1, 4, 7]" in wrong.json()["detail"]
    assert "one of pca, tetrahedron, got 'sideways'" in unknown.json()["detail"]
    assert wrong.status_code == unknown.status_code == 422
    assert wire.from_typed(wire.TypedArray.model_validate(more["confusion"])).sum() == 1442
    assert more["spectrum_between"]["shape"] == "9"
    assert no_array.status_code == 404
    assert "it has" in no_array.json()["detail"]


def test_a_hundred_and_fifty_classes_are_seen_in_other_views(quiet_server):
    config = tiny(
        data={"name": "synthetic", "class_count": 150, "per_class": 4, "dimension": 160},
        backbone={"name": "mlp", "features": 160, "width": 32, "depth": 1},
        epochs=1,
        measure={"first_epoch_captures": 0, "features": 200},
    )
    with quiet_server.client() as http:
        run_id = run_of(http, config)
        address = f"/api/v1/runs/{run_id}/geometry"
        pca = wire.GeometryWire.model_validate(http.get(address, params={"view": "pca"}).json())
        query = {"view": "tetrahedron", "classes": "0,50,100,149"}
        four = wire.GeometryWire.model_validate(http.get(address, params=query).json())
        facts = pca.facts
    for found in (pca, four):
        assert np.shape(found.vertices) == (150, 3)
        assert wire.from_typed(found.arrays["means"]).shape == (150, 3)
    assert len(wire.from_typed(pca.arrays["features"])) == 150
    np.testing.assert_allclose(np.linalg.norm(np.array(four.vertices)[[0, 50, 100, 149]], axis=1), 1, atol=1e-5)
    # What stays bounded of 22,350 cosines: quantiles, and the closest pairs by number.
    assert len(facts["closest"]) == 16
    assert facts["cosine_quantiles"]["0"] < facts["cosine_quantiles"]["0.5"] < facts["cosine_quantiles"]["1"]


def test_other_data_of_one_s_own_lies_under_an_allowed_folder(quiet_server):
    measure = {"outside": "arrays", "outside_path": "/etc/passwd"}
    config = tiny().model_dump(mode="json")
    config["measure"] |= measure
    with quiet_server.client() as http:
        refused = http.post("/api/v1/runs", json={"config": config})
        checked = http.post("/api/v1/config/check", json=config).json()
    assert refused.status_code == 422
    assert "under a folder that the operator allows" in refused.json()["detail"]
    assert [error["path"] for error in checked["errors"]] == ["measure.outside_path"]


def test_milestones(quiet_server, kept):
    address = f"/api/v1/runs/{kept}/milestones"
    with quiet_server.client() as http:
        series = http.get(f"/api/v1/runs/{kept}/metrics", params={"keys": "nc1,top1"}).json()["values"]["train"]
        reached = http.get(address, params={"threshold": series["nc1"][1]}).json()
        never = http.get(address, params={"threshold": 0.0}).json()
        accuracy = http.get(address, params={"key": "top1", "threshold": min(series["top1"])}).json()
        unknown = http.get(address, params={"key": "nc9", "threshold": 1})
    assert series["nc1"] == sorted(series["nc1"], reverse=True)
    assert (reached["time_to_collapse"], reached["direction"]) == (2, "low")
    assert never["time_to_collapse"] is None
    assert (accuracy["time_to_collapse"], accuracy["direction"]) == (1, "high")
    assert unknown.status_code == 422
    assert unknown.json()["detail"].startswith("there is no metric ")


@pytest.mark.parametrize("format_", ["pdf", "svg", "png", "csv"])
def test_margins_are_a_figure(quiet_server, kept, format_):
    with quiet_server.client() as http:
        answer = http.get(f"/api/v1/runs/{kept}/figures/margins.{format_}")
        series = http.get(f"/api/v1/runs/{kept}/metrics", params={"keys": "cosine_margin"}).json()["values"]
    assert answer.status_code == 200, answer.text
    if format_ == "csv":
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        for split, count in (("train", 1442), ("test", 355)):
            margins = [float(row[split]) for row in rows if row[split]]
            assert len(margins) == count
            assert margins == sorted(margins)
            assert np.mean(margins) == pytest.approx(series[split]["cosine_margin"][-1], abs=1e-5)
