"""The event log under real writers, the fence, files and their hashes, and data directories that cannot be used."""

from __future__ import annotations

import subprocess
import sys
from collections import namedtuple

import numpy as np
import pytest
import sqlalchemy as sa

from backend.store import artifacts, data_directory, event_log, run_attempts, runs
from backend.store.database import open_store
from backend.store.errors import Fenced, Unusable
from backend.store.event_log import NewEvent
from backend.store.models import bucket, event, reading
from tests.conftest import BOTH
from tests.harness import tiny

WRITER = """
import sys
from pathlib import Path
from backend.store.database import open_store
from backend.store.event_log import append
from backend.store.event_log import NewEvent
store = open_store(Path(sys.argv[1]), sys.argv[4])
for i in range(250):
    append(store, sys.argv[2], 1, [NewEvent("LogLine", {"text": f"{sys.argv[3]}-{i}"})] * (1 + i % 3))
"""


def running(store, **changes):
    run_id, _ = runs.create(store, tiny(**changes))
    assert run_attempts.claim_run(store, run_id, "cpu") == 1
    return run_id


@BOTH
def test_four_writer_processes_leave_no_gap_and_lose_nothing(store):
    run_id = running(store)
    command = [sys.executable, "-c", WRITER, str(store.data_dir), run_id]
    writers = [subprocess.Popen([*command, str(i), store.url], stderr=subprocess.PIPE) for i in range(4)]
    for writer in writers:
        _, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors.decode()
    expected = 4 * sum(1 + i % 3 for i in range(250))
    rows = event_log.list_events(store, run_id, 1, 10_000)
    assert [row.seq for row in rows] == list(range(2, expected + 2))
    for writer in range(4):
        own = [row.payload["text"] for row in rows if row.payload["text"].startswith(f"{writer}-")]
        assert own == [f"{writer}-{i}" for i in range(250) for _ in range(1 + i % 3)]
    assert runs.get(store, run_id).last_seq == expected + 1


@BOTH
def test_an_attempt_that_lost_the_run_is_fenced_and_writes_nothing(store):
    run_id = running(store)
    assert run_attempts.end_attempt(store, run_id, 1, NewEvent("AttemptFailed", {"attempt": 1, "reason": "test"}))
    assert run_attempts.claim_run(store, run_id, "cpu") == 2
    before = runs.get(store, run_id).last_seq
    with pytest.raises(Fenced):
        event_log.append(store, run_id, 1, [NewEvent("LogLine", {"text": "late"})], {"epoch": 99})
    assert runs.get(store, run_id).last_seq == before
    assert runs.get(store, run_id).epoch == 0
    assert not run_attempts.end_attempt(store, run_id, 1, NewEvent("RunFinished", {}))


@BOTH
def test_an_append_counts_as_a_heartbeat_and_links_files_to_their_events(store):
    run_id = running(store)
    before = runs.get(store, run_id).heartbeat
    written = artifacts.write(store, run_id, "geometry", 7, 1, {"means": np.zeros((2, 1), np.float32)})
    events = [
        NewEvent("LogLine", {"text": "first"}, at="2020-01-01T00:00:00.000Z"),
        NewEvent("GeometryCaptured", {"step": 7, "residual": float("-inf")}, written),
        NewEvent("LogLine", {"text": "last"}),
    ]
    patch = {"summary": {"train": {"nc1": float("nan")}}}
    row = event_log.Bucket("epoch", 1, 0, {"extremes": [float("inf")]})
    assert event_log.append(store, run_id, 1, events, patch, buckets=[row]) == (4, "run")
    with store.reading() as connection:
        assert connection.execute(sa.select(bucket.c.payload)).scalars().all() == [{"extremes": ["Infinity"]}]
    row = runs.get(store, run_id)
    assert (row.heartbeat, row.summary) == (before + 1, {"train": {"nc1": "NaN"}})
    first, captured, last = event_log.list_events(store, run_id, 1, 10)
    assert (first.seq, first.at, last.seq) == (2, "2020-01-01T00:00:00.000Z", 4)
    assert captured.payload == {"step": 7, "residual": "-Infinity"}
    assert artifacts.find_row(store, run_id, "geometry", 7).seq == captured.seq == 3
    assert event_log.record_heartbeat(store, run_id, 1, 2.5) == "run"
    row = runs.get(store, run_id)
    assert (row.heartbeat, row.running_s, row.last_seq) == (before + 2, 2.5, 4)


