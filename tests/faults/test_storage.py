"""The store under pressure: locked, full, restarted, damaged, half migrated; and what a run prints, takes and is told.

Real files, real processes: a disk of a few megabytes, a database that another process holds, a server that goes away.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import libfaketime
import pytest
import sqlalchemy as sa

from backend.jobs.launcher import DataAccess
from backend.jobs.supervisor import Supervisor
from backend.store import (
    artifacts,
    database,
    event_log,
    integrity,
    migrate,
    query,
    run_actions,
    run_attempts,
    run_queue,
    runs,
)
from backend.store.database import open_store
from backend.store.errors import Unusable
from backend.store.models import run
from ncengine.backbones.small_networks import Mlp
from tests.conftest import SQLITE_FIRST
from tests.faults.harness import LONG, owner, require_whole, status, supervising, wait_epoch, wait_status
from tests.harness import end_workers, tiny, wait_for
from tests.repetitions import exhaustive_except

LOCK = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
time.sleep(float(sys.argv[2]))
connection.execute("COMMIT")
"""


def test_a_database_locked_for_eight_seconds_costs_eight_seconds(store):
    """Longer than the silence after which a worker counts as hung: what holds it up holds the supervisor up too."""
    run_id, _ = runs.create(store, tiny(epochs=LONG, device="cpu"))
    with supervising(store, hang_s=5.0):
        wait_epoch(store, run_id, 2)
        command = [sys.executable, "-c", LOCK, str(store.data_dir / "collapse.db"), "8"]
        holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert holder.stdout.readline() == "locked\n"
        before = runs.get(store, run_id).last_seq
        time.sleep(6)
        assert runs.get(store, run_id).last_seq == before, "nobody writes meanwhile, and everybody reads"
        holder.wait(timeout=20)
        holder.stdout.close()
        wait_status(store, run_id, "finished")
    assert runs.get(store, run_id).attempt == 1
    require_whole(store, run_id)


def test_postgresql_restarted_in_mid_run(cluster, tmp_path):
    store = open_store(tmp_path / "data", cluster.database())
    run_id, _ = runs.create(store, tiny(epochs=100, device="cpu"))
    try:
        with supervising(store):
            wait_epoch(store, run_id, 2)
            for _ in range(2):
                cluster.stop("immediate")
                time.sleep(1)
                cluster.start()
                before = runs.get(store, run_id).epoch
                wait_for(lambda seen=before: runs.get(store, run_id).epoch > seen, 30, "progress")
            wait_status(store, run_id, "finished")
        assert runs.get(store, run_id).attempt == 1, "the worker waited for it"
        require_whole(store, run_id)
    finally:
        end_workers(store)
        store.close()


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 160 MiB, for which one must be root."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", str(place)], check=False)
    if mounted.returncode:
        pytest.skip("a small disk can be mounted by root alone")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("moment", exhaustive_except(["checkpoint", "append"], ["checkpoint"]))
def test_a_full_disk_ends_the_attempt_and_the_run_goes_on_when_there_is_space(small_disk, moment):
    store = open_store(small_disk / "data")
    # A checkpoint of about a megabyte, or one of a few kilobytes among many events.
    width = 256 if moment == "checkpoint" else 16
    config = tiny(epochs=30, device="cpu", backbone=Mlp(features=64, width=width, depth=2))
    run_id, _ = runs.create(store, config)
    ballast = small_disk / "ballast"
    try:
        with supervising(store, min_free_bytes=100 * 2**20) as supervisor:
            wait_epoch(store, run_id, 2)
            with contextlib.suppress(OSError), ballast.open("wb") as stream:
                left = 300_000 if moment == "checkpoint" else 0
                stream.write(b"x" * (shutil.disk_usage(small_disk).free - left))
            wait_for(
                lambda: owner(store, run_id) is None or not owner(store, run_id).is_alive(), 60, "the worker's end"
            )
            wait_for(lambda: supervisor.is_disk_full or status(store, run_id) == "running", 20, "its being noticed")
            time.sleep(2)
            ballast.unlink()
            wait_status(store, run_id, "finished", seconds=120)
            assert not supervisor.is_disk_full
        require_whole(store, run_id)
        first = run_attempts.list_attempts(store, run_id)[0]
        assert "the disk of the data directory is full" in first.outcome or "status 1" in first.outcome
    finally:
        end_workers(store)
        store.close()


def test_queued_runs_wait_while_the_disk_is_nearly_full(store, monkeypatch):
    run_id, _ = runs.create(store, tiny(epochs=1, device="cpu"))
    free = shutil.disk_usage(store.data_dir).free
    with supervising(store, min_free_bytes=2 * free) as supervisor:
        wait_for(lambda: supervisor.is_disk_full, 10, "the watermark")
        time.sleep(1)
        assert status(store, run_id) == "queued"
        supervisor.limits = type(supervisor.limits)(slots=supervisor.limits.slots, min_free_bytes=0)
        wait_status(store, run_id, "finished")
    require_whole(store, run_id)


