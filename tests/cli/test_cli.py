"""`collapse` as a user types it: a real process each time."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

from backend.store import query, runs
from backend.store.database import open_store
from backend.store.gc import restore
from tests.backend import gc_store
from tests.harness import COLLAPSE, end_workers, tiny, wait_for


def collapse(data, *arguments, expect: int = 0, **environment):
    held = {k: v for k, v in os.environ.items() if not k.startswith("COLLAPSE_")}
    done = subprocess.run(
        [COLLAPSE, *arguments],
        capture_output=True,
        text=True,
        timeout=180,
        env={**held, "COLLAPSE_DATA": str(data), "COLUMNS": "200", **environment},
    )
    assert done.returncode == expect, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture(scope="module")
def config_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "small.json"
    path.write_text(tiny().model_dump_json())
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory, config_file):
    """A data directory with two finished runs, made by the command line without a server."""
    folder = tmp_path_factory.mktemp("cli") / "data"
    done = collapse(folder, "run", str(config_file), "--seeds", "2", "--set", "epochs=2", "--name", "pair")
    assert "2/2" in done.stderr, "progress is shown"
    return folder


def test_runs_lists_what_was_run(data):
    listed = json.loads(collapse(data, "runs", "--json").stdout)
    assert [(run["name"], run["group"], run["status"], run["config"]["seed"]) for run in listed] == [
        ("pair", "pair", "finished", 1),
        ("pair", "pair", "finished", 0),
    ]
    assert listed[0]["summary"]["train"]["nc1"] > 0
    table = collapse(data, "runs").stdout
    assert table.count("finished") == 2
    assert json.loads(collapse(data, "runs", "--json", "--status", "failed").stdout) == []


def test_export_writes_each_format_or_nothing(data, tmp_path):
    run = json.loads(collapse(data, "runs", "--json").stdout)[0]["id"]
    starts = {"pdf": b"%PDF", "svg": b"<?xml", "png": b"\x89PNG", "csv": b"kind,class"}
    for format_, start in starts.items():
        target = tmp_path / f"figure.{format_}"
        collapse(data, "export", run, "geometry", "-o", str(target))
        assert target.read_bytes().startswith(start)
    collapse(data, "export", run, "curves", "--format", "svg", "--keys", "nc1", "-o", str(tmp_path / "named-otherwise"))
    assert b"<svg" in (tmp_path / "named-otherwise").read_bytes()
    before = sorted(tmp_path.iterdir())
    for wrong, words in (
        (("export", "nosuchrun0", "geometry", "-o", "x.pdf"), "there is no run 'nosuchrun0'"),
        (("export", run, "portrait", "-o", "x.pdf"), "must be one of geometry, angles, histogram"),
        (("export", run, "geometry", "-o", "x.docx"), "the format must be one of pdf, svg, eps"),
        (("export", run, "curves", "--keys", "nc9", "-o", "x.pdf"), "there is no metric 'nc9'"),
        (("export", run, "geometry", "--camera", "1,2", "-o", "x.pdf"), "camera must be seven numbers"),
    ):
        done = collapse(data, *wrong[:-1], str(tmp_path / wrong[-1]), expect=2)
        assert words in done.stderr
    assert sorted(tmp_path.iterdir()) == before, "nothing half-written stays"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "nosuchpreset"), "neither a preset nor a file; `collapse presets` lists all presets"),
        (("run", "digit-nearest"), "did you mean 'digits-nearest'?"),
        (("run", "digits-nearest", "--set", "optimizer.lr=0.1"), "did you mean 'optimiser.lr'?"),
        (("run", "digits-nearest", "--set", "epochs"), "--set takes NAME=VALUE"),
        (("run", "digits-nearest", "--set", "epocks=3"), "there is no setting 'epocks'"),
        (("run", "digits-nearest", "--set", "head.delta.x=3"), "there is no setting 'head.delta'"),
        (("run", "digits-nearest", "--set", "backbone.features=4"), "set backbone.features=9"),
        (("run", "digits-nearest", "--set", "batch_size=99999"), "batch_size"),
        (("runs", "--status", "asleep"), "--status must be one of queued"),
        (("runs", "--data", __file__), "test_cli.py is a file; a data directory is needed"),
        (("runs", "--server", "http://127.0.0.1:1", "--token", "x"), "cannot be reached"),
    ],
)
def test_what_is_wrong_is_one_line_with_the_remedy(tmp_path, arguments, words):
    done = collapse(tmp_path / "data", *arguments, expect=2)
    assert words in done.stderr
    assert all(line.startswith("collapse: ") for line in done.stderr.strip().splitlines())


def test_presets_and_the_schema():
    listed = subprocess.run([COLLAPSE, "presets"], capture_output=True, text=True, check=True).stdout
    for name in ("first-light", "digits-nearest", "digits-fixed", "digits-linear", "fashion-nearest"):
        assert f"{name} " in listed
    schema = json.loads(subprocess.run([COLLAPSE, "presets", "--schema"], capture_output=True, check=True).stdout)
    assert "optimiser" in schema["properties"]


def test_help_loads_nothing_heavy():
    code = (
        "import sys; import backend.cli.main\n"
        "heavy = {'torch', 'numpy', 'sqlalchemy', 'fastapi', 'dash', 'pydantic', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_listing_runs_loads_no_arrays_and_no_http():
    code = (
        "import sys; import backend.cli.main, backend.client.store_service, backend.store.query\n"
        "backend.client.store_service.wire.RunWire\n"
        "heavy = {'torch', 'numpy', 'httpx2', 'fastapi', 'dash', 'matplotlib', 'rich.table'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_doctor_says_what_works(data):
    said = collapse(data, "doctor").stdout
    assert "data set fashion-mnist-mini: 5000 training and 1000 test samples" in said
    assert "data set digits: 1442 training and 355 test samples" in said
    assert "ok     server: not running" in said


def test_doctor_says_what_to_do(tmp_path):
    (tmp_path / "collapse.db").write_bytes(b"no database at all, but long enough to be looked at" * 40)
    said = collapse(tmp_path, "doctor", expect=1).stdout
    assert "TO DO  data directory: the database cannot be read" in said


def test_a_run_beside_a_server_is_the_servers(start_server, config_file):
    """`collapse run` on a served data directory: the server's supervisor runs it, so its pages show it live."""
    server = start_server("--no-demonstration", "--no-warm")
    done = collapse(server.data, "run", str(config_file), "--name", "from the terminal")
    assert f"The server at {server.url} runs it" in done.stderr
    with server.client() as http:
        items = http.get("/api/v1/runs").json()["items"]
    assert [(item["name"], item["status"]) for item in items] == [("from the terminal", "finished")]
    through = collapse("/nonexistent", "runs", "--json", "--server", server.url, "--token", server.token)
    assert json.loads(through.stdout)[0]["id"] == items[0]["id"]
    wrong = collapse("/nonexistent", "runs", "--server", server.url, "--token", "wrong", expect=2)
    assert "the token is not this server's" in wrong.stderr