@BOTH
def test_only_the_latest_append_can_be_repeated(store):
    run_id = running(store)
    for number in (1, 2):
        appended = event_log.append(store, run_id, 1, [NewEvent("LogLine", {"text": "x"})], follows=number)
        assert appended.last_seq == number + 1
    assert event_log.append(store, run_id, 1, [NewEvent("LogLine", {"text": "x"})], follows=2).last_seq == 3
    for number in (1, 4):
        with pytest.raises(Fenced):
            event_log.append(store, run_id, 1, [NewEvent("LogLine", {"text": "x"})], follows=number)
    assert runs.get(store, run_id).last_seq == 3


@BOTH
def test_events_are_read_after_a_number_by_type_and_for_many_runs(store):
    run_id, other = running(store), running(store, seed=1)
    for each in (run_id, other):
        event_log.append(store, each, 1, [NewEvent("LogLine", {"text": str(i)}) for i in range(3)])
        event_log.append(store, each, 1, [NewEvent("Resumed", {"epoch": 1, "step": 1})])
    numbers = lambda rows: [row.seq for row in rows]
    assert numbers(event_log.list_events(store, run_id, 2, 2)) == [3, 4]
    assert numbers(event_log.list_events(store, run_id, 0, 10, ["Resumed", "RunQueued"])) == [1, 5]
    assert numbers(event_log.list_newest_events(store, run_id, "LogLine", 2)) == [4, 3]
    assert event_log.find_newest_event(store, run_id, "RunFinished") is None
    # More runs than SQLite allows terms in one statement.
    seqs = {f"none{i}": 0 for i in range(600)} | {run_id: 3, other: 1}
    found = event_log.list_events_of_runs(store, seqs, 2)
    assert {each: numbers(rows) for each, rows in found.items()} == {run_id: [4, 5], other: [2, 3]}


@BOTH
@pytest.mark.parametrize("end", ["RunCancelled", "RunFinished", "Paused", "AttemptFailed"])
def test_an_attempt_that_has_ended_writes_nothing(store, end):
    """Its number is still that of the run's latest attempt."""
    run_id = running(store)
    assert run_attempts.end_attempt(store, run_id, 1, NewEvent(end, {}))
    ended = runs.get(store, run_id)
    assert ended.attempt == 1
    with pytest.raises(Fenced):
        event_log.append(store, run_id, 1, [NewEvent("LogLine", {"text": "late"})], {"epoch": 99})
    assert event_log.record_heartbeat(store, run_id, 1, 5.0) is None
    assert not run_attempts.end_attempt(store, run_id, 1, NewEvent("RunFailed", {"error": "late"}), error="late")
    assert runs.get(store, run_id) == ended


@BOTH
def test_only_one_claimer_wins(store):
    run_id, _ = runs.create(store, tiny())
    assert [run_attempts.claim_run(store, run_id, "cpu") for _ in range(3)] == [1, None, None]


@BOTH
def test_a_file_and_its_event_are_one(store):
    run_id = running(store)
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "scalar": np.array(7)}
    written = artifacts.write(store, run_id, "geometry", 5, 1, arrays, {"note": "x"})
    assert artifacts.find_row(store, run_id, "geometry", 5) is None, "a file without its event is not seen"
    event_log.append(store, run_id, 1, [NewEvent("GeometryCaptured", {"step": 5}, written)])
    loaded = artifacts.read(store, artifacts.find_row(store, run_id, "geometry", 5))
    np.testing.assert_array_equal(loaded.arrays["a"], arrays["a"])
    assert loaded.arrays["scalar"].shape == ()
    assert loaded.state == {"note": "x"}


@BOTH
def test_a_failed_append_leaves_neither_event_nor_row(store):
    run_id = running(store)
    written = artifacts.write(store, run_id, "geometry", 5, 1, {"a": np.zeros(2)})
    with pytest.raises(sa.exc.IntegrityError):
        event_log.append(store, run_id, 1, [NewEvent("A", {}, written), NewEvent("B", {}, written)])
    assert runs.get(store, run_id).last_seq == 1
    assert len(event_log.list_events(store, run_id, 0, 10)) == 1


@BOTH
def test_an_append_that_is_tried_again_is_stored_once(store):
    """As after a connection that broke while it committed: nobody knows whether it did."""
    run_id = running(store)
    lines = [NewEvent("LogLine", {"text": text}) for text in "ab"]
    first = event_log.append(store, run_id, 1, lines, follows=1)
    again = event_log.append(store, run_id, 1, lines, follows=1)
    assert first == again == (3, "run")
    assert [row.type for row in event_log.list_events(store, run_id, 0, 10)] == ["RunQueued", "LogLine", "LogLine"]
    with pytest.raises(Fenced):
        event_log.append(store, run_id, 1, lines, follows=2)