def test_a_memory_limit_says_out_of_memory(store):
    """The limit of the process, as an operator sets it for all workers; weights fit, their gradients do not."""
    hungry = tiny(epochs=1, device="cpu", batch_size=1400, backbone=Mlp(features=8192, width=8192, depth=5))
    run_id, _ = runs.create(store, hungry)
    supervisor = Supervisor(store, warm=False, data_access=DataAccess(memory_bytes=3 * 2**30))
    supervisor.start()
    try:
        wait_status(store, run_id, "failed")
    finally:
        supervisor.close()
    row = runs.get(store, run_id)
    assert row.error.startswith("out of memory: ")
    assert "smaller backbone" in row.error
    assert row.attempt == 1
    require_whole(store, run_id, finished=False)


@pytest.mark.parametrize("damage", exhaustive_except(["cut short", "one bit", "gone"], ["one bit"]))
def test_a_damaged_checkpoint_falls_back_to_the_one_before(store, damage):
    run_id, _ = runs.create(store, tiny(epochs=5, device="cpu"))
    with supervising(store):
        wait_epoch(store, run_id, 3)
        run_actions.request_cancel(store, run_id)
        wait_status(store, run_id, "cancelled")
        path = store.data_dir / artifacts.list_rows(store, run_id, "checkpoint")[0].path
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        if damage == "gone":
            path.unlink()
        else:
            path.write_bytes(content if damage == "one bit" else content[:-10])
        words = {"cut short": "bytes and should have", "one bit": "hash differs", "gone": "is missing"}[damage]
        assert [words in problem.description for problem in integrity.find_problems(store)] == [True], (
            "the doctor sees it too"
        )
        run_actions.retry(store, run_id)
        wait_status(store, run_id, "finished")
    lines = [e.payload["text"] for e in event_log.list_events(store, run_id, 0, 10_000, ["LogLine"])]
    assert any("falling back to the one before" in line for line in lines)
    assert path.exists() == (damage != "gone"), "what can be saved of it stays"
    require_whole(store, run_id)


def test_the_wall_clock_may_jump_a_day_either_way(store, tmp_path, monkeypatch):
    """The workers' clock alone, so that the supervisor's stands still beside it; neither measures time by it."""
    library = next(Path(libfaketime.__file__).parent.rglob("libfaketime.so.1"))
    shift = tmp_path / "shift"
    shift.write_text("+0")
    for name, value in {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(shift),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }.items():
        monkeypatch.setenv(name, value)
    first, _ = runs.create(store, tiny(epochs=30, device="cpu"))
    with supervising(store, hang_s=30.0):  # less than a day, and more than a busy machine takes
        for epoch, jump in ((2, "+1d"), (6, "-1d"), (10, "+1d")):
            wait_epoch(store, first, epoch)
            shift.write_text(jump)
        wait_status(store, first, "finished")
        second, _ = runs.create(store, tiny(epochs=1, device="cpu"))
        wait_status(store, second, "finished")
    assert runs.get(store, first).attempt == 1
    days = {event.at[:10] for event in event_log.list_events(store, first, 0, 100_000)}
    assert len(days) >= 3, "the clock did jump"
    require_whole(store, first)
    require_whole(store, second)


FLOOD = """
import os, sys, threading
if any("backend.jobs.worker" in part for part in sys.orig_argv):
    def flood():
        line = b"a native library complains, again and again" * 25 + b"\\n"
        for _ in range(100 * 2**20 // len(line)):
            os.write(2, line)
        os.write(2, b"the last line\\n")
    threading.Timer(2.0, flood).start()
"""


