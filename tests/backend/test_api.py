"""The API of a real server: launching, reading, refusing; and the guard around everything."""

from __future__ import annotations

import hashlib
import re
import stat
import subprocess

import httpx2
import numpy as np
import pytest

from backend.api import wire
from backend.client import ApiError, AsyncClient, Client, calls
from backend.settings import require_proxies, require_safe_host
from backend.store.errors import Unusable
from tests.harness import COLLAPSE, ServerProcess, run_async, tiny, wait_for


@pytest.fixture(scope="module")
def finished(quiet_server):
    """A run that has been launched over HTTP and is done."""
    with quiet_server.client() as http:
        answer = http.post(
            "/api/v1/runs", json={"config": tiny().model_dump(mode="json"), "name": "tiny", "tags": ["a"]}
        )
        assert answer.status_code == 201, answer.text
        run_id = answer.json()["id"]
        assert answer.headers["location"] == f"/api/v1/runs/{run_id}"
        wait_for(lambda: http.get(f"/api/v1/runs/{run_id}").json()["status"] == "finished", 90, "the end of the run")
        yield run_id


def test_a_run_is_what_the_contract_says(quiet_server, finished):
    with quiet_server.client() as http:
        run = http.get(f"/api/v1/runs/{finished}").json()
        page = http.get("/api/v1/runs", params={"q": "tiny", "status": "finished"}).json()
    assert {"id", "name", "status", "group", "tags", "config", "created_at", "last_seq", "summary", "error"} <= set(run)
    assert run["summary"]["train"]["nc1"] > 0
    assert set(run["summary"]) == {"train", "test"}
    assert set(page) == {"items", "next_cursor", "total"}
    assert [item["id"] for item in page["items"]] == [finished]


