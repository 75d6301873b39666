"""A database that disappears under a running server: deleted, moved, replaced, read-only, of a newer schema.

It is noticed, new runs are refused, the page says what to do, and workers lose no fact.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import httpx2
import pytest
import sqlalchemy as sa
from playwright.sync_api import expect

from backend.jobs.database_monitor import DatabaseMonitor
from backend.jobs.heartbeat import Heartbeat
from backend.jobs.outbox import AttemptEnd, EventBatch, Outbox
from backend.jobs.processes import read_boot_id
from backend.store import event_log, run_attempts, run_folders, runs
from backend.store.database import open_store
from backend.store.database_file import DatabaseGone
from backend.store.errors import Fenced
from backend.store.event_log import NewEvent
from backend.store.identity import read_machine_id
from tests.conftest import BOTH
from tests.faults.harness import LONG, owner, require_whole, supervising, wait_epoch, wait_status
from tests.harness import COLLAPSE, end_workers_of, record_here, tiny, wait_for

QUIET = ("--no-demonstration", "--no-warm", "--min-free", "0")
NOTICED_S = 2.0


def launch(http, **config):
    return http.post("/api/v1/runs", json={"config": tiny(device="cpu", **config).model_dump(mode="json")})


def ready(server):
    return httpx2.get(f"{server.url}/readyz").status_code == 200


def problem(http):
    (found,) = http.get("/api/v1/readiness").json()["problems"]
    return found


@pytest.fixture
def served(start_server):
    """A server with a run under way that has measured an epoch."""
    server = start_server(*QUIET)
    with server.client() as http:
        run_id = launch(http, epochs=LONG).json()["id"]
        wait_for(lambda: http.get(f"/api/v1/runs/{run_id}").json()["epoch"] >= 2, what="two epochs")
        yield server, http, run_id


def undelivered(server, run_id):
    return [path for path in (server.data / "runs" / run_id).glob("undelivered-a*.jsonl") if path.stat().st_size]


def files(folder):
    return [path for path in (folder / f"collapse.db{suffix}" for suffix in ("", "-wal", "-shm")) if path.exists()]


def require_refused(server, http, words):
    """Within two seconds nothing new is taken, and everybody is told what happened."""
    wait_for(lambda: not ready(server), NOTICED_S + 1, "readiness being false")
    answer = launch(http, epochs=1)
    assert answer.status_code == 503, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    wait_for(lambda: words in problem(http), 5, words)
    wait_for(lambda: words in (server.data / "server.log").read_text(), 5, "a line in the log")
    assert str(server.data) not in httpx2.get(f"{server.url}/readyz").text, "paths are for those with a token"


@pytest.fixture
def page(browser):
    """A page of its own, with a session of its own."""
    opened = browser.new_page()
    yield opened
    opened.close()


def banner(page):
    return page.locator('[data-part="server-problem"]')


def test_a_deleted_database_is_noticed_saved_and_restored(served, page, start_server):
    server, http, run_id = served
    page.goto(f"{server.url}/runs/{run_id}?token={server.token}")
    for path in files(server.data):
        path.unlink()
    require_refused(server, http, "was removed or moved while it was in use")
    wait_for(lambda: "Its content was saved" in problem(http), 10, "the content being saved")
    (rescued,) = server.data.glob("collapse-rescued-*.db")
    expect(banner(page)).to_contain_text("Its content was saved", timeout=30_000)
    wait_for(lambda: undelivered(server, run_id), 30, "facts in the local file")
    assert not (server.data / "collapse.db").exists(), "nothing makes an empty one in its place"
    server.stop()
    line = [COLLAPSE, "store", "restore", rescued, "--yes", "--data", server.data]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert ready(start_server(*QUIET, data=server.data))
    with closing(open_store(server.data)) as store:
        wait_status(store, run_id, "finished", seconds=120)
        assert runs.get(store, run_id).attempt == 1, "the worker went on meanwhile"
        require_whole(store, run_id)
    assert not undelivered(server, run_id)


def test_a_moved_database_that_comes_back_lacks_nothing(served, page):
    server, http, run_id = served
    page.goto(f"{server.url}/?token={server.token}")
    away = server.data / "away"
    away.mkdir()
    # The file alone: what its log holds stays beside its old place, as somebody who knows one file of it would do.
    (server.data / "collapse.db").rename(away / "collapse.db")
    require_refused(server, http, "was removed or moved while it was in use")
    expect(banner(page)).to_contain_text("was removed or moved", timeout=30_000)
    wait_for(lambda: undelivered(server, run_id), 30, "facts in the local file")
    (away / "collapse.db").rename(server.data / "collapse.db")
    wait_for(lambda: ready(server), 10, "readiness")
    expect(banner(page)).to_be_hidden(timeout=30_000)
    assert launch(http, epochs=1).status_code == 201
    wait_for(lambda: http.get(f"/api/v1/runs/{run_id}").json()["status"] == "finished", 120, "the end")
    with closing(open_store(server.data)) as store:
        assert runs.get(store, run_id).attempt == 1
        require_whole(store, run_id)


def test_a_replaced_database_of_another_store_is_refused(served, tmp_path):
    server, http, run_id = served
    open_store(tmp_path / "other").close()
    for path in files(server.data):
        path.rename(path.with_name(f"kept-{path.name}"))
    shutil.copy(tmp_path / "other" / "collapse.db", server.data / "collapse.db")
    require_refused(server, http, "was replaced by another one, and it belongs to store")
    assert http.get(f"/api/v1/runs/{run_id}").status_code == 503, "another store's runs are not shown as this one's"
    with closing(sqlite3.connect(server.data / "collapse.db")) as other:
        assert other.execute("SELECT count(*) FROM run").fetchone() == (0,), "nothing was written into it"
    for path in files(server.data):
        path.unlink()
    for path in list(server.data.glob("kept-*")):
        path.rename(server.data / path.name.removeprefix("kept-"))
    wait_for(lambda: ready(server), 10, "readiness")
    wait_for(lambda: http.get(f"/api/v1/runs/{run_id}").json()["status"] == "finished", 120, "the end")
    with closing(open_store(server.data)) as store:
        require_whole(store, run_id)


def test_a_copy_of_the_same_store_in_its_place_is_used(start_server):
    """As after a restore of yesterday's copy under a running server."""
    server = start_server(*QUIET)
    with server.client() as http:
        first = launch(http, epochs=1).json()["id"]
        wait_for(lambda: http.get(f"/api/v1/runs/{first}").json()["status"] == "finished", 60, "the end")
        with closing(open_store(server.data)) as store, store.engine.connect() as connection:
            connection.exec_driver_sql("ROLLBACK")
            connection.exec_driver_sql("VACUUM INTO ?", (str(server.data / "copy.db"),))
        for path in files(server.data):
            path.unlink()
        (server.data / "copy.db").rename(server.data / "collapse.db")
        wait_for(lambda: ready(server), 10, "readiness")
        second = launch(http, epochs=1).json()["id"]
        with http.stream("GET", f"/api/v1/stream?runs={second}") as answer:
            seen = iter(answer.iter_lines())
            assert any(line == "event: RunFinished" for line in seen), "the stream follows the copy"
    with closing(sqlite3.connect(server.data / "collapse.db")) as held:
        assert {row[0] for row in held.execute("SELECT id FROM run")} == {first, second}


