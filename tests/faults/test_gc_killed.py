"""A clean-up killed at every moment: nothing is lost, no row names a missing file, and both ways lead on from there."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from backend.store import integrity, run_folders
from backend.store.database import open_store
from backend.store.gc import delete, files, restore, trash
from tests.backend import gc_store
from tests.backend.gc_store import clean, delete_long_ago, finished_run, preview, stray
from tests.repetitions import repetitions

RULES = {"thin_geometry": 3, "checkpoints": True}


def stride() -> int:
    """Of all moments every sixth is tried, beginning at random, or all of them."""
    return repetitions(6, 1)


class Killed:
    """A directory that is put back before each clean-up, and the process that starts and kills them."""

    def __init__(self, data: Path, start: Path) -> None:
        self.data, self.start = data, start
        command = [sys.executable, "-m", "tests.faults.killed_gc", str(data)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def at(self, action: str, argument: str, moment: int) -> bool:
        """Begin anew, do something, and kill it at a moment; return whether it came so far."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        put_back(self.start, self.data)
        self.process.stdin.write(f"{action} {argument} {moment}\n")
        self.process.stdin.flush()
        status = int(self.process.stdout.readline())
        assert status in (-9, 0)
        return status == -9

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()


def put_back(start: Path, data: Path) -> None:
    shutil.rmtree(data, ignore_errors=True)
    shutil.copytree(start, data)


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """A directory with one of everything, its plan, and what was in it."""
    monkeypatch.setattr(files, "time", SimpleNamespace(time=lambda: time.time() + 2 * 86_400))
    data = tmp_path / "data"
    store = open_store(data)
    run_id, gone = finished_run(store, captures=4), finished_run(store, captures=4)
    delete_long_ago(store, gone)
    stray(store, f"runs/{run_id}/geometry-000000099-a1.safetensors")
    stray(store, "runs/nosuchrun0/worker.log")
    run_folders.register(store, "nosuchrun0")
    plan = preview(store, **RULES)
    assert len(plan.items) == 5
    before = gc_store.files(store), gc_store.rows(store, deleted_at=False)
    store.close()
    return data, plan, before


def everything(store):
    """Return every file's content: those in their places and those in the trash."""
    held = gc_store.files(store)
    for path in (store.data_dir / "trash").glob("*/files/**/*"):
        if path.is_file():
            name = path.relative_to(store.data_dir).as_posix().partition("/files/")[2]
            assert held.setdefault(name, path.read_bytes()) == path.read_bytes()
    return held


def require_back(store, before):
    """Restore all, and compare with what there was."""
    outcome = restore.restore_entries(store, None)
    assert outcome.skipped == ()
    assert (gc_store.files(store), gc_store.rows(store, deleted_at=False)) == before
    assert trash.list_entries(store) == []
    assert list(integrity.find_problems(store)) == []


def test_a_clean_up_killed_at_every_moment_loses_nothing(prepared, tmp_path):
    data, plan, before = prepared
    shutil.copytree(data, tmp_path / "start")
    killed = Killed(data, tmp_path / "start")
    moment, places = random.randint(1, stride()), set()  # noqa: S311
    try:
        while killed.at("delete", plan.id, moment):
            shutil.copytree(data, tmp_path / "killed")
            store = open_store(data)
            gc_store.require_no_missing_files(store)
            assert everything(store) == before[0], f"something is lost at moment {moment}"
            places.add((len(gc_store.files(store)), len(gc_store.rows(store)["run"]), len(trash.list_entries(store))))
            require_back(store, before)
            store.close()
            # The other way on: the next clean-up completes it.
            put_back(tmp_path / "killed", data)
            shutil.rmtree(tmp_path / "killed")
            store = open_store(data)
            clean(store, **RULES)
            assert len(gc_store.files(store)) == 3, "two captures and the log"
            assert len(gc_store.rows(store)["run"]) == 1
            assert preview(store, **RULES).items == ()
            assert list(integrity.find_problems(store)) == []
            require_back(store, before)
            store.close()
            moment += stride()
    finally:
        killed.close()
    assert moment > 30, "the manifest, rows, commits, and two steps of each of 13 files"
    assert len(places) >= 10 / stride(), "the kills came at different stages"


def test_a_restore_killed_at_every_moment_is_completed_by_the_next(prepared, tmp_path):
    data, plan, before = prepared
    store = open_store(data)
    delete.execute_plan(store, plan.id)
    store.close()
    shutil.copytree(data, tmp_path / "start")
    killed = Killed(data, tmp_path / "start")
    moment = random.randint(1, stride())  # noqa: S311
    try:
        while killed.at("restore", "all", moment):
            store = open_store(data)
            gc_store.require_no_missing_files(store)
            emptying = list((data / "trash").glob(".emptying-*"))
            assert emptying or everything(store) == before[0], f"something is lost at moment {moment}"
            require_back(store, before)
            store.close()
            moment += stride()
    finally:
        killed.close()
    assert moment > 30


def test_emptying_killed_at_any_moment_leaves_entries_whole_or_gone(prepared, tmp_path):
    data, plan, _ = prepared
    store = open_store(data)
    delete.execute_plan(store, plan.id)
    digest, held = trash.read_contents(store).digest, everything(store)
    store.close()
    shutil.copytree(data, tmp_path / "start")
    killed = Killed(data, tmp_path / "start")
    moment = random.randint(1, stride())  # noqa: S311
    try:
        while killed.at("empty", digest, moment):
            store = open_store(data)
            assert trash.list_entries(store) == [] or everything(store) == held
            trash.empty_listed(store, trash.read_contents(store).digest)
            assert list((data / "trash").iterdir()) == []
            store.close()
            moment += stride()
    finally:
        killed.close()
    assert moment > 10