def test_a_run_on_a_remote_server_and_its_figure(start_server, config_file, tmp_path):
    server = start_server("--no-demonstration", "--no-warm")
    access = {"COLLAPSE_SERVER": server.url, "COLLAPSE_TOKEN": server.token}
    collapse("/nonexistent", "run", str(config_file), "--name", "remote", **access)
    run = json.loads(collapse("/nonexistent", "runs", "--json", **access).stdout)[0]
    assert (run["name"], run["status"]) == ("remote", "finished")
    target = tmp_path / "remote.pdf"
    collapse("/nonexistent", "export", run["id"], "angles", "-o", str(target), **access)
    assert target.read_bytes().startswith(b"%PDF")


def test_ctrl_c_stops_the_run_and_keeps_its_numbers(tmp_path, config_file):
    data = tmp_path / "data"
    command = [COLLAPSE, "run", str(config_file), "--set", "epochs=2000", "--data", str(data)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    store = None
    try:
        wait_for((data / "collapse.db").exists, 30, "the store")
        time.sleep(0.5)
        store = open_store(data)
        wait_for(lambda: [row for row in query.list_runs(store).rows if row.epoch >= 1], 60, "an epoch")
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        row = query.list_runs(store).rows[0]
        assert process.returncode == 130
        assert row.status == "cancelled"
        assert row.summary["train"]["nc1"] > 0
        assert "its numbers so far are kept" in errors
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if store is not None:
            end_workers(store)
            store.close()


def test_a_run_moves_to_another_data_directory(data, tmp_path):
    run_id = json.loads(collapse(data, "runs", "--json", "--filter", "seed:1").stdout)[0]["id"]
    file = tmp_path / "run.zip"
    collapse(data, "archive", run_id, "-o", str(file))
    other = tmp_path / "other"
    assert collapse(other, "import", str(file)).stdout == f"run {run_id}\n"
    assert "it was here already" in collapse(other, "import", str(file)).stdout
    assert (
        collapse(other, "runs", "--json").stdout
        == json.dumps(
            [run for run in json.loads(collapse(data, "runs", "--json").stdout) if run["id"] == run_id], indent=2
        )
        + "\n"
    )
    for folder in (data, other):
        pdf = tmp_path / f"{folder.name}.pdf"
        collapse(folder, "export", run_id, "geometry", "-o", str(pdf))
    assert (tmp_path / "other.pdf").read_bytes() == (tmp_path / f"{data.name}.pdf").read_bytes()
    file.write_bytes(file.read_bytes()[:-50])
    assert "no archive of a run" in collapse(tmp_path / "third", "import", str(file), expect=2).stderr
    assert list(tmp_path.glob("*.partial")) == []


def test_a_file_is_written_over_only_when_asked_for(data, tmp_path):
    run_id = json.loads(collapse(data, "runs", "--json").stdout)[0]["id"]
    for command in (("export", run_id, "curves"), ("archive", run_id), ("replay", run_id), ("film", run_id)):
        target = tmp_path / f"{command[0]}.gif"
        target.write_text("of the user")
        refusal = collapse(data, *command, "-o", str(target), expect=2).stderr
        assert f"{target} is there already; say --yes to write over it" in refusal
        assert target.read_text() == "of the user"
    figure = tmp_path / "figure.csv"
    figure.write_text("of the user")
    collapse(data, "export", run_id, "curves", "-o", str(figure), "--yes")
    assert figure.read_text().startswith("epoch,train/nc1")


@pytest.mark.parametrize(("answer", "is_written"), [("n", False), ("y", True)])
def test_somebody_at_a_terminal_is_asked_first(data, tmp_path, answer, is_written):
    run_id = json.loads(collapse(data, "runs", "--json").stdout)[0]["id"]
    target = tmp_path / "figure.csv"
    target.write_text("of the user")
    ours, theirs = os.openpty()
    os.write(ours, f"{answer}\n".encode())
    done = subprocess.run(
        [COLLAPSE, "export", run_id, "curves", "-o", target, "--data", data],
        stdin=theirs,
        capture_output=True,
        text=True,
        timeout=180,
    )
    os.close(ours)
    os.close(theirs)
    assert "is there already; write over it?" in done.stdout
    assert (done.returncode == 0) == is_written
    assert (target.read_text() != "of the user") == is_written


def test_doctor_looks_through_the_store(data, tmp_path):
    assert "2 runs looked through: all is as it should be" in collapse(data, "doctor", "--check").stdout
    run_id = json.loads(collapse(data, "runs", "--json").stdout)[0]["id"]
    collapse(data, "archive", run_id, "-o", str(tmp_path / "run.zip"))
    other = tmp_path / "other"
    collapse(other, "import", str(tmp_path / "run.zip"))
    next((other / "runs" / run_id).glob("geometry*")).unlink()
    store = open_store(other)
    with store.writing() as connection:
        connection.exec_driver_sql("DELETE FROM event WHERE seq = 3")
    store.close()
    found = collapse(other, "doctor", "--check", expect=1).stdout
    assert "event 3 is missing; the next is 4" in found
    assert "is missing: runs/" in found
    assert "3 things are wrong" in found


def checkpoints_in(folder):
    return sorted(path.name for path in (folder / "runs").glob("*/checkpoint-*"))


@pytest.fixture
def copied(data, tmp_path):
    """A directory of its own with one of the runs, and that run's id."""
    run_id = json.loads(collapse(data, "runs", "--json").stdout)[0]["id"]
    collapse(data, "archive", run_id, "-o", str(tmp_path / "run.zip"))
    folder = tmp_path / "other"
    collapse(folder, "import", str(tmp_path / "run.zip"))
    return folder, run_id


def test_clean_up_shows_then_deletes_what_it_showed(copied):
    folder, run_id = copied
    held = checkpoints_in(folder)
    assert len(held) == 2
    for shown in (collapse(folder, "gc"), collapse(folder, "gc", "--dry-run")):
        assert "0.0 MB       0 files can be deleted" in shown.stdout
    shown = collapse(folder, "gc", "--checkpoints").stdout
    assert f"2 × checkpoints of a finished run  {run_id}" in shown
    assert "nothing is removed yet; `collapse gc --delete --plan " in shown
    plan = shown.rpartition("--plan ")[2].partition("`")[0]
    assert checkpoints_in(folder) == held
    assert plan in collapse(folder, "gc", "--plan", plan).stdout, "it is shown again"
    deleted = collapse(folder, "gc", "--delete", "--plan", plan)
    assert "deleted 2 files (" in deleted.stdout
    assert "1/1" in deleted.stderr, "progress is shown"
    assert checkpoints_in(folder) == []
    assert "was used at" in collapse(folder, "gc", "--delete", "--plan", plan, expect=2).stderr
    entry = deleted.stdout.partition("for a week as ")[2].partition(";")[0]
    assert "restored 2 files" in collapse(folder, "gc", "--restore", entry).stdout
    assert checkpoints_in(folder) == held
    # Without a terminal, --delete acts on what it prints.
    assert "deleted 2 files (" in collapse(folder, "gc", "--delete", "--checkpoints").stdout
    assert checkpoints_in(folder) == []


def test_the_trash_is_shown_emptied_and_restored(copied):
    folder, _ = copied
    held = checkpoints_in(folder)
    collapse(folder, "gc", "--delete", "--checkpoints")
    shown = collapse(folder, "gc", "--empty-trash").stdout
    assert "2 files (" in shown
    assert "nothing is removed yet" in shown
    in_the_way = folder / "runs" / copied[1] / held[0]
    in_the_way.write_bytes(b"mine")
    refused = collapse(folder, "gc", "--restore", expect=1).stdout
    assert "another file is in its place, and is not overwritten" in refused
    assert in_the_way.read_bytes() == b"mine"
    assert "removed 1 file (" in collapse(folder, "gc", "--empty-trash", "--delete").stdout
    assert "0 files (0.0 MB) in the trash" in collapse(folder, "gc", "--empty-trash").stdout
    assert list((folder / "trash").iterdir()) == []
    assert "no entry 'nosuch'" in collapse(folder, "gc", "--restore", "nosuch", expect=2).stderr


def test_clean_up_on_a_terminal_asks_first(copied):
    folder, _ = copied
    held = {k: v for k, v in os.environ.items() if not k.startswith("COLLAPSE_")}
    for answer, left in ((b"n\n", 2), (b"y\n", 0)):
        leader, follower = os.openpty()
        os.write(leader, answer)
        done = subprocess.run(
            [COLLAPSE, "gc", "--delete", "--checkpoints"],
            stdin=follower,
            capture_output=True,
            text=True,
            timeout=180,
            env={**held, "COLLAPSE_DATA": str(folder)},
        )
        os.close(leader)
        os.close(follower)
        assert done.returncode == 0, done.stderr
        assert "Delete 2 files (" in done.stdout
        assert ("nothing was removed" in done.stdout) == bool(left)
        assert len(checkpoints_in(folder)) == left


def test_ctrl_c_ends_a_clean_up_between_two_items(tmp_path):
    folder = tmp_path / "data"
    store = open_store(folder)
    for _ in range(20):
        gc_store.finished_run(store)
    before, held = gc_store.files(store), gc_store.rows(store)
    process = subprocess.Popen(
        [COLLAPSE, "gc", "--data", str(folder), "--delete", "--thin-geometry", "2", "--checkpoints"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_for(lambda: list(folder.glob("trash/*/files/runs/*/*")) or process.poll() is not None, 60, "the first file")
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    # It may have been quicker than we were; what is done is consistent either way.
    assert process.returncode in (0, 130), said
    assert "Traceback" not in said
    assert ("stopped; the rest is as it was" in said) == (process.returncode == 130)
    gc_store.require_no_missing_files(store)
    assert restore.restore_entries(store, None).skipped == ()
    assert (gc_store.files(store), gc_store.rows(store)) == (before, held)
    store.close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--dry-run", "--delete"], "give one of them"),
        (["some-entry"], "which only --restore takes"),
        (["--restore", "--delete"], "leave --delete"),
        (["--empty-trash", "--plan", "0" * 16], "leave it out with --empty-trash"),
        (["--plan", "0" * 16, "--checkpoints"], "make a new plan"),
        (["--delete", "--plan", "0" * 16], "preview again"),
    ],
)
def test_options_of_a_clean_up_that_contradict_each_other(data, options, words):
    assert words in collapse(data, "gc", *options, expect=2).stderr


def test_tokens_are_made_and_revoked(data):
    token_id, secret = collapse(data, "token", "create", "a co-author", "--read-only").stdout.split()
    listed = collapse(data, "token", "list").stdout
    assert re.search(r"  read    does not expire  +a co-author$", listed, re.M), listed
    assert secret not in listed
    collapse(data, "token", "revoke", token_id)
    assert "revoked" in collapse(data, "token", "list").stdout
    assert "there is no token" in collapse(data, "token", "revoke", token_id, expect=2).stderr


def test_a_token_has_a_scope_and_an_end(data):
    collapse(data, "token", "create", "for a month", "--scope", "launch", "--expires", "30d")
    day = datetime.now(UTC) + timedelta(days=30)
    listed = collapse(data, "token", "list").stdout
    assert re.search(rf"  launch  expires {day:%Y-%m-%d}T\S+  +for a month$", listed, re.M), listed
    for wrong, words in (
        (("--expires", "yesterday"), "must be such as 30d, 12h, 2w or 2027-01-31"),
        (("--expires", "2020-01-31"), "must be in the future"),
        (("--expires", "0d"), "must be in the future"),
        (("--scope", "all"), "is not one of"),
        (("--read-only", "--scope", "admin"), "exclude each other"),
    ):
        assert words in " ".join(collapse(data, "token", "create", "x", *wrong, expect=2).stderr.split())
    assert collapse(data, "token", "list").stdout == listed


def test_a_grid_is_run_as_a_group(tmp_path, config_file):
    options = ("--grid", "optimiser.lr=0.05,0.1", "--set", "epochs=1", "--name", "rates")
    collapse(tmp_path / "data", "run", str(config_file), *options)
    listed = json.loads(collapse(tmp_path / "data", "runs", "--json", "--sort", "optimiser.lr").stdout)
    assert [(run["config"]["optimiser"]["lr"], run["group"]) for run in listed] == [(0.05, "rates"), (0.1, "rates")]
    wrong = collapse(tmp_path / "data", "run", str(config_file), "--grid", "optimiser.lr=0.1,-1", expect=2)
    assert "combination optimiser.lr=-1 is impossible" in wrong.stderr


def test_runs_are_asked_by_id(tmp_path):
    store = open_store(tmp_path / "data")
    first, second = (runs.create(store, tiny(seed=seed))[0] for seed in (0, 1))
    store.close()
    assert collapse(tmp_path / "data", "pause", first, second).stdout == f"{first}: asked\n{second}: asked\n"
    assert collapse(tmp_path / "data", "resume", first).stdout == f"{first}: asked\n"
    refused = collapse(tmp_path / "data", "retry", first, second, expect=1).stdout
    assert "is queued: only a failed or cancelled run can be retried" in refused
    collapse(tmp_path / "data", "cancel", first, second)
    listed = json.loads(collapse(tmp_path / "data", "runs", "--json").stdout)
    assert [run["status"] for run in listed] == ["cancelled", "cancelled"]


def test_commands_work_through_a_server(start_server, config_file, tmp_path):
    """Tokens, clean-up, archives, diagnostics and presets have one implementation for a directory and a server."""
    server = start_server("--no-demonstration", "--no-warm")
    access = {"COLLAPSE_SERVER": server.url, "COLLAPSE_TOKEN": server.token}
    collapse("/nonexistent", "run", str(config_file), "--name", "remote", **access)
    run_id = json.loads(collapse("/nonexistent", "runs", "--json", **access).stdout)[0]["id"]
    shown = collapse("/nonexistent", "gc", "--checkpoints", **access).stdout
    plan = shown.rpartition("--plan ")[2].partition("`")[0]
    deleted = collapse("/nonexistent", "gc", "--delete", "--plan", plan, **access).stdout
    assert "deleted 2 files (" in deleted
    assert "2 files (" in collapse("/nonexistent", "gc", "--empty-trash", **access).stdout
    assert "restored 2 files" in collapse("/nonexistent", "gc", "--restore", **access).stdout
    assert "restored 0 files" in collapse("/nonexistent", "gc", "--restore", **access).stdout
    made = collapse("/nonexistent", "token", "create", "a co-author", "--expires", "30d", **access).stdout.split()
    assert made[2] == f"{server.url}/?token={made[1]}"
    assert "expires" in collapse("/nonexistent", "token", "list", **access).stdout
    collapse("/nonexistent", "token", "revoke", made[0], **access)
    assert "revoked" in collapse("/nonexistent", "token", "list", **access).stdout
    file = tmp_path / "run.zip"
    collapse("/nonexistent", "archive", run_id, "-o", str(file), **access)
    again = collapse("/nonexistent", "import", str(file), **access).stdout
    assert again == f"run {run_id} (it was here already)\n"
    assert "digits-nearest " in collapse("/nonexistent", "presets", **access).stdout
    assert "data set digits: 1442 training" in collapse("/nonexistent", "doctor", **access).stdout
    assert "without --server" in collapse("/nonexistent", "doctor", "--check", expect=2, **access).stderr