def test_a_flood_of_a_hundred_megabytes_on_stderr_leaves_a_short_log(store, tmp_path, monkeypatch):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(FLOOD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    run_id, _ = runs.create(store, tiny(epochs=60, device="cpu"))
    with supervising(store):
        log = artifacts.worker_log_path(store, run_id)
        wait_for(lambda: log.exists() and "the last line" in log.read_text()[-100_000:], 240, "the flood")
        wait_status(store, run_id, "finished")
    assert log.stat().st_size < 9 * 2**20
    assert "earlier lines were left out" in log.read_text()[:200]
    require_whole(store, run_id)


# ── migrations ──────────────────────────────────────────────────────────────────────────────────────────────────────


def at_first_schema(data, url=None):
    """Make a database as the first version made it, with two runs."""
    from alembic import command
    from alembic.config import Config

    data.mkdir(parents=True)
    (data / "collapse.db").touch()
    engine = database.make_engine(url or f"sqlite:///{data / 'collapse.db'}")
    config = Config()
    config.set_main_option("script_location", str(migrate.MIGRATIONS))
    with engine.connect().execution_options(collapse_write=True) as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    table = sa.Table("run", sa.MetaData(), autoload_with=engine)
    with engine.connect().execution_options(collapse_write=True) as connection, connection.begin():
        for i, created in enumerate(("2026-01-02", "2026-01-01")):
            held = tiny(seed=i)
            row = {"id": f"old{i}", "name": f"n{i}", "status": "queued", "tags": [], "created_at": created}
            row |= {"config": held.model_dump(mode="json"), "config_hash": held.hash(), "code_version": "0.1"}
            row |= {"summary": {"train": {"nc1": 0.25, "vci": 1.0}}, "last_seq": 1}
            connection.execute(table.insert().values(**row))
            connection.execute(
                sa.text("INSERT INTO event VALUES (:run, 1, 'RunQueued', '2026', '{}')"), {"run": f"old{i}"}
            )
    engine.dispose()


@SQLITE_FIRST
def test_a_run_that_goes_on_is_whole_whenever_one_looks(store):
    run_id, _ = runs.create(store, tiny(epochs=LONG, device="cpu"))
    looks = 0
    with supervising(store):
        wait_epoch(store, run_id, 1)
        while status(store, run_id) != "finished":
            assert list(integrity.find_problems(store)) == []
            looks += 1
    assert looks > 10
    last = runs.get(store, run_id).last_seq
    for wrong in (last - 1, last + 1):
        with store.writing() as connection:
            connection.execute(sa.update(run).where(run.c.id == run_id).values(last_seq=wrong))
        assert [problem.description for problem in integrity.find_problems(store)] == [
            f"the last event of the run is {last}, and its row has {wrong}"
        ]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_an_old_database_is_copied_and_brought_forward(tmp_path, request, kind):
    url = request.getfixturevalue("cluster").database() if kind == "postgresql" else None
    at_first_schema(tmp_path / "data", url)
    store = open_store(tmp_path / "data", url)
    try:
        assert [row.id for row in run_queue.list_startable(store)] == ["old1", "old0"], "the order in which they came"
        assert query.list_runs(store, q="nc1<0.3").total == 2
        assert list(integrity.find_problems(store)) == []
        if kind == "sqlite":
            with contextlib.closing(sqlite3.connect(tmp_path / "data" / "collapse-before-0003.db")) as old:
                assert old.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
                assert old.execute("SELECT count(*) FROM run").fetchone() == (2,)
        else:
            with store.reading() as connection:
                kept = connection.exec_driver_sql("SELECT count(*) FROM collapse_before_0003.run").scalar()
            assert kept == 2
    finally:
        store.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_migration_that_fails_leaves_the_old_database_as_it_was(tmp_path, request, monkeypatch, kind):
    url = request.getfixturevalue("cluster").database() if kind == "postgresql" else None
    at_first_schema(tmp_path / "data", url)
    broken = tmp_path / "migrations"
    shutil.copytree(migrate.MIGRATIONS, broken, ignore=shutil.ignore_patterns("__pycache__"))
    file = broken / "versions" / "0002_jobs.py"
    with file.open("a") as stream:
        stream.write('    op.execute(sa.text("INSERT INTO no_such_table VALUES (1)"))\n')
    monkeypatch.setattr(migrate, "MIGRATIONS", broken)
    for _ in range(2):
        with pytest.raises(Unusable, match=r"left as it was .*no_such_table.* a copy made before is"):
            open_store(tmp_path / "data", url)
    monkeypatch.undo()
    engine = database.make_engine(url or f"sqlite:///{tmp_path / 'data' / 'collapse.db'}")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == "0001"
        assert not sa.inspect(connection).has_table("token")
        assert "priority" not in {column["name"] for column in sa.inspect(connection).get_columns("run")}
    engine.dispose()
    store = open_store(tmp_path / "data", url)
    assert [row.id for row in run_queue.list_startable(store)] == ["old1", "old0"], (
        "the mended version brings it forward"
    )
    store.close()


def test_two_programs_that_open_an_old_database_at_once(tmp_path):
    at_first_schema(tmp_path / "data")
    code = "import sys, pathlib; from backend.store.database import open_store; open_store(pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-c", code, str(tmp_path / "data")]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, env=os.environ.copy()) for _ in range(4)]
    for process in started:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()
    store = open_store(tmp_path / "data")
    assert query.list_runs(store).total == 2
    store.close()


def test_a_worker_waits_for_a_database_that_comes_back(store, monkeypatch):
    """`retry` raises errors that waiting cannot resolve at once, and others only at its deadline."""
    from backend.jobs.outbox import retry

    tries = []

    def sometimes():
        tries.append(1)
        if len(tries) < 3:
            raise sa.exc.OperationalError("UPDATE", {}, Exception("database is locked"))
        return "done"

    assert retry(sometimes) == "done"

    def full():
        raise sa.exc.OperationalError("INSERT", {}, Exception("database or disk is full"))

    with pytest.raises(sa.exc.OperationalError, match="disk is full"):
        retry(full)
