"""A run as one file, out and in again elsewhere; hostile files."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from backend.figures.files import make_figure_file
from backend.store import artifacts, curves, event_log, query, run_actions, run_attempts, runs
from backend.store.archive import reader, writer
from backend.store.database import open_store
from backend.store.errors import Conflict, Invalid, Unusable
from backend.store.models import artifact, bucket, event
from ncfigures.options import FigureOptions
from tests.conftest import BOTH
from tests.faults.harness import require_whole, supervising, wait_status
from tests.harness import tiny

MOST = 2**30


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """A store with one finished run, as an archive too."""
    store = open_store(tmp_path_factory.mktemp("origin") / "data")
    run_id, _ = runs.create(store, tiny(epochs=4, device="cpu"), name="Ünïque", tags=["a"], group="g")
    runs.update(store, run_id, {"notes": "# seen"})
    with supervising(store):
        wait_status(store, run_id, "finished")
    content = b"".join(writer.archive_run(store, run_id))
    yield store, run_id, content
    store.close()


def bring_in(store, content, tmp_path, most=MOST):
    path = tmp_path / "given.zip"
    path.write_bytes(content)
    return reader.import_archive(store, path, most)


def figures(store, run_id):
    wanted = [("geometry", "pdf"), ("angles", "svg"), ("curves", "csv"), ("margins", "pdf"), ("geometry", "png")]
    return {
        f"{name}.{kind}": hashlib.sha256(
            make_figure_file(store, [run_id], name, kind, FigureOptions()).content
        ).hexdigest()
        for name, kind in wanted
    }


@BOTH
def test_an_imported_run_is_the_same_to_the_byte(origin, store, tmp_path):
    there, run_id, content = origin
    assert bring_in(store, content, tmp_path) == (run_id, True), "it keeps its id"
    require_whole(store, run_id)
    mine, theirs = runs.get(store, run_id), runs.get(there, run_id)
    for name in writer.ArchivedRun.model_fields:
        if name not in ("attempts", "artifacts"):
            assert getattr(mine, name) == getattr(theirs, name), name
    assert figures(store, run_id) == figures(there, run_id)
    assert curves.read_curves(store, run_id, "epoch", 1000) == curves.read_curves(there, run_id, "epoch", 1000)
    assert b"".join(writer.archive_run(store, run_id)) == content, "and out again it is the same archive"
    assert bring_in(store, content, tmp_path) == (run_id, False), "the same run twice is one run"
    assert query.list_runs(store, q="nc1<1000").total == 1, "its numbers are found"
    assert list((store.data_dir / "imports").iterdir()) == []


def test_the_manifest_has_the_hash_and_size_of_every_other_part(origin):
    parts = parts_of(origin[2])
    manifest = json.loads(parts.pop("manifest.json"))
    expected = {
        name: {"sha256": hashlib.sha256(part).hexdigest(), "size_bytes": len(part)} for name, part in parts.items()
    }
    assert manifest["parts"] == expected
    assert {"run.json", "events.jsonl", "metrics.csv"} < set(expected)
    facts = json.loads(parts["run.json"])
    with origin[0].reading() as connection:
        query = sa.select(artifact.c.kind, artifact.c.step, artifact.c.sha256).where(artifact.c.run_id == origin[1])
        stored = {(row.kind, row.step): row.sha256 for row in connection.execute(query)}
    archived = {(each["kind"], each["step"]): expected[each["part"]]["sha256"] for each in facts["artifacts"]}
    assert archived == stored, "the files of arrays are those of the store"


def test_a_taken_id_gives_way(origin, store, tmp_path):
    _, run_id, content = origin
    bring_in(store, content, tmp_path)
    run_actions.delete(store, run_id)
    other, new = bring_in(store, content, tmp_path)
    assert new
    assert other != run_id
    require_whole(store, other)
    run_actions.restore(store, run_id)
    require_whole(store, run_id)


def long_run(store, there, origin_id, epochs):
    """Store a run of many epochs, with the payloads of a real one, and the rows that fold its curves."""
    run_id, _ = runs.create(store, tiny(epochs=epochs, device="cpu"))
    number = run_attempts.claim_run(store, run_id, "cpu")
    started = {**event_log.find_newest_event(there, origin_id, "RunStarted").payload, "epochs": epochs}
    measured = event_log.find_newest_event(there, origin_id, "EpochMeasured").payload
    folder = curves.CurveAggregator.resumed(store, run_id, "epoch")
    entries, buckets = [event_log.NewEvent("RunStarted", started)], []
    for epoch in range(1, epochs + 1):
        payload = {**measured, "epoch": epoch, "step": 22 * epoch, "scalars": {"train": {"nc1": 1 / epoch}}}
        entries.append(event_log.NewEvent("EpochMeasured", payload))
        buckets += folder.add(payload)
    patch = {"epoch": epochs, "summary": payload["scalars"]}
    event_log.append(store, run_id, number, entries, patch, buckets=buckets)
    run_attempts.end_attempt(store, run_id, number, event_log.NewEvent("RunFailed", {"error": "x"}), error="x")
    return run_id


def test_folded_curves_come_along(origin, store, tmp_path):
    run_id = long_run(store, origin[0], origin[1], 700)
    content = b"".join(writer.archive_run(store, run_id))
    elsewhere = open_store(tmp_path / "elsewhere")
    bring_in(elsewhere, content, tmp_path)
    rows = []
    for held in (store, elsewhere):
        with held.reading() as connection:
            rows.append(list(connection.execute(sa.select(bucket).order_by(bucket.c.level, bucket.c.number))))
    assert rows[0] == rows[1]
    assert len(rows[0]) == 700 // 8 + 700 // 64 + 700 // 512
    elsewhere.close()


def test_what_runs_or_is_damaged_is_not_archived(origin, store, tmp_path):
    _, run_id, content = origin
    queued, _ = runs.create(store, tiny())
    with pytest.raises(Conflict, match="is queued: pause it"):
        writer.archive_run(store, queued)
    bring_in(store, content, tmp_path)
    path = store.data_dir / artifacts.list_rows(store, run_id, "geometry")[0].path
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Unusable, match="would carry the damage on"):
        writer.archive_run(store, run_id)


# ── hostile archives ────────────────────────────────────────────────────────────────────────────────────────────────


def parts_of(content):
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def packed(parts, *, sealed=True, names=None):
    """Pack parts as an archive; `sealed` gives each the hash that it has."""
    held = dict(parts)
    if sealed:
        manifest = json.loads(held["manifest.json"])
        manifest["parts"] = {
            name: {"sha256": hashlib.sha256(part).hexdigest(), "size_bytes": len(part)}
            for name, part in held.items()
            if name != "manifest.json"
        }
        held["manifest.json"] = json.dumps(manifest).encode()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
        for name in names or held:
            opened.writestr(name, held[name])
    return file.getvalue()


def with_run(change):
    def edit(parts):
        facts = json.loads(parts["run.json"])
        change(facts)
        return packed(parts | {"run.json": json.dumps(facts).encode()})

    return edit


def with_events(change):
    def edit(parts):
        lines = [json.loads(line) for line in parts["events.jsonl"].splitlines()]
        change(lines)
        return packed(parts | {"events.jsonl": b"".join(json.dumps(line).encode() + b"\n" for line in lines)})

    return edit


def with_manifest(change):
    def edit(parts):
        manifest = json.loads(parts["manifest.json"])
        change(manifest)
        return packed(parts | {"manifest.json": json.dumps(manifest).encode()}, sealed=False)

    return edit


def first_array(parts):
    return next(name for name in parts if name.startswith("artifacts/"))


def swapped(parts, new):
    return packed(parts | {first_array(parts): new})


def flipped(prefix):
    """Return what changes one bit of a part, and leaves the manifest as it is."""

    def edit(parts):
        name = next(name for name in parts if name.startswith(prefix))
        content = bytearray(parts[name])
        content[len(content) // 2] ^= 1
        return packed(parts | {name: bytes(content)}, sealed=False)

    return edit


def bomb(parts):
    return packed(parts | {"metrics.csv": b"\0" * (64 * 2**20)})


def event_of(type_, change):
    """Return what makes an archive whose first event of a type has another payload."""
    return with_events(lambda lines: change(next(e for e in lines if e["type"] == type_)["payload"]))


def with_config(change):
    """Return what makes an archive of another config, whose hash is made anew wherever it is told."""

    def edit(parts):
        facts = json.loads(parts["run.json"])
        before = facts["config_hash"]
        change(facts["config"])
        text = json.dumps(facts["config"], sort_keys=True, separators=(",", ":"))
        facts["config_hash"] = hashlib.sha256(text.encode()).hexdigest()
        events = parts["events.jsonl"].replace(before.encode(), facts["config_hash"].encode())
        return packed(parts | {"run.json": json.dumps(facts).encode(), "events.jsonl": events})

    return edit


def without_start(lines):
    del lines[1]
    for number, line in enumerate(lines, 1):
        line["seq"] = number


HOSTILE = {
    "no scalars": (event_of("EpochMeasured", lambda p: p.pop("scalars")), "line [0-9]+ .*scalars: Field required"),
    "a list of scalars": (event_of("EpochMeasured", lambda p: p.update(scalars=[])), "scalars: Input should be"),
    "a metric of no name": (event_of("EpochMeasured", lambda p: p["scalars"]["train"].update(x=1.0)), "no metric 'x'"),
    "a layer of no name": (event_of("EpochMeasured", lambda p: p.update(layers={"x": {}})), "no layer 'x'"),
    "an epoch beyond the last": (event_of("EpochMeasured", lambda p: p.update(epoch=99)), "at most the 4"),
    "no class names": (event_of("RunStarted", lambda p: p.pop("class_names")), "line 2 .*class_names: Field required"),
    "a class name less": (event_of("RunStarted", lambda p: p["class_names"].pop()), "class_names must name the 10"),
    "no metrics": (event_of("RunStarted", lambda p: p.pop("metrics")), "metrics: Field required"),
    "empty metrics": (
        event_of("RunStarted", lambda p: p.update(metrics={})),
        "line 2 .*metrics: Dictionary should have",
    ),
    "zero classes": (event_of("RunStarted", lambda p: p.update(classes=0)), "classes: Input should be greater"),
    "more classes than the config": (
        event_of("RunStarted", lambda p: p.update(classes=4, class_names=list("abcd"), view="tetrahedron")),
        "view_matrix must be",
    ),
    "vertices of another length": (event_of("RunStarted", lambda p: p["vertices"].pop()), "vertices must be"),
    "no start": (with_events(without_start), "line 2 .*must come after RunStarted"),
    "pairs of no class": (event_of("GeometryCaptured", lambda p: p.update(smallest_pair=[0, 10])), "classes 0 … 9"),
    "an unknown event": (with_events(lambda lines: lines[4].update(type="Surprise")), "no type of event"),
    "another summary": (with_run(lambda r: r["summary"]["train"].update(nc1=0.0)), "summary must be the scalars"),
    "attempts twice": (with_run(lambda r: r["attempts"].append(r["attempts"][0])), "attempts must be numbered"),
    "a moment that is none": (
        with_run(lambda r: r.update(created_at="2026-02-31T00:00:00Z")),
        "run.json is not valid: created_at: ",
    ),
    "own data of nothing": (
        with_config(
            lambda c: c.update(data={**c["data"], "name": "arrays", "path": "/x", "test_share": 0.2, "found": None})
        ),
        "found must say",
    ),
    "fewer epochs in the config": (with_config(lambda c: c.update(epochs=3)), "epochs must be 3"),
    "a file of another moment": (
        with_run(lambda r: r["artifacts"][0].update(step=r["artifacts"][0]["step"] + 1)),
        "is the geometry of step",
    ),
    "no zip": (lambda parts: b"PK and nothing more", "no archive of a run"),
    "cut short": (lambda parts: packed(parts)[:-2000], "no archive of a run"),
    "path upwards": (lambda parts: packed(parts | {"../../evil.json": b"{}"}), "no part named"),
    "absolute path": (lambda parts: packed(parts | {"/etc/evil": b"{}"}), "no part named"),
    "path within": (lambda parts: packed(parts | {"artifacts/../../x.safetensors": b""}), "no part named"),
    "stranger": (lambda parts: packed(parts | {"setup.py": b""}), "no part named"),
    "backslashes": (lambda parts: packed(parts | {"artifacts\\..\\x": b""}), "no part named"),
    "no manifest": (
        lambda parts: packed({k: v for k, v in parts.items() if k != "manifest.json"}, sealed=False),
        "no manifest",
    ),
    "bomb": (bomb, "from few: refused"),
    "wrong hash": (
        with_manifest(lambda m: m["parts"]["run.json"].update(sha256="0" * 64)),
        "the part run.json of the archive is not what its manifest says: size or hash differ",
    ),
    "wrong size": (
        with_manifest(lambda m: m["parts"]["events.jsonl"].update(size_bytes=10)),
        "the part events.jsonl of the archive is not what its manifest says: size or hash differ",
    ),
    "a bit of the events": (flipped("events.jsonl"), "the part events.jsonl .* size or hash differ"),
    "a bit of an array": (flipped("artifacts/"), "the part artifacts/.* size or hash differ"),
    "unnamed part": (with_manifest(lambda m: m["parts"].pop("metrics.csv")), "does not name the parts"),
    "other format": (
        with_manifest(lambda m: m.update(format=2)),
        "manifest.json is not valid: format: Input should be 1",
    ),
    "id with a path": (
        with_manifest(lambda m: m.update(run="../../evil")),
        "manifest.json is not valid: run: String should match pattern",
    ),
    "lacks events": (lambda parts: packed({k: v for k, v in parts.items() if k != "events.jsonl"}), "lacks events"),
    "changed config": (with_run(lambda r: r["config"].update(epochs=99)), "does not have the hash"),
    "impossible config": (with_run(lambda r: r["config"].update(batch_size=-1)), "run.json is not valid: batch_size: "),
    "extra field": (with_run(lambda r: r.update(want="cancel")), "run.json is not valid: want: Extra inputs"),
    "still running": (with_run(lambda r: r.update(status="running")), "run.json is not valid: status: Input should be"),
    "wrong state": (
        with_run(lambda r: r.update(status="failed")),
        "the status of the run is failed, and its events result in finished",
    ),
    "wrong count": (
        with_run(lambda r: r.update(last_seq=10_000)),
        "the last event of the run is [0-9]+, and its row has 10000",
    ),
    "event missing": (with_events(lambda lines: lines.pop(3)), "event 4 is missing"),
    "epoch twice": (
        with_events(lambda lines: next(e for e in lines if e["type"] == "EpochMeasured")["payload"].update(epoch=3)),
        "after epoch 3",
    ),
    "after the end": (
        with_events(lambda lines: lines.append({**lines[3], "seq": len(lines) + 1})),
        "cannot follow the status finished",
    ),
    "no event": (
        with_events(lambda lines: lines[2].update(payload=[1])),
        "line 3 of events.jsonl is not valid: payload: Input should be a valid dictionary",
    ),
    "array of another kind": (lambda parts: swapped(parts, b"\x08" + b"\0" * 7 + b"{}      "), "holds no arrays"),
    "array with a huge header": (lambda parts: swapped(parts, b"\xff" * 64), "holds no arrays"),
    "array cut short": (lambda parts: swapped(parts, parts[first_array(parts)][:-8]), "holds no arrays"),
    "array twice": (with_run(lambda r: r["artifacts"].append(r["artifacts"][0])), "does not name the files"),
    "array of no event": (with_run(lambda r: r["artifacts"][0].update(seq=99_999)), "of an event that is not there"),
}


@pytest.mark.parametrize("case", list(HOSTILE))
def test_a_hostile_archive_is_refused_whole(origin, store, tmp_path, case):
    make, words = HOSTILE[case]
    content = make(parts_of(origin[2]))
    before = sorted(path for path in store.data_dir.rglob("*") if "collapse.db" not in path.name)
    with pytest.raises(Invalid, match=words):
        bring_in(store, content, tmp_path)
    assert query.list_runs(store).total == 0
    left = sorted(path for path in store.data_dir.rglob("*") if "collapse.db" not in path.name)
    assert left in (before, sorted([*before, store.data_dir / "imports"])), "nothing is left behind"
    assert not (tmp_path / "evil.json").exists()
    with store.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(event)).scalar_one() == 0


@BOTH
def test_a_folder_without_a_run_is_left_as_it_is(origin, store, tmp_path):
    """The database that is open may not be that of the data directory: its folders are not ours to remove."""
    _, run_id, content = origin
    folder = store.data_dir / "runs" / run_id
    folder.mkdir(parents=True)
    (folder / "geometry-000000001-a1.safetensors").write_bytes(b"of another database")
    other, new = bring_in(store, content, tmp_path)
    assert new
    assert other != run_id
    assert [path.read_bytes() for path in folder.iterdir()] == [b"of another database"]
    require_whole(store, other)


def test_an_archive_sent_twice_at_once_is_one_run(origin, store, tmp_path):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: bring_in(store, origin[2], _folder(tmp_path, n)), range(4)))
    assert sorted(new for _, new in found) == [False, False, False, True]
    assert {run_id for run_id, _ in found} == {origin[1]}


def _folder(tmp_path, number):
    folder = tmp_path / str(number)
    folder.mkdir()
    return folder


def test_an_archive_names_no_part_twice_and_is_not_too_large(origin, store, tmp_path):
    parts = parts_of(origin[2])
    with pytest.warns(UserWarning, match="Duplicate name"):
        content = packed(parts, names=[*parts, "run.json"])
    with pytest.raises(Invalid, match="names a part twice"):
        bring_in(store, content, tmp_path)
    with pytest.raises(Invalid, match="at most 1,000 are taken"):
        bring_in(store, origin[2], tmp_path, most=1000)


def test_over_http(origin, quiet_server):
    _, run_id, content = origin
    with quiet_server.client() as http:
        kind = {"content-type": "application/zip"}
        made = http.post("/api/v1/imports", content=content, headers=kind)
        assert made.status_code == 201, made.text
        assert made.json()["id"] == run_id
        assert made.json()["summary"]["train"]["nc1"] > 0
        assert http.post("/api/v1/imports", content=content, headers=kind).status_code == 200
        assert http.get(f"/api/v1/runs/{run_id}/archive.zip").content == content
        bad = http.post("/api/v1/imports", content=content[:-100], headers=kind)
        assert bad.status_code == 422
        assert "no archive of a run" in bad.json()["detail"]
        assert http.post("/api/v1/imports", content=b"{}", headers={"content-type": "text/html"}).status_code == 422
        assert http.get(f"/api/v1/runs/{run_id}/overview").json()["geometry"]["epoch"] == 4