def test_events_are_numbered_without_gaps_and_paged(quiet_server, finished):
    with quiet_server.client() as http:
        events, after = [], 0
        while True:
            page = http.get(f"/api/v1/runs/{finished}/events", params={"after": after, "limit": 7}).json()
            if not page["items"]:
                break
            events += page["items"]
            after = page["next_after"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    types = [event["type"] for event in events]
    assert types[:4] == ["RunQueued", "RunStarted", "SamplesPictured", "GeometryCaptured"]
    assert types[-1] == "RunFinished"
    assert [event["epoch"] for event in events if event["type"] == "EpochMeasured"] == [1, 2, 3]
    started = events[1]
    assert started["metrics"]["cosine_margin"]["ideal"] == pytest.approx(10 / 9)
    captures = [event for event in events if event["type"] == "GeometryCaptured"]
    assert captures[0]["step"] == 0, "the first geometry is captured before step 1"
    assert sum(0 < capture["epoch"] < 1 for capture in captures) == 2


def test_geometry_is_in_the_frame_of_the_etf(quiet_server, finished):
    with quiet_server.client() as http:
        newest = wire.GeometryWire.model_validate(http.get(f"/api/v1/runs/{finished}/geometry").json())
        first = wire.GeometryWire.model_validate(
            http.get(f"/api/v1/runs/{finished}/geometry", params={"epoch": 0}).json()
        )
        later = http.get(f"/api/v1/runs/{finished}/geometry", params={"epoch": 1.9}).json()
    assert (newest.epoch, first.epoch, later["epoch"]) == (3, 0, 1)
    means = wire.from_typed(newest.arrays["means"])
    assert means.shape == (10, 9)
    assert wire.from_typed(newest.arrays["features"]).shape == (100, 9)
    # In this frame the vertices do not move, and the class means have come nearer to them than they were.
    distance = lambda geometry: abs(wire.from_typed(geometry.arrays["means"]) - geometry.vertices).mean()
    assert distance(newest) < 0.5 * distance(first)


def test_metrics_as_json_and_csv_agree(quiet_server, finished):
    with quiet_server.client() as http:
        series = http.get(f"/api/v1/runs/{finished}/metrics", params={"keys": "nc1,nc3"}).json()
        text = http.get(f"/api/v1/runs/{finished}/metrics", params={"keys": "nc1,nc3", "format": "csv"}).text
        unknown = http.get(f"/api/v1/runs/{finished}/metrics", params={"keys": "nc9"})
    lines = [line.split(",") for line in text.splitlines()]
    assert lines[0] == ["epoch", "train/nc1", "train/nc3", "test/nc1", "test/nc3"]
    assert [float(line[1]) for line in lines[1:]] == series["values"]["train"]["nc1"]
    assert unknown.status_code == 404
    assert "it has loss, top1, top5, nc1" in unknown.json()["detail"]


def test_a_key_launches_once(quiet_server):
    body = {"config": tiny(epochs=1, seed=77).model_dump(mode="json")}
    with quiet_server.client() as http:
        first = http.post("/api/v1/runs", json=body, headers={"Idempotency-Key": "once"})
        second = http.post("/api/v1/runs", json=body, headers={"Idempotency-Key": "once"})
        body["config"]["seed"] = 78
        third = http.post("/api/v1/runs", json=body, headers={"Idempotency-Key": "once"})
    assert (first.status_code, second.status_code, third.status_code) == (201, 200, 409)
    assert first.json()["id"] == second.json()["id"]


BAD_CONFIGS = {
    "unknown key": ({"epocks": 3}, "epocks", "there is no setting 'epocks'"),
    "unknown key of a part": ({"head": {"name": "linear", "delta": 1}}, "head.delta", "no setting 'head.delta'"),
    "too few features": ({"backbone": {"name": "mlp", "features": 5}}, "backbone.features", "at least 9"),
    "batch larger than the data": ({"data": {"name": "digits"}, "batch_size": 5000}, "batch_size", "at most the 1442"),
    "unknown data set": ({"data": {"name": "mnist-3d"}}, "data", "fashion-mnist-mini"),
    "impossible number": ({"optimiser": {"name": "sgd", "lr": 0}}, "optimiser.lr", "greater than 0"),
    "no such device": ({"device": "cuda:7"}, "device", "set device=auto"),
    "same class twice": ({"data": {"name": "digits", "classes": [1, 1]}}, "data.classes", "different labels"),
}


@pytest.mark.parametrize("case", list(BAD_CONFIGS))
def test_an_impossible_config_names_the_field_and_the_remedy(quiet_server, case):
    config, path, words = BAD_CONFIGS[case]
    with quiet_server.client() as http:
        before = http.get("/api/v1/runs").json()["total"]
        answer = http.post("/api/v1/runs", json={"config": config})
        checked = http.post("/api/v1/config/check", json=config).json()
        assert http.get("/api/v1/runs").json()["total"] == before, "nothing half-made stays"
    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert words in answer.json()["detail"]
    assert [error["path"] for error in answer.json()["errors"]] == [path]
    assert [error["path"] for error in checked["errors"]] == [path]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/runs/nosuchrun0", 404),
        ("GET", "/api/v1/runs/nosuchrun0/geometry", 404),
        ("GET", "/api/v1/runs/nosuchrun0/events", 404),
        ("POST", "/api/v1/runs/nosuchrun0/cancel", 404),
        ("DELETE", "/api/v1/runs/nosuchrun0", 404),
        ("GET", "/api/v1/stream?runs=nosuchrun0", 404),
        ("GET", "/api/v1/stream?runs=", 422),
        ("GET", "/api/v1/runs/..%2f..%2fetc", 404),
        ("GET", "/api/v2/anything", 404),
        ("GET", "/api/v1/runs?limit=0", 422),
        ("GET", "/api/v1/runs?status=asleep", 422),
    ],
)
def test_what_is_not_there_is_a_problem(quiet_server, method, path, status):
    with quiet_server.client() as http:
        answer = http.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.json()["status"] == status
    assert answer.json()["detail"]


