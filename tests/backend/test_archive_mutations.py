"""A good archive with one thing changed: taken in as it is, or refused with nothing stored; never a server error.

What was taken in is compared with the archive by a reader of its own (`mutations`), and every route that reads a run
answers for it.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import sqlite3
from collections import Counter

import pytest

from backend.store import runs
from backend.store.archive import writer
from backend.store.database import open_store
from ncengine.config import MeasureConfig
from tests.backend.mutations import mutated, parts_of
from tests.faults.harness import supervising, wait_status
from tests.harness import ServerProcess, tiny
from tests.repetitions import repetitions

MOST_MEMORY = 300 * 2**20
SEED = 20
TABLES = ("run", "event", "artifact", "attempt", "bucket")
ZIP = {"content-type": "application/zip"}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The archive of a real run with everything that archives hold: hidden layers, features, checkpoints, pictures."""
    store = open_store(tmp_path_factory.mktemp("good") / "data")
    measure = MeasureConfig(first_epoch_captures=1, features=40, layers=("0",), keep_features="all")
    run_id, _ = runs.create(store, tiny(epochs=2, device="cpu", measure=measure), name="good", tags=["a", "b"])
    runs.update(store, run_id, {"notes": "# as *it* is"})
    with supervising(store):
        wait_status(store, run_id, "finished")
    content = b"".join(writer.archive_run(store, run_id))
    store.close()
    return content


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server of this test's own: its memory is measured."""
    started = ServerProcess(tmp_path_factory.mktemp("mutations") / "data", "--no-demonstration", "--no-warm")
    yield started
    started.stop()


def most_memory(server):
    """Return the most memory that the server's process has had at any time."""
    with open(f"/proc/{server.process.pid}/status") as stream:  # noqa: PTH123
        return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", stream.read())[1])


def stored(server):
    """Return everything that is stored: how many rows of each table, and every file beside the database."""
    with sqlite3.connect(f"file:{server.data / 'collapse.db'}?mode=ro", uri=True) as connection:
        rows = {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES}  # noqa: S608
    connection.close()
    kept = (path for path in server.data.rglob("*") if path.is_file())
    return rows, sorted(
        (str(path), path.stat().st_size) for path in kept if path.suffix in (".safetensors", ".partial")
    )


