"""A data directory and its database know each other: pairs that do not match are refused, and nothing changes."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from contextlib import closing

import numpy as np
import pytest
import sqlalchemy as sa

import ncengine as nc
from backend.store import artifacts, attach, event_log, run_attempts, run_folders, run_queue, runs
from backend.store.data_directory import read_marker
from backend.store.database import open_store
from backend.store.errors import Unusable
from backend.store.event_log import NewEvent
from backend.store.models import directory, run_folder
from tests.conftest import BOTH
from tests.harness import COLLAPSE, tiny


def with_files(store, count=2):
    """Make runs with a geometry file each, as a worker does; return their ids."""
    ids = []
    for _ in range(count):
        run_id, _ = runs.create(store, tiny())
        number = run_attempts.claim_run(store, run_id, "cpu")
        run_folders.register(store, run_id)
        written = artifacts.write(store, run_id, "geometry", 1, number, {"a": np.zeros(3)})
        event_log.append(store, run_id, number, [NewEvent("GeometryCaptured", {"step": 1}, written)])
        ids.append(run_id)
    return ids


def snapshot(folder):
    """Return every file below a folder with its content; write-ahead logs and locks left out."""
    return {
        path: path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(("-wal", "-shm", ".lock"))
    }


def url_of(data):
    return f"sqlite:///{data / 'collapse.db'}"


@pytest.fixture
def pair(tmp_path):
    """Two stores, each with two runs and their files."""
    for name in ("a", "b"):
        store = open_store(tmp_path / name)
        with_files(store)
        store.close()
    return tmp_path / "a", tmp_path / "b"


@BOTH
def test_both_carry_the_same_id_and_keep_it(store):
    marker = read_marker(store.data_dir)
    assert (marker.store, marker.directory) == (store.id, store.directory_id)
    assert not marker.pending
    assert "password" not in marker.database
    with closing(open_store(store.data_dir, store.url)) as again:
        assert (again.id, again.directory_id) == (store.id, store.directory_id)


def test_another_stores_database_is_refused_naming_both(pair):
    a, b = pair
    before = snapshot(a), snapshot(b)
    ids = read_marker(a).store, read_marker(b).store
    with pytest.raises(Unusable, match=rf"belongs to store {ids[0]}, and the database .* to store {ids[1]}"):
        open_store(a, url_of(b))
    assert (snapshot(a), snapshot(b)) == before


@pytest.mark.parametrize("command", ["gc", "runs", "doctor --check", "serve --no-open", "import {archive}", "worker"])
def test_no_command_opens_a_pair_that_does_not_match(pair, tmp_path, command):
    a, b = pair
    archive = tmp_path / "run.zip"
    archive.write_bytes(b"")
    before = snapshot(a), snapshot(b)
    words = command.format(archive=archive).split()
    environment = {**os.environ, "COLLAPSE_DATA": str(a), "COLLAPSE_DATABASE_URL": url_of(b)}
    line = [COLLAPSE, *words]
    if command == "worker":
        line = [COLLAPSE.with_name("python"), "-m", "backend.jobs.worker", "someone", "1", "--data", str(a)]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert f"belongs to store {read_marker(a).store}" in done.stdout + done.stderr
    assert (snapshot(a), snapshot(b)) == before


def test_a_notebook_resolves_directory_and_database_as_commands_do(pair, monkeypatch):
    a, b = pair
    monkeypatch.setenv("COLLAPSE_DATA", str(a))
    with closing(open_store(a)) as store:
        run_id = runs.list_ids(store)[0]
    assert nc.load(run_id).runs[0].id == run_id
    monkeypatch.setenv("COLLAPSE_DATABASE_URL", url_of(b))
    with pytest.raises(Unusable, match="to store"):
        nc.load(run_id)
    assert nc.load(run_id, database_url=url_of(a)).runs[0].id == run_id, "what is given wins"


def test_a_forgotten_database_url_makes_no_new_database(cluster, tmp_path):
    url = cluster.database()
    with closing(open_store(tmp_path / "data", url)) as store:
        with_files(store)
    with pytest.raises(Unusable, match=r"its database is not at .*collapse\.db; it was last opened with postgresql"):
        open_store(tmp_path / "data")
    assert not (tmp_path / "data" / "collapse.db").exists()
    open_store(tmp_path / "data", url).close()
    with pytest.raises(Unusable, match="belongs to store"):
        open_store(tmp_path / "data", cluster.database())


@pytest.mark.parametrize("left", ["nothing", "an empty file"])
def test_a_database_that_was_deleted_is_not_made_anew(pair, left):
    a, _ = pair
    for suffix in ("", "-wal", "-shm"):
        (a / f"collapse.db{suffix}").unlink(missing_ok=True)
    if left == "an empty file":
        (a / "collapse.db").touch()
    before = snapshot(a)
    with pytest.raises(Unusable, match="collapse store restore"):
        open_store(a)
    assert snapshot(a) == before


def test_a_store_is_made_only_where_one_is_meant_to_be(tmp_path):
    with pytest.raises(Unusable, match="there is no store in"):
        open_store(tmp_path / "typo", create=False)
    assert not (tmp_path / "typo").exists()
    done = subprocess.run([COLLAPSE, "gc", "--data", tmp_path / "typo"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "there is no store in" in done.stderr
    assert not (tmp_path / "typo").exists()


@pytest.mark.parametrize("name", ["held.db", "odd ?#%20 name.db"])
def test_a_relative_address_means_the_same_file_everywhere(tmp_path, monkeypatch, name):
    """Workers start in the data directory, and a command in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    url = sa.URL.create("sqlite", database=name).render_as_string(hide_password=False)
    with closing(open_store(tmp_path / "data", url)) as store:
        ids = with_files(store, 1)
        monkeypatch.chdir(tmp_path / "data")
        with closing(open_store(tmp_path / "data", store.url)) as again:
            assert runs.list_ids(again) == ids
    assert (tmp_path / name).exists()