def test_a_database_of_a_newer_schema_is_noticed(served):
    server, http, _ = served
    with closing(sqlite3.connect(server.data / "collapse.db", timeout=30)) as newer:
        newer.execute("UPDATE alembic_version SET version_num = '9999'")
        newer.commit()
        require_refused(server, http, "schema 9999, which this one does not know")
        newer.execute("UPDATE alembic_version SET version_num = '0003'")
        newer.commit()
    wait_for(lambda: ready(server), 10, "readiness")
    assert launch(http, epochs=1).status_code == 201


class FaultyDisk:
    """A small ext4 disk that turns read-only as one with a fault does; one must be root to have it."""

    def __init__(self, folder):
        self.place, self._image = folder / "disk", folder / "disk.img"
        self.place.mkdir()
        with self._image.open("wb") as stream:
            stream.truncate(64 * 2**20)
        self.is_there = self._run("mkfs.ext4", "-q", "-F", str(self._image)) and self.mount()

    @staticmethod
    def _run(*words):
        try:
            return subprocess.run(words, capture_output=True, check=False).returncode == 0
        except FileNotFoundError:
            return False

    def mount(self):
        return self._run("mount", "-o", "loop,errors=remount-ro", str(self._image), str(self.place))

    def fail(self):
        os.sync()  # what the disk has not written yet is lost with the fault
        line = ["findmnt", "-no", "SOURCE", str(self.place)]
        device = subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip()
        trigger = Path("/sys/fs/ext4") / Path(device).name / "trigger_fs_error"
        trigger.write_text("1")

    def mend(self):
        self.unmount()
        self._run("e2fsck", "-y", str(self._image))
        assert self.mount()

    def unmount(self):
        self._run("umount", str(self.place)) or self._run("umount", "-l", str(self.place))


@pytest.fixture
def disk(tmp_path):
    faulty = FaultyDisk(tmp_path)
    if not faulty.is_there:
        pytest.skip("a disk with a file system can be made by root alone")
    yield faulty
    faulty.unmount()


