"""What nobody should send: random requests after the service's own description, and the classics by hand.

No answer is a 5xx, none is outside the description, and nothing of what is refused is stored.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from backend.store import integrity
from backend.store.database import open_store
from tests.harness import end_workers, tiny, wait_for
from tests.repetitions import exhaustive_except, repetitions

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
    "response_headers_conformance,unsupported_method"
)


PHASES = "examples,coverage,fuzzing"


def fuzz(server, tmp_path, settings="", *options, phases=PHASES):
    """Send random requests, the endless stream and whole archives left out; return the report."""
    (tmp_path / "schemathesis.toml").write_text(settings)
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        *("--config-file", str(tmp_path / "schemathesis.toml")),
        *("run", f"{server.url}/api/v1/openapi.json", "-H", f"Authorization: Bearer {server.token}"),
        *("--checks", CHECKS, "--phases", phases, "--seed", "1"),
        *("--max-examples", str(repetitions(2, 10))),
        *("--exclude-path", "/api/v1/stream", "--exclude-path", "/api/v1/imports"),
        *("--request-timeout", "60"),  # a slow machine is no fault
        *("--continue-on-failure", "--generation-database", "none", "--suppress-health-check", "all", "--no-color"),
        *options,
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("database", exhaustive_except(["sqlite", "postgresql"], ["sqlite"]))
def test_random_requests_find_no_5xx_and_no_answer_outside_the_description(start_server, request, tmp_path, database):
    url = request.getfixturevalue("cluster").database() if database == "postgresql" else None
    server = start_server("--no-demonstration", "--no-warm", *(["--database-url", url] if url else []))
    with server.client() as http:
        config = tiny(epochs=2, measure={"keep_features": "all"}).model_dump(mode="json")
        run_id = http.post("/api/v1/runs", json={"config": config}).json()["id"]
        wait_for(lambda: http.get(f"/api/v1/runs/{run_id}").json()["status"] == "finished", 60, "the run")
        # First what can be read of a run that is there, then everything, with ids that mostly are not.
        read = fuzz(server, tmp_path, f'[parameters]\nrun_id = "{run_id}"\n', "--include-method", "GET")
        reports = [(read, 500)]
        if url is None:
            # Every boundary of every field that is written takes minutes: with --exhaustive alone.
            phases, least = repetitions(("examples,fuzzing", 50), (PHASES, 3000))
            reports.append((fuzz(server, tmp_path, phases=phases), least))
        assert http.get("/healthz").status_code == 200
    for report, least in reports:
        sent = re.search(r"(\d+) generated, (\d+) passed", report)
        assert sent is not None
        assert int(sent[1]) == int(sent[2]) > least, report[-3000:]
    assert "Traceback" not in server.log.read_text() + (server.data / "server.log").read_text()
    store = open_store(server.data, url)
    wait_for(lambda: not [f for f in integrity.find_problems(store) if "is running" in f.description], 10)
    assert list(integrity.find_problems(store)) == []
    end_workers(store)
    store.close()


def deep(levels):
    return "[" * levels + "]" * levels


def launch(**changes):
    return json.dumps({"config": tiny(epochs=1).model_dump(mode="json"), **changes})


def config(**changes):
    return json.dumps({"config": tiny(epochs=1).model_dump(mode="json") | changes})


BODIES = {
    "a name of a megabyte": launch(name="n" * 2**20),
    "a tag of a megabyte": launch(tags=["t" * 2**20]),
    "a million tags": launch(tags=["t"] * 200_000),
    "a name with a line break": launch(name="a\nb"),
    "a name with a null": launch(name="a\0b"),
    "an empty name": launch(name=""),
    "a note with a null": launch(notes="a\0b"),
    "half a surrogate": launch(name="x")[:-1] + ', "group": "\\ud800"}',
    "deep JSON": f'{{"config": {deep(100_000)}}}',
    "deep JSON in a setting": config(seed="x").replace('"x"', deep(50_000)),
    "NaN": config(batch_size=0).replace('"batch_size": 0', '"batch_size": NaN'),
    "infinity": config(batch_size=0).replace('"batch_size": 0', '"batch_size": 1e999'),
    "a huge whole number": config(seed=10**400),
    "a negative seed": config(seed=-1),
    "a huge seed": config(seed=2**64),
    "a priority beyond all": launch(priority=10**30),
    "a time limit of NaN": launch(time_limit_s=0).replace('"time_limit_s": 0', '"time_limit_s": NaN'),
    "no JSON": "this is a letter",
    "half of JSON": launch()[:-20],
    "a list": "[]",
    "nothing": "",
    "null": "null",
    "a key twice and unknown": launch(name="x")[:-1] + ', "name": "y", "nmae": "z"}',
    "bytes that are no text": b'{"config": "\xff\xfe"}',
}


@pytest.mark.parametrize("case", list(BODIES))
def test_a_body_that_cannot_be_meant_is_refused_and_nothing_stored(quiet_server, case):
    body = BODIES[case]
    with quiet_server.client() as http:
        before = http.get("/api/v1/runs").json()["total"]
        content = body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass")
        answer = http.post("/api/v1/runs", content=content, headers={"content-type": "application/json"})
        assert answer.status_code in (400, 413, 422), answer.text[:500]
        assert answer.headers["content-type"].startswith("application/problem+json")
        assert len(answer.content) < 20_000, "what was sent is not sent back"
        assert http.get("/api/v1/runs").json()["total"] == before


IDS = (
    *("..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%00", "a" * 5000, "%ff"),
    *("' OR 1=1 --", "💥", "{id}", "../collapse.db", "*"),
)


@pytest.mark.parametrize("run_id", IDS)
@pytest.mark.parametrize("tail", ["", "/events", "/geometry", "/log", "/artifacts/checkpoint/1", "/archive.zip"])
def test_tricks_in_ids_find_nothing(quiet_server, run_id, tail):
    with quiet_server.client() as http:
        answer = http.get(f"/api/v1/runs/{run_id}{tail}")
    # Dots in an address lead to the list of runs.
    is_list = answer.request.url.path == "/api/v1/runs"
    assert answer.status_code in ((200,) if is_list else (400, 404, 405, 422))
    assert b"root:" not in answer.content


UNICODE = "Ünïcode ☃ 日本語 \U0001f600 «'\"\\»%_"


def test_names_in_any_script_are_kept_as_they_are(quiet_server):
    with quiet_server.client() as http:
        body = {"config": tiny(epochs=1).model_dump(mode="json"), "name": UNICODE, "tags": ["日本語", "%"]}
        run = http.post("/api/v1/runs", json=body).json()
        assert run["name"] == UNICODE
        assert http.get("/api/v1/runs", params={"q": "日本語"}).json()["total"] == 1
        assert http.get("/api/v1/runs", params={"q": "tag:日本語"}).json()["total"] == 1
        assert http.get("/api/v1/runs", params={"q": "tag:%"}).json()["total"] == 1
        http.post(f"/api/v1/runs/{run['id']}/cancel")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/api/v1/runs?q=nc1%3Clow", "is compared with a number"),
        ("/api/v1/runs?sort=nothing", "must be a field"),
        ("/api/v1/runs?cursor=xyz", "next_cursor of the page before"),
        ("/api/v1/runs?limit=1e9", "limit"),
        ("/api/v1/runs?q=" + "x" * 600, "q"),
        ("/api/v1/audit?before=-1", "before"),
        ("/api/v1/metrics?classes=1", "classes"),
        ("/api/v1/stream?runs=", "must name 1 to"),
    ],
)
def test_a_query_that_cannot_be_meant_says_what_is_expected(quiet_server, path, words):
    with quiet_server.client() as http:
        answer = http.get(path)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


def test_a_method_that_a_path_does_not_have_is_named_with_those_it_has(quiet_server):
    with quiet_server.client() as http:
        answer = http.put("/api/v1/runs/abc")
        assert answer.status_code == 405
        assert answer.headers["allow"] == "DELETE, GET, PATCH"
        assert "takes DELETE and GET and PATCH" in answer.json()["detail"]
        assert http.put("/api/v1/nothing").status_code == 404