@BOTH
def test_a_damaged_file_is_noticed(store):
    run_id = running(store)
    written = artifacts.write(store, run_id, "checkpoint", 5, 1, {"a": np.zeros(2)})
    event_log.append(store, run_id, 1, [NewEvent("CheckpointSaved", {"epoch": 1}, written)])
    path = store.data_dir / written.path
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    row = artifacts.find_row(store, run_id, "checkpoint", 5)
    assert artifacts.read(store, row) is None
    path.unlink()
    assert artifacts.read(store, row) is None


@BOTH
def test_of_many_readings_some_are_returned_evenly(store):
    run_id = running(store)
    for i in range(100):
        with store.writing() as connection:
            values = {"run_id": run_id, "attempt": 1, "at": f"2026-01-01T00:{i:02}:00.000Z", "cpu_percent": float(i)}
            connection.execute(reading.insert().values(**values, memory_bytes=2**33 + i))
    assert len(run_attempts.list_resource_samples(store, run_id, 100)) == 100
    some = run_attempts.list_resource_samples(store, run_id, 10)
    assert [row.cpu_percent for row in some] == [9.0 + 10 * i for i in range(10)], "the newest is among them"
    assert some[-1].memory_bytes == 2**33 + 99


def test_paths_stay_inside_the_data_directory(store):
    for path in ("../outside", "/etc/passwd", "runs/../../x"):
        with pytest.raises(Unusable, match="outside the data directory"):
            artifacts.resolve_path(store, path)


@BOTH
def test_nan_and_infinity_survive(store):
    run_id = running(store)
    values = {"scalars": {"train": {"nc1": float("nan"), "loss": float("inf"), "top1": 0.5, "nc3": -float("inf")}}}
    event_log.append(store, run_id, 1, [NewEvent("EpochMeasured", values)], {"summary": values["scalars"]})
    stored = event_log.find_newest_event(store, run_id, "EpochMeasured").payload["scalars"]["train"]
    assert stored == {"nc1": "NaN", "loss": "Infinity", "top1": 0.5, "nc3": "-Infinity"}
    assert runs.get(store, run_id).summary["train"]["nc1"] == "NaN"


def test_a_database_of_a_newer_version_is_refused(tmp_path):
    store = open_store(tmp_path)
    with store.writing() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()
    with pytest.raises(Unusable, match="newer version of Collapse Lab \\(schema 9999"):
        open_store(tmp_path)


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "collapse.db").write_bytes(b"this is a letter, not a database, and long enough to look at" * 50)
    with pytest.raises(Unusable, match="cannot be read"):
        open_store(tmp_path)


@BOTH
def test_the_schema_is_what_the_models_say(store):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from backend.store.models import metadata

    with store.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_data_directory_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Unusable, match=r"is a file; a data directory is needed: choose another with --data"):
        open_store(tmp_path / "file" / "data")


def test_a_full_disk_is_refused(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _path: usage(10**9, 10**9, 1000))
    with pytest.raises(Unusable, match="0 MiB free and needs 64 MiB"):
        open_store(tmp_path)
    assert not (tmp_path / "collapse.db").exists()


def test_one_server_a_data_directory(tmp_path):
    holder = (
        "import sys, time; from pathlib import Path; from backend.store.data_directory import hold_server_lock\n"
        "with hold_server_lock(Path(sys.argv[1]), 'http://127.0.0.1:1'): print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", holder, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        assert data_directory.read_server_lock(tmp_path) == {"pid": process.pid, "url": "http://127.0.0.1:1"}
        with (
            pytest.raises(Unusable, match=rf"pid {process.pid}, http://127\.0\.0\.1:1"),
            data_directory.hold_server_lock(tmp_path, "x"),
        ):
            pass
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert data_directory.read_server_lock(tmp_path) is None, "the kernel drops the lock of a killed server"
    with data_directory.hold_server_lock(tmp_path, "x"):
        pass


def test_sqlite_is_set_up_for_writers(store):
    with store.reading() as connection:
        answers = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "foreign_keys")
        }
        version = connection.exec_driver_sql("SELECT sqlite_version()").scalar()
    assert answers == {"journal_mode": "wal", "foreign_keys": 1}
    assert tuple(int(part) for part in version.split(".")) >= (3, 51, 3)
    with pytest.raises(sa.exc.IntegrityError), store.writing() as connection:
        connection.execute(event.insert().values(run_id="none", seq=1, type="x", at="", payload={}))