def test_the_clients_are_typed_and_raise_problems(quiet_server, finished):
    async def work():
        async with AsyncClient(quiet_server.url, quiet_server.token) as client:
            run = await client(calls.run(finished))
            assert run.config == tiny()
            assert (await client(calls.change(finished, name="renamed", notes="*seen*"))).notes == "*seen*"
            await client(calls.delete(finished))
            with pytest.raises(ApiError, match="there is no run"):
                await client(calls.run(finished))
            restored = await client(calls.restore(finished))
            assert restored.summary == run.summary
            async with client.stream(calls.archive(finished)) as chunks:
                assert (await anext(chunks))[:2] == b"PK"
            with pytest.raises(ApiError, match="there is no run"):
                async with client.stream(calls.archive("nosuchrun0")):
                    pass

    run_async(work())
    with Client(quiet_server.url, quiet_server.token) as client:
        assert {"fashion-nearest", "first-light"} <= {preset.name for preset in client(calls.presets())}
        assert "nc1" in {metric.key for metric in client(calls.metrics())}
        assert client(calls.system()).slots["cpu"] == 1
        assert client(calls.me()).may_change
        assert client(calls.attempts(finished))[0].outcome == "RunFinished"
        assert {each.kind for each in client(calls.artifacts(finished))} == {"geometry", "checkpoint", "samples"}
        assert client(calls.metrics_of(finished, keys="nc1")).measured == 3
        with pytest.raises(ApiError, match="has no metric 'nc9'") as refused:
            client(calls.metrics_of(finished, keys="nc9"))
    assert refused.value.problem.status == 404


def test_an_overview_is_all_that_a_page_begins_with(quiet_server, finished):
    with Client(quiet_server.url, quiet_server.token) as client:
        found = client(calls.overview(finished))
        events = client(calls.events(finished, limit=2000)).items
        newest = client(calls.geometry(finished))
    assert found.seq == len(events) == found.run.last_seq
    assert found.series.epochs == [1, 2, 3]
    steps = [event["step"] for event in events if event["type"] == "GeometryCaptured"]
    assert wire.from_typed(found.captures).tolist() == steps
    assert found.steps["step"] == [event["step"] for event in events if event["type"] == "StepMeasured"]
    assert found.geometry == newest
    assert found.newest["EpochMeasured"]["epoch"] == 3
    assert found.started["view"] == newest.view


def test_a_sweep_and_a_clone(quiet_server, finished):
    body = {"config": tiny(epochs=1).model_dump(mode="json"), "group": "rates", "seeds": 2, "priority": -5}
    body |= {"grid": {"optimiser.lr": [0.05, 0.1]}}
    with quiet_server.client() as http:
        made = http.post("/api/v1/sweeps", json=body, headers={"Idempotency-Key": "a-sweep"})
        again = http.post("/api/v1/sweeps", json=body, headers={"Idempotency-Key": "a-sweep"})
        assert (made.status_code, again.status_code) == (201, 200)
        items = made.json()["items"]
        assert [(run["config"]["optimiser"]["lr"], run["config"]["seed"]) for run in items] == [
            (0.05, 0),
            (0.05, 1),
            (0.1, 0),
            (0.1, 1),
        ]
        assert http.get("/api/v1/runs", params={"q": "group:rates optimiser.lr=0.1"}).json()["total"] == 2
        (group,) = (each for each in http.get("/api/v1/groups").json()["items"] if each["group"] == "rates")
        assert sum(group["runs"].values()) == 4
        clone = http.post(f"/api/v1/runs/{finished}/clone", json={"set": {"seed": 5, "epochs": 1}})
        assert clone.status_code == 201
        assert clone.json()["cloned_from"] == finished
        assert clone.json()["config"]["seed"] == 5
        bad = http.post(f"/api/v1/runs/{finished}/clone", json={"set": {"head.delta": -1}})
        assert bad.status_code == 422
        assert "delta" in bad.json()["detail"]
        queue = [run["id"] for run in http.get("/api/v1/queue").json()["items"]]
        if len(queue) > 1:
            moved = http.post(f"/api/v1/runs/{queue[-1]}/move", json={"before": queue[0]})
            assert moved.status_code in (200, 409), "it may have started meanwhile"
        cancelled = http.post("/api/v1/runs/bulk", json={"action": "cancel", "q": "group:rates"}).json()["items"]
        assert len(cancelled) == 4
        http.post(f"/api/v1/runs/{clone.json()['id']}/cancel")


