"""A process that is forked from a prepared parent is one as if it had been started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest

from tests import prepared, repetitions
from tests.harness import COLLAPSE, wait_for

WORKER = [sys.executable, "-P", "-m", "backend.jobs.worker"]

pytestmark = pytest.mark.skipif(
    repetitions.exhaustive or sys.platform != "linux", reason="with --exhaustive, and not on Linux, nothing is forked"
)


def is_forked(process):
    return process._status_fd is not None


def test_a_command_has_its_own_arguments_environment_streams_and_status(tmp_path):
    command = [COLLAPSE, "runs", "--data", tmp_path / "nothing"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert is_forked(process)
        out, errors = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert errors.startswith(f"collapse: there is no store in {tmp_path / 'nothing'}")
    environment = {**os.environ, "COLLAPSE_DATA": str(tmp_path / "other")}
    done = subprocess.run([COLLAPSE, "runs"], env=environment, capture_output=True, text=True)
    assert f"there is no store in {tmp_path / 'other'}" in done.stderr
    done = subprocess.run([COLLAPSE, "runs", "--data", "here"], cwd=tmp_path, capture_output=True, text=True)
    assert "there is no store in" in done.stderr
    assert subprocess.run([COLLAPSE, "--help"], stdout=subprocess.DEVNULL).returncode == 0


def test_a_worker_leads_a_session_shows_its_command_and_waits_for_its_input(tmp_path):
    log = (tmp_path / "log").open("wb")
    command = [*WORKER, "--data", str(tmp_path), "--warm"]
    environment = {**os.environ, **prepared.PARENTS["worker"].environment}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, cwd=tmp_path, start_new_session=True
    ) as process:
        log.close()
        assert is_forked(process)
        assert os.getsid(process.pid) == os.getpgid(process.pid) == process.pid
        seen = psutil.Process(process.pid)
        wait_for(lambda: [word for word in seen.cmdline() if word] == command, what="its command line")
        wait_for(lambda: seen.cwd() == str(tmp_path), what="its directory")
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(60) == 0
    assert (tmp_path / "log").read_text() == ""


def test_a_killed_process_has_the_signal_as_its_status(tmp_path):
    command = [*WORKER, "--data", str(tmp_path), "--warm"]
    environment = {**os.environ, **prepared.PARENTS["worker"].environment}
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as process:
        assert is_forked(process)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.05)
        process.kill()
        assert process.wait(60) == process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "LD_LIBRARY_PATH", "PYTHONPATH"])
def test_a_variable_that_is_read_at_the_start_has_the_process_started(tmp_path, name):
    environment = {**os.environ, name: "3"}
    with subprocess.Popen([COLLAPSE, "--help"], env=environment, stdout=subprocess.DEVNULL) as process:
        assert not is_forked(process)
    assert process.returncode == 0


def test_variables_that_torch_sets_once_it_compiles_change_nothing(monkeypatch):
    for name in ("TORCHINDUCTOR_CACHE_DIR", "KMP_INIT_AT_FORK", "KMP_DUPLICATE_LIB_OK"):
        monkeypatch.setenv(name, "x")
    with subprocess.Popen([COLLAPSE, "--help"], stdout=subprocess.DEVNULL) as process:
        assert is_forked(process)


def test_a_test_of_the_start_itself_has_every_process_started(started_anew):
    with subprocess.Popen([COLLAPSE, "--help"], stdout=subprocess.DEVNULL) as process:
        assert not is_forked(process)
    assert process.returncode == 0
    with subprocess.Popen(["true"]) as process:
        assert not is_forked(process)


def test_only_commands_of_the_project_are_forked():
    assert prepared.order_for(["true"]) is None
    assert prepared.order_for([sys.executable, "-c", "pass"]) is None
    assert prepared.order_for("collapse runs") is None
    assert prepared.order_for([COLLAPSE, "export", "x"]).parent == "figures"
    assert prepared.order_for([*WORKER, "a", "1"]).function == "backend.jobs.worker:main"


def test_a_parent_that_has_ended_says_why(monkeypatch):
    """As after the renaming of a module that it imports; here it has a name that the script does not have."""
    monkeypatch.setenv(prepared.FOLDER, "")  # is put back afterwards
    monkeypatch.setattr(prepared, "PARENTS", {"unknown": prepared.Parent(())})
    monkeypatch.setattr(prepared, "order_for", lambda _: prepared.Order("unknown", "", []))
    monkeypatch.setattr(prepared, "_parents", prepared.Parents())
    try:
        with pytest.raises(RuntimeError, match=r"(?s)'unknown' .* has ended: .*KeyError: 'unknown'"):
            subprocess.run([COLLAPSE, "--help"], stdout=subprocess.DEVNULL)
    finally:
        prepared._parents.close()