def test_files_that_no_database_names_are_refused(pair, tmp_path):
    a, _ = pair
    half = tmp_path / "half"
    shutil.copytree(a / "runs", half / "runs")
    before = snapshot(half)
    with pytest.raises(Unusable, match="holds the files of 2 runs"):
        open_store(half)
    with pytest.raises(Unusable, match=r"holds runs but no store\.json"):
        open_store(half, url_of(a))
    assert snapshot(half) == before


@BOTH
def test_an_empty_directory_joins_by_an_explicit_option(store, tmp_path):
    (held, *_) = with_files(store)
    with pytest.raises(Unusable, match="collapse serve --join"):
        open_store(tmp_path / "second", store.url)
    with closing(open_store(tmp_path / "second", store.url, join=True)) as second:
        assert second.id == store.id
        assert second.directory_id != store.directory_id
        assert run_folders.list_ids(second) == frozenset(), "clean-up there considers nothing of the first"
        row = artifacts.find_row(second, held, "geometry", 1)
        with pytest.raises(Unusable, match=r"in another data directory of this store, .*data"):
            artifacts.read(second, row)
    open_store(tmp_path / "second", store.url).close()


@BOTH
def test_a_run_goes_on_where_its_files_are(store, tmp_path):
    (held, *_) = with_files(store)
    fresh, _ = runs.create(store, tiny())
    assert run_attempts.end_attempt(store, held, 1, NewEvent("AttemptFailed", {"attempt": 1, "reason": "test"}))
    with closing(open_store(tmp_path / "second", store.url, join=True)) as second:
        assert [row.id for row in run_queue.list_startable(second)] == [fresh]
    assert {row.id for row in run_queue.list_startable(store)} == {held, fresh}


FORGET = "DELETE FROM store; DELETE FROM directory; DELETE FROM run_folder;"


def without_ids(data):
    """Make a store as one that was made before stores had ids."""
    (data / "store.json").unlink()
    with closing(sqlite3.connect(data / "collapse.db")) as connection:
        connection.executescript(FORGET)
        connection.execute("UPDATE artifact SET directory_id = NULL")
        connection.commit()


def test_an_older_store_is_adopted_once_where_both_name_the_same_runs(pair):
    a, _ = pair
    without_ids(a)
    with closing(open_store(a)) as store:
        ids = frozenset(runs.list_ids(store))
        assert ids == {path.name for path in (a / "runs").iterdir()} != set()
        assert run_folders.list_ids(store) == ids
        assert all(artifacts.list_rows(store, each, "geometry")[0].directory_id == store.directory_id for each in ids)
        adopted = store.id
    with closing(open_store(a)) as store:
        assert store.id == adopted


@pytest.mark.parametrize("difference", ["other runs", "a folder more", "a folder less"])
def test_an_older_pair_that_names_different_runs_is_not_adopted(pair, difference):
    a, b = pair
    without_ids(a)
    without_ids(b)
    folder = next((a / "runs").iterdir())
    if difference == "a folder more":
        shutil.copytree(folder, a / "runs" / "0123456789")
    if difference == "a folder less":
        shutil.rmtree(folder)
    url = url_of(b) if difference == "other runs" else url_of(a)
    before = snapshot(a), snapshot(b)
    with pytest.raises(Unusable, match="do not name the same runs"):
        open_store(a, url)
    assert (snapshot(a), snapshot(b)) == before