def test_a_disk_that_can_only_be_read_is_noticed(disk, start_server):
    url = f"sqlite:///{disk.place / 'collapse.db'}"
    server = start_server(*QUIET, "--database-url", url)
    with server.client() as http:
        run_id = launch(http, epochs=LONG).json()["id"]
        wait_for(lambda: http.get(f"/api/v1/runs/{run_id}").json()["epoch"] >= 2, what="two epochs")
        disk.fail()
        require_refused(server, http, "can only be read; make it writable again")
        wait_for(lambda: undelivered(server, run_id), 30, "facts in the local file")
    server.stop()
    end_workers_of(server.data)
    disk.mend()
    second = start_server(*QUIET, "--database-url", url, data=server.data)
    with second.client() as http:
        wait_for(lambda: http.get("/api/v1/readiness").json()["ready"], 20, "readiness")
    with closing(open_store(server.data, url)) as store:
        # What the disk lost with its fault, the next attempt does again; the local file stays where it does not follow.
        wait_status(store, run_id, "finished", seconds=120)
        require_whole(store, run_id)


# ── the worker's local file ─────────────────────────────────────────────────────────────────────────────────────────


@BOTH
def test_what_was_kept_is_delivered_once_and_in_order(store):
    run_id, _ = runs.create(store, tiny())
    number = run_attempts.claim_run(store, run_id, "cpu")
    run_folders.register(store, run_id)
    (store.data_dir / "runs" / run_id).mkdir(parents=True)
    outbox = Outbox(store, run_id, number)
    first = EventBatch(1, [NewEvent("LogLine", {"text": "a"}), NewEvent("LogLine", {"text": "b"})], {"epoch": 3})
    second = EventBatch(3, [NewEvent("LogLine", {"text": "c"})], {"summary": {"train": {"nc1": float("nan")}}})
    end = EventBatch(4, ending=AttemptEnd(NewEvent("RunCancelled", {"epoch": 3})))
    for batch in (first, second, end):
        outbox.append(batch)
    assert not outbox.is_empty()
    first.store(store, run_id, number)  # a delivery that was cut off after its first batch
    with outbox.path.open("ab") as stream:
        stream.write(b'{"follows": 5, "entr')  # a worker that was killed while it wrote
    outbox.deliver()
    rows = event_log.list_events(store, run_id, 1, 100)
    assert [row.payload.get("text") for row in rows] == ["a", "b", "c", None]
    row = runs.get(store, run_id)
    assert (row.status, row.epoch, row.summary) == ("cancelled", 3, {"train": {"nc1": "NaN"}})
    assert outbox.is_empty()
    outbox.append(end)
    assert outbox.deliver() is None, "what is stored is not stored again"


@BOTH
def test_what_another_attempt_owns_or_an_older_copy_lacks_is_kept(store):
    run_id, _ = runs.create(store, tiny())
    number = run_attempts.claim_run(store, run_id, "cpu")
    (store.data_dir / "runs" / run_id).mkdir(parents=True)
    outbox = Outbox(store, run_id, number)
    outbox.append(EventBatch(7, [NewEvent("LogLine", {"text": "late"})]))
    with pytest.raises(Fenced, match="the database is an older copy; the file is kept"):
        outbox.deliver()
    assert run_attempts.end_attempt(store, run_id, 1, NewEvent("AttemptFailed", {"attempt": 1, "reason": "test"}))
    assert run_attempts.claim_run(store, run_id, "cpu") == 2
    with pytest.raises(Fenced, match="no longer owns"):
        outbox.deliver()
    assert not outbox.is_empty()
    assert len(event_log.list_events(store, run_id, 0, 100)) == 2


def test_a_worker_killed_while_the_database_was_away_has_its_facts_delivered(store):
    run_id, _ = runs.create(store, tiny(epochs=LONG, device="cpu"))
    database, away = store.data_dir / "collapse.db", store.data_dir / "away.db"
    outbox = store.data_dir / "runs" / run_id / "undelivered-a1.jsonl"
    with supervising(store):
        wait_epoch(store, run_id, 2)
        worker = owner(store, run_id)
        database.rename(away)
        wait_for(lambda: outbox.exists() and outbox.read_text().count("EpochMeasured") >= 2, 60, "epochs in the file")
        worker.signal_group(signal.SIGKILL)
        wait_for(lambda: not worker.is_alive(), 10, "its end")
        kept = outbox.read_text().count('"EpochMeasured"')
        away.rename(database)
        wait_for(lambda: not outbox.exists(), 20, "the delivery")
        assert len([e for e in event_log.list_events(store, run_id, 0, 10_000) if e.type == "EpochMeasured"]) >= kept
        wait_status(store, run_id, "finished", seconds=120)
    require_whole(store, run_id)