def numbers_as_floats(tree):
    """Return JSON with every number as a float: 1 and 1.0 are one number."""
    if isinstance(tree, dict):
        return {key: numbers_as_floats(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [numbers_as_floats(value) for value in tree]
    return float(tree) if isinstance(tree, int | float) and not isinstance(tree, bool) else tree


def require_equal(http, run_id, content):
    """Compare a run, as the API tells it, with an archive."""
    parts = parts_of(content)
    facts = json.loads(parts["run.json"])
    lines = [json.loads(line) for line in parts["events.jsonl"].splitlines()]
    held = http.get(f"/api/v1/runs/{run_id}").json()
    for name in set(facts) - {"attempts", "artifacts", "code_version", "config_hash"}:
        assert numbers_as_floats(held[name]) == numbers_as_floats(facts[name]), name
    events, after = [], 0
    while page := http.get(f"/api/v1/runs/{run_id}/events", params={"after": after, "limit": 7}).json()["items"]:
        events += page
        after = page[-1]["seq"]
    for event in events:
        assert event.pop("run") == run_id
        event.pop("href", None)
    told = [{"seq": line["seq"], "type": line["type"], "at": line["at"], **line["payload"]} for line in lines]
    assert numbers_as_floats(events) == numbers_as_floats(told)
    require_equal_metrics(http, run_id, [line["payload"] for line in lines if line["type"] == "EpochMeasured"])
    files = http.get(f"/api/v1/runs/{run_id}/artifacts").json()["items"]
    assert len(files) == len(facts["artifacts"])
    for each in files:
        (named,) = [a for a in facts["artifacts"] if (a["kind"], a["step"]) == (each["kind"], each["step"])]
        part = parts[named["part"]]
        assert http.get(each["href"]).content == part
        assert (each["sha256"], each["size_bytes"], each["seq"]) == (
            hashlib.sha256(part).hexdigest(),
            len(part),
            named["seq"],
        )
    attempts = http.get(f"/api/v1/runs/{run_id}/attempts").json()["items"]
    assert [{name: each[name] for name in named} for each, named in zip(attempts, facts["attempts"], strict=True)] == (
        facts["attempts"]
    )


def require_equal_metrics(http, run_id, measured):
    series = http.get(f"/api/v1/runs/{run_id}/metrics").json()
    assert series["epochs"] == [payload["epoch"] for payload in measured]
    expected = {}
    for place, payload in enumerate(measured):
        splits = dict(payload["scalars"])
        splits |= {f"layer:{name}": scalars for name, scalars in payload.get("layers", {}).items()}
        splits |= {f"layer-test:{name}": scalars for name, scalars in payload.get("layers_test", {}).items()}
        for split, scalars in splits.items():
            for key, value in scalars.items():
                line = expected.setdefault(split, {}).setdefault(key, [None] * len(measured))
                line[place] = value
    told = {split: known for split, known in series["values"].items() if known}
    assert numbers_as_floats(told) == numbers_as_floats(expected)


def reading_routes(http, run_id):
    """Return the addresses of all that can be read of a run, after the server's own description."""
    described = http.get("/api/v1/openapi.json").json()["paths"]
    paths = [path for path, operations in described.items() if "get" in operations and "{run_id}" in path]
    assert len(paths) > 15
    figures = next(
        parameter["schema"]["enum"]
        for parameter in described["/api/v1/runs/{run_id}/figures/{figure}.{format}"]["get"]["parameters"]
        if parameter["name"] == "figure"
    )
    found = []
    for path in paths:
        at = path.replace("{run_id}", run_id)
        if "{figure}" in path:
            found += [at.replace("{figure}", figure).replace("{format}", "json") for figure in figures]
            found += [at.replace("{figure}", "geometry").replace("{format}", "png")]
        elif "{kind}" not in path:  # each file is asked for where it is compared
            found.append(at)
    found += [f"/api/v1/runs/{run_id}/geometry?epoch=0.5", f"/api/v1/runs/{run_id}/geometry?view=pca"]
    found += [f"/api/v1/runs/{run_id}/geometry?view=tetrahedron&classes=0,3,5,8"]
    found += [f"/api/v1/runs/{run_id}/milestones?threshold=0.1", f"/api/v1/runs/{run_id}/metrics?format=csv"]
    found += [f"/api/v1/runs/{run_id}/metrics?points=2", f"/api/v1/runs/{run_id}/overview?points=2"]
    found += [f"/api/v1/{name}?runs={run_id}" for name in ("replay.html", "sparklines", "figures/curves.json")]
    found += [f"/api/v1/runs?runs={run_id}", "/api/v1/runs?sort=train.nc1", "/api/v1/folds?by=head", "/api/v1/queue"]
    return [*found, "/api/v1/groups", "/api/v1/runs?q=nc1%3C1", "/api/v1/folds?keys=train.nc1,test.top1"]


def require_readable(http, run_id):
    for address in reading_routes(http, run_id):
        answer = http.get(address)
        assert answer.status_code < 500, f"{address}: {answer.status_code} {answer.text[:300]}"
    with http.stream("GET", f"/api/v1/stream?runs={run_id}") as answer:
        last = http.get(f"/api/v1/runs/{run_id}").json()["last_seq"]
        assert answer.status_code == 200
        for line in answer.iter_lines():
            if line == f"id: {last}":
                return
    raise AssertionError("the stream ended before the run's last event")


def one(server, http, good, seed):
    """Send the archive that a seed makes; return how it was answered, and what was wrong with that, if anything."""
    content, words = mutated(good, random.Random(seed))  # noqa: S311
    before = stored(server)
    answer = http.post("/api/v1/imports", content=content, headers=ZIP)
    outcome = str(answer.status_code)
    try:
        if answer.status_code == 201:
            run_id = answer.json()["id"]
            require_equal(http, run_id, content)
            require_readable(http, run_id)
            assert http.delete(f"/api/v1/runs/{run_id}").status_code in (204, 409)
        else:
            assert 400 <= answer.status_code < 500, answer.text[:300]
            assert answer.headers["content-type"].startswith("application/problem+json")
            assert 20 < len(answer.json()["detail"]) < 2000, answer.text[:3000]
            assert stored(server) == before, "something of a refused archive was stored"
    except Exception as error:  # every mutation is tried, and all that went wrong is told at once
        return outcome, f"seed {seed}, {words}: {type(error).__name__} {str(error)[:600]}"
    return outcome, None


def test_a_changed_archive_is_taken_in_as_it_is_or_refused_whole(good, server):
    outcomes, wrong = Counter(), []
    with server.client() as http:
        whole = http.post("/api/v1/imports", content=good, headers=ZIP)
        assert whole.status_code == 201, whole.text
        require_equal(http, whole.json()["id"], good)
        require_readable(http, whole.json()["id"])
        http.delete(f"/api/v1/runs/{whole.json()['id']}")
        for seed in range(repetitions(40, 1000)):
            outcome, found = one(server, http, good, 1000 * SEED + seed)
            outcomes[outcome] += 1
            wrong += [found] if found else []
    print(f"{dict(outcomes)}, most memory {most_memory(server) / 2**20:.0f} MiB")
    assert not wrong, f"{len(wrong)} of {outcomes}:\n" + "\n".join(wrong[:40])
    assert outcomes["201"] > 0.04 * outcomes.total(), "mutations that change nothing that matters are taken in"
    assert outcomes["422"] > 0.4 * outcomes.total()
    assert most_memory(server) < MOST_MEMORY