def test_a_start_that_was_interrupted_is_completed(tmp_path):
    open_store(tmp_path).close()
    marker = json.loads((tmp_path / "store.json").read_text())
    for with_id in (True, False):  # killed after, and before, the database had the id
        (tmp_path / "store.json").write_text(json.dumps(marker | {"pending": True}))
        if not with_id:
            with closing(sqlite3.connect(tmp_path / "collapse.db")) as connection:
                connection.execute("DELETE FROM store")
                connection.commit()
        with closing(open_store(tmp_path)) as store:
            assert store.id == marker["store"]
        assert json.loads((tmp_path / "store.json").read_text()) == marker


def test_a_marker_that_cannot_be_read_is_an_error(pair):
    a, _ = pair
    (a / "store.json").write_text("{")
    with pytest.raises(Unusable, match=r"store\.json should say which store"):
        open_store(a)


def test_a_copy_of_a_directory_does_not_share_the_original_database(cluster, tmp_path, pair):
    url = cluster.database()
    with closing(open_store(tmp_path / "data", url)) as store:
        with_files(store)
    shutil.copytree(tmp_path / "data", tmp_path / "copy")
    with pytest.raises(Unusable, match="is a copy of"):
        open_store(tmp_path / "copy", url)
    shutil.rmtree(tmp_path / "data")
    open_store(tmp_path / "copy", url).close()  # moved, not copied
    a, _ = pair
    shutil.copytree(a, tmp_path / "whole copy")
    open_store(tmp_path / "whole copy").close()  # with its own database: a store of its own
    open_store(a).close()


# ── the commands ────────────────────────────────────────────────────────────────────────────────────────────────────


def collapse(*words, data):
    line = [COLLAPSE, *map(str, words), "--data", str(data)]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


def test_attach_shows_both_and_asks(pair):
    a, b = pair
    shown = collapse("store", "show", "--database-url", url_of(b), data=a)
    assert shown.returncode == 1
    assert "0 runs are in both, 2 only in the directory" in shown.stdout
    before = snapshot(a), snapshot(b)
    refused = collapse("store", "attach", "--database-url", url_of(b), data=a)
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    assert (snapshot(a), snapshot(b)) == before
    done = collapse("store", "attach", "--database-url", url_of(b), "--yes", data=a)
    assert done.returncode == 0, done.stderr
    with closing(open_store(a, url_of(b))) as store:
        assert store.id == read_marker(b).store
        assert run_folders.list_ids(store) == frozenset(), "what only the directory names is never cleaned up"
    assert collapse("store", "show", "--database-url", url_of(b), data=a).returncode == 0


def test_a_lost_marker_is_written_again(pair):
    a, _ = pair
    before = read_marker(a)
    (a / "store.json").unlink()
    assert collapse("store", "attach", "--yes", data=a).returncode == 0
    assert read_marker(a) == before


def test_a_copy_of_the_database_takes_its_place(pair):
    a, b = pair
    copy = a / "copy.db"
    with closing(open_store(a)) as store, store.engine.connect() as connection:
        connection.exec_driver_sql("ROLLBACK")
        connection.exec_driver_sql("VACUUM INTO ?", (str(copy),))
    with closing(open_store(a)) as store:
        later, _ = runs.create(store, tiny())
    wrong = collapse("store", "restore", copy, "--yes", data=b)
    assert wrong.returncode == 2
    assert "belongs to store" in wrong.stderr
    assert "1 of them not in the copy" in collapse("store", "restore", copy, data=a).stdout, "it shows, and asks"
    with closing(open_store(a)) as store:
        assert later in runs.list_ids(store)
    done = collapse("store", "restore", copy, "--yes", data=a)
    assert done.returncode == 0, done.stderr
    with closing(open_store(a)) as store:
        assert len(runs.list_ids(store)) == 2
    with closing(sqlite3.connect(a / "collapse-replaced.db")) as kept:
        assert kept.execute("SELECT count(*) FROM run").fetchone() == (3,), "the one that was there is kept"
    again = collapse("store", "restore", a / "collapse-replaced.db", "--yes", data=a)
    assert again.returncode == 0, again.stderr
    with closing(open_store(a)) as store:
        assert later in runs.list_ids(store)
    assert (a / "collapse-replaced-2.db").exists(), "nothing is overwritten"
    assert (a / "collapse.db").stat().st_mode & 0o777 == 0o600, "for its owner alone, as before"