def test_a_program_without_a_server_notices_too(store):
    monitor = DatabaseMonitor(store)
    assert monitor.check() == ""
    with pytest.raises(sa.exc.OperationalError), store.engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1 FROM no_such_table")
    (store.data_dir / "collapse.db").unlink()
    with pytest.raises(DatabaseGone, match="was removed or moved"), store.writing():
        pass
    assert "was removed" in monitor.check()
    time.sleep(1.1)
    assert "Its content was saved in" in monitor.check()
    (rescued,) = store.data_dir.glob("collapse-rescued-*.db")
    with closing(sqlite3.connect(rescued)) as saved:
        assert saved.execute("SELECT id FROM store").fetchone() == (store.id,)


def test_a_file_put_beside_another_databases_log_is_not_opened(store):
    """SQLite would play that log into it: the copy that somebody restores by hand would be spoilt."""
    run_id, _ = runs.create(store, tiny())
    backup = store.data_dir / "backup.db"
    with store.engine.connect() as connection:
        connection.exec_driver_sql("ROLLBACK")
        connection.exec_driver_sql("VACUUM INTO ?", (str(backup),))
    later, _ = runs.create(store, tiny(seed=1))
    content = backup.read_bytes()
    database = store.data_dir / "collapse.db"
    database.unlink()
    backup.rename(database)
    assert (store.data_dir / "collapse.db-wal").exists()
    with (
        pytest.raises(DatabaseGone, match="the write-ahead log of the previous file is still beside it"),
        store.reading(),
    ):
        pass
    assert database.read_bytes() == content, "nothing was played into it"
    for suffix in ("-wal", "-shm"):
        (store.data_dir / f"collapse.db{suffix}").unlink()
    wait_for(lambda: store.watch.problem() == "", 5, "its being used")
    assert runs.list_ids(store) == [run_id]
    assert later not in runs.list_ids(store)


def test_what_is_written_while_the_file_is_removed_is_rolled_back(store):
    transaction = store.writing()
    transaction.__enter__().execute(sa.text("UPDATE pulse SET beats = beats + 1"))
    (store.data_dir / "collapse.db").unlink()
    with pytest.raises(DatabaseGone, match="rolled back"):
        transaction.__exit__(None, None, None)


def test_a_worker_refuses_a_newer_schema_too(store):
    run_id, _ = runs.create(store, tiny())
    number = run_attempts.claim_run(store, run_id, "cpu")
    with store.writing() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    heartbeat = Heartbeat(store, run_id, number, 0.0)
    with heartbeat.running():
        wait_for(lambda: "schema 9999" in store.watch.problem(), 10, "its being noticed by the heartbeat")
        with pytest.raises(DatabaseGone, match="schema 9999"):
            event_log.append(store, run_id, number, [NewEvent("LogLine", {"text": "x"})])


def test_a_file_of_kept_events_that_cannot_be_read_holds_no_other_run_up(store):
    broken, _ = runs.create(store, tiny(epochs=2, device="cpu"))
    number = run_attempts.claim_run(store, broken, "cpu")
    gone = subprocess.Popen(["true"])
    identity = {"pid": gone.pid, "process_started": "1", "boot_id": read_boot_id(), "host": read_machine_id()}
    gone.wait()
    run_attempts.record_process(store, broken, number, **identity)
    (store.data_dir / "runs" / broken).mkdir(parents=True)
    path = Outbox(store, broken, number).path
    path.write_text('{"follows": 1, "entr\n{"follows": "x"}\n')
    other, _ = runs.create(store, tiny(epochs=1, device="cpu", seed=1))
    with supervising(store):
        wait_status(store, other, "finished")
        wait_status(store, broken, "finished")
    assert path.exists(), "it is left for people"


def test_a_worker_that_keeps_events_in_its_file_is_no_hung_one(store):
    """Its heartbeat cannot be written, say since a database server takes no more connections from it."""
    run_id, _ = runs.create(store, tiny())
    number = run_attempts.claim_run(store, run_id, "cpu")
    record_here(store, run_id, number)
    (store.data_dir / "runs" / run_id).mkdir(parents=True)
    outbox = Outbox(store, run_id, number)
    with supervising(store, hang_s=2.0):
        for i in range(6):
            outbox.append(EventBatch(1 + i, [NewEvent("LogLine", {"text": str(i)})]))
            time.sleep(1)
        assert runs.get(store, run_id).attempt == 1
        assert runs.get(store, run_id).status == "running"
    outbox.deliver()
    run_attempts.end_attempt(
        store, run_id, number, NewEvent("RunCancelled", {"epoch": 0}, at="2020-01-01T00:00:00.000Z")
    )
    assert runs.get(store, run_id).ended_at == "2020-01-01T00:00:00.000Z", "when it ended, not when that was stored"