def test_log_readings_and_files_of_a_run(quiet_server, finished):
    with quiet_server.client() as http:
        assert http.get(f"/api/v1/runs/{finished}/log").headers["content-type"].startswith("text/plain")
        readings = http.get(f"/api/v1/runs/{finished}/readings").json()["items"]
        assert all(each["attempt"] == 1 and each["memory_bytes"] > 0 for each in readings), "a short run may have none"
        listed = http.get(f"/api/v1/runs/{finished}/artifacts").json()["items"]
        answer = http.get(listed[0]["href"])
        assert hashlib.sha256(answer.content).hexdigest() == listed[0]["sha256"]
        assert answer.headers["etag"] == f'"{listed[0]["sha256"]}"'
        again = http.get(listed[0]["href"], headers={"if-none-match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        geometry = http.get(f"/api/v1/runs/{finished}/geometry", params={"epoch": 1})
        etag = geometry.headers["etag"]
        again = http.get(f"/api/v1/runs/{finished}/geometry", params={"epoch": 1}, headers={"if-none-match": etag})
        assert again.status_code == 304
        assert http.get(f"/api/v1/runs/{finished}/artifacts/geometry/123456").status_code == 404


def test_answers_are_compressed(quiet_server):
    with quiet_server.client() as http:
        answer = http.get("/api/v1/metrics", headers={"accept-encoding": "gzip, br"})
        assert answer.headers["content-encoding"] == "gzip"
        plain = http.get("/api/v1/metrics", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert answer.json() == plain.json()


def test_openapi_shows_an_example_of_each_body_and_a_problem_for_each_error(quiet_server):
    with quiet_server.client() as http:
        document = http.get("/api/v1/openapi.json").json()
    shapes = document["components"]["schemas"]
    bodies = 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            assert operation.get("description"), where
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if content:
                name = content["schema"].get("$ref", "").rpartition("/")[2]
                if name:
                    bodies += 1
                    for example in shapes[name]["examples"]:
                        getattr(wire, name).model_validate(example)
            for status, answer in operation["responses"].items():
                if status.startswith("4"):
                    problem = answer["content"]["application/problem+json"]
                    assert problem["schema"]["$ref"].endswith("/Problem"), f"{where}: {status}"
    assert bodies >= 8
    for name in ("RunWire", "EventPage", "MetricSeries", "Problem"):
        (example,) = shapes[name]["examples"]
        # The document leaves out what is null.
        absent = {field: None for field, about in getattr(wire, name).model_fields.items() if about.is_required()}
        getattr(wire, name).model_validate(absent | example)


# ── the guard ───────────────────────────────────────────────────────────────────────────────────────────────────────


def port_of(server: ServerProcess) -> str:
    return server.url.rpartition(":")[2]


GUARDED = ["/", "/runs", "/api/v1/runs", "/_dash-layout", "/_dash-dependencies", "/assets/style.css", "/api/docs"]


@pytest.mark.parametrize("path", GUARDED)
def test_nothing_answers_without_the_token(quiet_server, path):
    assert httpx2.get(quiet_server.url + path).status_code == 401
    wrong = httpx2.get(quiet_server.url + path, headers={"authorization": "Bearer wrong"})
    assert wrong.status_code == 401
    assert httpx2.get(f"{quiet_server.url}{path}?token=wrong").status_code == 401
    with quiet_server.client() as http:
        assert http.get(path).status_code == 200


def test_healthz_answers_without_a_token(quiet_server):
    assert httpx2.get(f"{quiet_server.url}/healthz").json()["status"] == "ok"


def test_the_token_in_the_address_becomes_a_strict_cookie(quiet_server):
    with httpx2.Client(base_url=quiet_server.url) as browser:
        answer = browser.get(f"/runs?q=1&token={quiet_server.token}")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/runs?q=1"
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert browser.get("/api/v1/runs").status_code == 200


def test_the_redirect_stays_on_this_server(quiet_server):
    answer = httpx2.get(f"{quiet_server.url}//evil.example/?token={quiet_server.token}")
    assert answer.headers["location"].startswith("/evil.example")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8050", "127.0.0.1", "127.0.0.1:1", "localhost.evil:80"])
def test_a_foreign_host_is_refused(quiet_server, host):
    with quiet_server.client() as http:
        answer = http.get("/api/v1/runs", headers={"host": host})
    assert answer.status_code == 403
    assert answer.json()["title"] == "Foreign Host"
    assert httpx2.get(f"{quiet_server.url}/healthz", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1:1"])
def test_a_foreign_origin_is_refused(quiet_server, origin):
    headers = {"origin": origin.format(port=port_of(quiet_server))}
    with quiet_server.client() as http:
        assert http.get("/api/v1/runs", headers=headers).status_code == 403
        assert http.post("/_dash-update-component", json={}, headers=headers).status_code == 403
        assert http.get("/api/v1/runs", headers={"origin": quiet_server.url}).status_code == 200


def test_websockets_are_guarded(quiet_server):
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    address = quiet_server.url.replace("http", "ws") + "/_dash-ws-callback"
    bearer = {"authorization": f"Bearer {quiet_server.token}"}
    for origin, headers in ((quiet_server.url, {}), ("http://evil.example", bearer)):
        with pytest.raises(InvalidStatus) as refused, connect(address, origin=origin, additional_headers=headers):
            pass
        assert refused.value.response.status_code == 403
    with connect(address, origin=quiet_server.url, additional_headers=bearer):
        pass


def test_a_large_body_is_refused(quiet_server):
    with quiet_server.client() as http:
        answer = http.post("/api/v1/config/check", content=b"{" + b" " * 3_000_000 + b"}")
    assert answer.status_code == 413


def test_headers_and_secrets(quiet_server):
    with quiet_server.client() as http:
        headers = http.get("/runs").headers
    policy = headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy.partition("script-src")[2].partition(";")[0], "scripts are named by their hash"
    assert headers["x-content-type-options"] == "nosniff"
    token = quiet_server.data / "token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    # The log holds the token once, in the printed address, and in no request.
    assert quiet_server.log.read_text().count(quiet_server.token) == 1


def test_another_address_needs_a_token_of_ones_own():
    require_safe_host("127.0.0.1", "")
    require_safe_host("0.0.0.0", "a token that nobody guesses")  # noqa: S104
    with pytest.raises(Exception, match="give a token"):
        require_safe_host("0.0.0.0", "")  # noqa: S104
    with pytest.raises(Exception, match="has 5 characters"):
        require_safe_host("0.0.0.0", "guess")  # noqa: S104
    with pytest.raises(Exception, match="IP address or localhost"):
        require_safe_host("somewhere", "")


@pytest.mark.parametrize(
    ("reachable", "option"),
    [
        ({"allow_hosts": ["gpu-box:8050"]}, "--allow-host gpu-box:8050"),
        ({"allow_hosts": ["localhost:9000", "lab.example"]}, "--allow-host lab.example"),
        ({"allow_hosts": ["[2001:db8::1]:8050"]}, "--allow-host [2001:db8::1]:8050"),
        ({"behind_proxy": ["127.0.0.1"]}, "--behind-proxy 127.0.0.1"),
    ],
)
def test_a_weak_token_is_refused_wherever_other_machines_reach_the_server(reachable, option):
    with pytest.raises(Unusable, match=re.escape(f"has 5 characters, and with {option} other machines")):
        require_safe_host("127.0.0.1", "guess", **reachable)
    require_safe_host("127.0.0.1", "sixteen letters!", **reachable)
    require_safe_host("127.0.0.1", "guess", allow_hosts=["localhost:9000", "127.0.0.1:1", "[::1]:9000"])


@pytest.mark.parametrize(
    ("address", "words"),
    [("*", "got '*'"), ("proxy", "got 'proxy'"), ("0.0.0.0/0", "everybody"), ("::/0", "everybody")],
)
def test_a_proxy_is_trusted_by_its_address_alone(address, words):
    require_proxies(["127.0.0.1", "172.17.0.0/16", "2001:db8::/64"])
    with pytest.raises(Unusable, match=re.escape(words)):
        require_proxies([address])


def test_a_second_server_on_the_same_data_names_the_first(quiet_server):
    second = subprocess.run(
        [COLLAPSE, "serve", "--no-open", "--data", str(quiet_server.data)], capture_output=True, text=True, timeout=60
    )
    assert second.returncode == 2
    assert f"pid {quiet_server.process.pid}, {quiet_server.url}" in second.stderr
    assert "Traceback" not in second.stderr


def test_the_server_never_imports_torch():
    code = (
        "import sys, backend.api.server, dashboard.app\n"
        "assert not {'torch', 'matplotlib', 'sklearn', 'scipy'} & set(sys.modules), 'heavy'"
    )
    import sys

    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)


def test_own_arrays_only_from_allowed_folders(quiet_server, tmp_path):
    """Files below the data directory's `datasets` are always allowed; what a request says was found is not believed."""
    datasets = quiet_server.data / "datasets"
    datasets.mkdir(exist_ok=True)
    arrays = {"images": np.zeros((40, 6, 6), np.uint8), "labels": np.arange(40) % 4}
    np.savez(datasets / "own.npz", **arrays)
    np.savez(tmp_path / "secret.npz", **arrays)
    forged = {"class_names": ["a", "b"], "train_per_class": [5, 5], "test": 2, "shape": [1, 6, 6]}

    def config(path, **data):
        settings = {"backbone": {"name": "mlp"}, "batch_size": 8, "epochs": 1}
        return {**settings, "data": {"name": "arrays", "path": str(path), **data}}

    with quiet_server.client() as http:
        allowed = http.post("/api/v1/runs", json={"config": config(datasets / "own.npz", found=forged)})
        assert allowed.status_code == 201
        assert allowed.json()["class_names"] == ["0", "1", "2", "3"], "looked at, not believed"
        (datasets / "link.npz").symlink_to(tmp_path / "secret.npz")
        for path in (tmp_path / "secret.npz", datasets / "link.npz", datasets / ".." / "token", "relative.npz", ""):
            refused = http.post("/api/v1/runs", json={"config": config(path, found=forged)})
            assert refused.status_code == 422
            assert refused.json()["errors"][0]["path"] == "data.path"
            checked = http.post("/api/v1/config/check", json=config(path)).json()
            assert checked["errors"][0]["path"] == "data.path"
        too_many = http.post("/api/v1/runs", json={"config": config(datasets / "own.npz") | {"batch_size": 500}})
        assert too_many.json()["errors"][0]["path"] == "batch_size"
        ended = wait_for(
            lambda: (run := http.get(f"/api/v1/runs/{allowed.json()['id']}").json())["status"] == "finished" and run
        )
        assert ended["summary"]["train"]["loss"] > 0


def test_a_worker_is_confined_too(quiet_server, tmp_path):
    """A link that leads elsewhere only after the launch: the worker looks again before it reads."""
    datasets = quiet_server.data / "datasets"
    (datasets / "later").mkdir(parents=True)
    arrays = {"images": np.zeros((40, 6, 6), np.uint8), "labels": np.arange(40) % 4}
    np.savez(datasets / "later" / "own.npz", **arrays)
    np.savez(tmp_path / "own.npz", **arrays)
    config = {"backbone": {"name": "mlp"}, "batch_size": 8, "epochs": 1}
    config["data"] = {"name": "arrays", "path": str(datasets / "swapped" / "own.npz")}
    (datasets / "swapped").symlink_to(datasets / "later")
    with quiet_server.client() as http:
        blocker = http.post("/api/v1/runs", json={"config": tiny(epochs=30).model_dump(mode="json")}).json()["id"]
        wait_for(lambda: http.get(f"/api/v1/runs/{blocker}").json()["status"] == "running")
        run_id = http.post("/api/v1/runs", json={"config": config}).json()["id"]
        (datasets / "swapped").unlink()
        (datasets / "swapped").symlink_to(tmp_path)
        http.post(f"/api/v1/runs/{blocker}/cancel")
        ended = wait_for(lambda: (run := http.get(f"/api/v1/runs/{run_id}").json())["status"] == "failed" and run)
        assert "under a folder that the operator allows" in ended["error"]


def test_hidden_layers_are_splits_of_the_metrics(quiet_server):
    config = tiny(epochs=2, measure={"layers": ["1"], "first_epoch_captures": 0}).model_dump(mode="json")
    with quiet_server.client() as http:
        run_id = http.post("/api/v1/runs", json={"config": config}).json()["id"]
        wait_for(lambda: http.get(f"/api/v1/runs/{run_id}").json()["status"] == "finished")
        found = http.get(f"/api/v1/runs/{run_id}/metrics?keys=nc1").json()
        assert set(found["values"]) == {"train", "test", "layer:1", "layer-test:1"}
        assert len(found["values"]["layer:1"]["nc1"]) == 2
        events = http.get(f"/api/v1/runs/{run_id}/events?limit=1000").json()["items"]
        step = next(event for event in events if event["type"] == "StepMeasured")
        assert step["samples_per_s"] > 0
        assert set(step["seconds"]) == {"data", "forward", "head", "backward", "optimiser"}