def test_a_damaged_copy_is_refused(pair):
    a, _ = pair
    content = bytearray((a / "collapse.db").read_bytes())
    content[4096:8192] = b"x" * 4096
    (a / "bad.db").write_bytes(content)
    before = snapshot(a)
    done = collapse("store", "restore", a / "bad.db", "--yes", data=a)
    assert done.returncode == 2
    assert snapshot(a) == before


def test_a_copy_from_before_ids_gets_the_directorys(pair):
    a, _ = pair
    store_id = read_marker(a).store
    shutil.copy(a / "collapse.db", a / "old.db")
    with closing(sqlite3.connect(a / "old.db")) as connection:
        connection.executescript(FORGET)
        connection.commit()
    assert collapse("store", "restore", a / "old.db", "--yes", data=a).returncode == 0
    with closing(open_store(a)) as store:
        assert store.id == store_id
        assert run_folders.list_ids(store) == frozenset(runs.list_ids(store))


def test_a_directory_is_told_apart_by_its_row(store, tmp_path):
    with store.reading() as connection:
        (row,) = connection.execute(sa.select(directory)).all()
    assert (row.id, row.path) == (store.directory_id, str(store.data_dir))
    with_files(store, 1)
    with store.reading() as connection:
        (folder,) = connection.execute(sa.select(run_folder)).all()
    assert folder.directory_id == store.directory_id
    plan = attach.plan_attach(store.data_dir, store.url)
    assert not plan.is_needed


OPENER = """
import sys
from pathlib import Path
from backend.store.errors import Unusable
from backend.store.database import open_store
try:
    print(open_store(Path(sys.argv[1]), sys.argv[2]).id)
except Unusable as error:
    print("refused:", error)
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_directories_that_open_a_new_database_at_once_get_one_id(tmp_path, request, kind):
    """Without a lock in the database each of them gave it an id of its own."""
    url = request.getfixturevalue("cluster").database() if kind == "postgresql" else f"sqlite:///{tmp_path / 'one.db'}"
    line = [COLLAPSE.with_name("python"), "-c", OPENER]
    started = [
        subprocess.Popen([*line, str(tmp_path / f"data{i}"), url], stdout=subprocess.PIPE, text=True) for i in range(4)
    ]
    said = [process.communicate(timeout=120)[0].strip() for process in started]
    assert all(process.returncode == 0 for process in started)
    opened = [text for text in said if not text.startswith("refused")]
    assert len(opened) == 1, said
    for refused in set(said) - set(opened):
        assert f"belongs to store {opened[0]}" in refused
        assert "`collapse serve --join`" in refused
    directory_of = tmp_path / f"data{said.index(opened[0])}"
    with closing(open_store(directory_of, url)) as store:
        assert store.id == opened[0]


def test_another_stores_older_database_is_refused_before_its_schema_is_touched(tmp_path, pair):
    from tests.faults.test_storage import at_first_schema

    a, _ = pair
    at_first_schema(tmp_path / "older")
    before = snapshot(a), (tmp_path / "older" / "collapse.db").read_bytes()
    with pytest.raises(Unusable, match="has no store id"):
        open_store(a, url_of(tmp_path / "older"))
    shown = collapse("store", "show", "--database-url", url_of(tmp_path / "older"), data=a)
    assert shown.returncode == 2
    assert "has the older schema 0001" in shown.stderr
    assert (snapshot(a), (tmp_path / "older" / "collapse.db").read_bytes()) == before


@pytest.mark.parametrize("name", ["what?x", "c%20d", "a#b", "with space"])
def test_a_data_directory_may_have_any_name(tmp_path, name):
    with closing(open_store(tmp_path / name)) as store:
        ids = with_files(store, 1)
    with closing(open_store(tmp_path / name)) as store:
        assert runs.list_ids(store) == ids
    assert (tmp_path / name / "collapse.db").stat().st_size > 0
    assert [path.name for path in tmp_path.iterdir()] == [name], "nothing beside it"


def test_what_is_no_copy_is_refused_in_a_sentence(pair):
    a, _ = pair
    missing = collapse("store", "restore", a / "nosuch.db", "--yes", data=a)
    assert missing.returncode == 2
    assert "there is no file" in missing.stderr
    (a / "letter.db").write_bytes(b"this is a letter and no database" * 100)
    letter = collapse("store", "restore", a / "letter.db", "--yes", data=a)
    assert letter.returncode == 2
    assert "name another one" in letter.stderr
    assert (a / "letter.db").read_bytes() == b"this is a letter and no database" * 100
