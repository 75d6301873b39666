"""Every command and every piece of Python of the README and the guide is run; every picture and link is there."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.harness import wait_for

ROOT = Path(__file__).resolve().parents[2]
GUIDE = [ROOT / "docs/guide" / f"{name}.md" for name in ("runs", "figures", "library", "data", "studies", "server")]
"""In the order in which they are read: later pages use runs of earlier ones."""
EXECUTED = [ROOT / "README.md", *GUIDE]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(ROOT.glob("docs/**/*.md")),
    *sorted(ROOT.glob("*/README.md")),
    *sorted(ROOT.glob("benchmarks/results/*.md")),
]
MAX_README_LINES = 150


def blocks(language: str) -> list[str]:
    """Return the code blocks of the README and the guide in a language."""
    text = "\n".join(document.read_text() for document in EXECUTED)
    return re.findall(rf"```{language}\n(.+?)```", text, re.S)


COMMANDS = [line for block in blocks("sh") for line in block.strip().splitlines()]
ELSEWHERE = ("make ", "ssh ", "docker ")
"""Beginnings of commands with tests of their own: they start a server, leave this machine, or need a container."""


def test_the_readme_is_short_and_the_guide_is_all_of_its_folder():
    assert len((ROOT / "README.md").read_text().splitlines()) <= MAX_README_LINES
    assert set(GUIDE) == set((ROOT / "docs/guide").glob("*.md"))


def test_the_commands_of_the_terminal_work_in_order(tmp_path):
    lines = [line for line in COMMANDS if not line.startswith(ELSEWHERE)]
    assert any(line.startswith("collapse run ") for line in lines)
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parents[1])
    environment = {**os.environ, "COLLAPSE_DATA": str(tmp_path / "data")}
    made = [block for block in blocks("python") if "np.savez" in block]
    subprocess.run([sys.executable, "-c", "\n".join(made)], cwd=tmp_path, check=True, timeout=60)
    script = "set -euo pipefail\n" + "\n".join(lines)
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=540
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "geometry.pdf").read_bytes().startswith(b"%PDF")
    assert "<svg" in (tmp_path / "angles.svg").read_text()
    assert (tmp_path / "curves.csv").read_text().startswith("epoch,train/nc1,test/nc1,train/nc3,test/nc3,train/top1")
    assert (tmp_path / "epochs-again.pdf").read_bytes() == (tmp_path / "epochs.pdf").read_bytes()
    assert r"\toprule" in (tmp_path / "finals.tex").read_text()
    assert "finished" in done.stdout


def test_the_python_works_in_order(tmp_path):
    code = "\n".join(blocks("python"))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=540
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert len(said) == 7, "three measurements, two epochs, and a run resumed after its end"
    assert said[-2:] == ["Resumed", "RunFinished"]


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("make ")])
def test_the_make_targets_exist(line):
    done = subprocess.run(["make", "-n", *line.split()[1:]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_make_run_serves_and_ctrl_c_stops_it_cleanly(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "COLLAPSE_DATA": str(tmp_path / "data"), "COLLAPSE_PORT": str(port)}
    command = ["make", "run", "SITE=", "RUN_ARGS=--no-open --no-demonstration --no-warm"]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:

        def healthy() -> bool:
            try:
                return httpx2.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
            except httpx2.TransportError:
                return False

        wait_for(healthy, 60, "the server")
    finally:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal's Ctrl-C does
        printed, _ = process.communicate(timeout=30)
    assert f"http://127.0.0.1:{port}/?token=".encode() in printed
    assert b"Traceback" not in printed
    assert b"Installing" not in printed, "what is installed is not installed again"


@pytest.mark.skipif(shutil.which("ssh") is None, reason="no ssh client on this machine")
def test_the_tunnel_is_understood():
    for line in (line for line in COMMANDS if line.startswith("ssh ")):
        done = subprocess.run(["ssh", "-G", *line.split()[1:]], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "localforward 8050 [127.0.0.1]:8050" in done.stdout


def test_the_container_commands_name_files_that_exist():
    lines = [line for line in COMMANDS if line.startswith("docker ")]
    assert lines
    for line in lines:
        for name in re.findall(r"-f (\S+)", line):
            assert (ROOT / name).exists(), name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_pictures_are_there(document):
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize(("package", "least"), [("ncengine", 50), ("backend", 25)])
def test_the_tests_that_a_table_names_are_there(package, least):
    table = (ROOT / package / "README.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", table))
    there = {
        name for file in ROOT.glob("tests/**/test_*.py") for name in re.findall(r"def (test_\w+)", file.read_text())
    }
    assert len(named) > least
    assert named <= there, f"not there: {', '.join(sorted(named - there))}"


def test_the_files_that_the_architecture_names_are_there():
    named = re.findall(
        r"`((?:ncengine|ncfigures|ncstudies|backend|dashboard)/[\w/.]*)`", (ROOT / "docs/architecture.md").read_text()
    )
    assert len(named) > 8
    assert [path for path in named if not (ROOT / path).exists()] == []
