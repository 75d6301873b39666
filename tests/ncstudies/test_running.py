"""A sweep through real workers: to its end, killed and gone on with, interrupted, and its report."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys

import pytest
from axe_playwright_python.sync_playwright import Axe

from backend.store import data_directory, query, run_actions, run_attempts, runs
from backend.store.database import open_store
from backend.store.errors import Invalid, Unusable
from backend.studies.command import reproduce, require_report_folder, write_report
from backend.studies.store_runner import StoreRunner, choose_capacity
from ncstudies.report import write_study_report
from ncstudies.runner import plan_runs
from ncstudies.study import Claim, MetricAt, Setting, Study, StudyFigure
from tests.cli.test_cli import collapse
from tests.harness import end_workers, tiny, wait_for

SEEDS = 3


def small_study(epochs=2):
    """Two heads on digits, a few seconds a run."""
    arms = {
        name: tiny(epochs=epochs, head={"name": head}) for name, head in (("one", "nearest-etf"), ("two", "linear"))
    }
    claims = (
        Claim("NC3 is lower.", "a test", MetricAt("nc3"), "lower", "one", "two"),
        Claim("The loss is *lower* | here.", "a test", MetricAt("loss"), "higher", "one", "two"),
    )
    figures = (StudyFigure("curves", {"keys": "nc1,nc3"}), StudyFigure("finals", {"keys": "nc3", "split": "train"}))
    return Study("small", "A small <study>", "Which?", claims, (Setting("digits", "Digits", arms, figures),))


def plan_of(epochs=2):
    return plan_runs(small_study(epochs), "laptop", SEEDS)


COMMAND = """
import sys
from pathlib import Path
from backend.store.database import open_store
from backend.studies.store_runner import StoreRunner
from tests.ncstudies.test_running import plan_of, small_study
store = open_store(Path(sys.argv[1]))
StoreRunner(store).execute(small_study(400), plan_of(400))
"""


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A store in which the small study ran to its end."""
    store = open_store(tmp_path_factory.mktemp("study"))
    StoreRunner(store).execute(small_study(), plan_of())
    yield store
    store.close()


def states(store, plan):
    return {row.id: row.status for row in StoreRunner(store).find(plan).values()}


def test_every_run_of_the_plan_is_made_once(swept):
    plan = plan_of()
    first = states(swept, plan)
    assert sorted(first.values()) == ["finished"] * 2 * SEEDS
    rows = query.list_runs(swept, q="group:reproduce-laptop-digits", limit=100).rows
    queued = [(row.config["seed"], row.name) for row in sorted(rows, key=lambda row: row.position)]
    assert queued == [(seed, name) for seed in range(SEEDS) for name in ("one", "two")], "a seed after the other"
    StoreRunner(swept).execute(small_study(), plan)
    assert states(swept, plan) == first, "nothing is left to do, and nothing is done"


def test_what_is_left_is_estimated_from_what_was_run(swept):
    assert StoreRunner(swept).estimate_s(plan_of(), {"cpu": 2}) is None, "nothing is left"
    longer = StoreRunner(swept).estimate_s(plan_of(40), {"cpu": 2})
    assert longer == pytest.approx(2 * StoreRunner(swept).estimate_s(plan_of(20), {"cpu": 2}))
    assert longer > 0


def test_the_report_says_what_the_runs_say(swept, tmp_path):
    said = []
    files = write_study_report(StoreRunner(swept), small_study(), "laptop", plan_of(), said.append).files
    assert said[0] == "reading runs"
    assert "Metrics over epochs" in said[1]
    assert set(files) == {"README.md", "report.html", "claims.csv", "digits-1-curves.svg", "digits-2-finals.svg"}
    rows = list(csv.DictReader(files["claims.csv"].decode().splitlines()))
    held = {}
    for row in StoreRunner(swept).find(plan_of()).values():
        run = runs.get(swept, row.id)
        held[run.name, run.config["seed"]] = run.summary["train"]["nc3"]
    for column, arm in (("values of", "one"), ("values than", "two")):
        in_order_of_seeds = [held[arm, seed] for seed in range(SEEDS)]
        assert list(map(float, rows[0][column].split())) == pytest.approx(in_order_of_seeds, rel=1e-6)
    assert rows[0]["verdict"] == "undecided", "three pairs cannot give p ≤ 0.05"
    text, page = files["README.md"].decode(), files["report.html"].decode()
    assert "# A small \\<study\\>" in text
    assert "<h1>A small &lt;study&gt;</h1>" in page
    assert "The loss is *lower* \\| here." in text.replace("\\*", "*")
    assert page.count("<td>The loss is *lower* | here.") == 1
    assert "collapse reproduce small --size laptop --seeds 3" in text
    assert re.search(r'^- one: `head\.name "nearest-etf", .*head\.delta 0\.001', text, re.MULTILINE)
    assert re.search(r'^- two: `head\.name "linear"', text, re.MULTILINE)
    assert "batch_size" not in text, "arms do not differ in what they share"
    for run_id in states(swept, plan_of()):
        assert f"`{run_id}`" in text
    assert write_study_report(StoreRunner(swept), small_study(), "laptop", plan_of(), said.append).files == files, (
        "the same runs give the same bytes"
    )
    write_report(tmp_path / "out", files)
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(files)


def test_the_page_opens_in_a_browser(swept, tmp_path, browser):
    write_report(
        tmp_path, write_study_report(StoreRunner(swept), small_study(), "laptop", plan_of(), lambda _: None).files
    )
    with browser.new_page(viewport={"width": 390, "height": 800}) as page:
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto((tmp_path / "report.html").as_uri())
        shown = page.evaluate("[...document.images].map(image => image.complete && image.naturalWidth > 0)")
        assert shown == [True, True]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "tables scroll by themselves"
        assert not Axe().run(page).response["violations"]
        assert all(url.startswith("file:") for url in asked)


def test_a_folder_with_another_readme_is_refused(swept, tmp_path):
    require_report_folder(tmp_path / "new")
    files, _ = write_study_report(StoreRunner(swept), small_study(), "laptop", plan_of(), lambda _: None)
    write_report(tmp_path, files)
    require_report_folder(tmp_path)  # an earlier report's
    (tmp_path / "README.md").write_text("# My project\n")
    with pytest.raises(Invalid, match=r"README\.md is no report"):
        require_report_folder(tmp_path)


def test_a_missing_package_is_named_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.setattr("backend.studies.command.REPORT_PACKAGES", ("matplotlib", "not_installed_here"))
    store = open_store(tmp_path)
    with pytest.raises(Unusable, match=r"reports need not_installed_here; pip install 'collapse-lab\[studies\]'"):
        reproduce(store, "ufm", "laptop", 3, tmp_path / "out", plan=True, download=False, mirror=None)
    assert query.list_runs(store, limit=10).rows == []
    store.close()


def test_runs_that_are_not_finished_are_named(swept):
    wanted = plan_runs(small_study(), "laptop", 4)
    text = write_study_report(StoreRunner(swept), small_study(), "laptop", wanted, lambda _: None).files
    assert "**2 of 8 runs are not finished:** one, seed 3 (Digits); two, seed 3 (Digits)." in text["README.md"].decode()


def started(folder, count):
    """Start the long sweep in a process of its own; return it once so many runs are under way."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COLLAPSE_")}
    with (folder / "sweep.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-c", COMMAND, str(folder)], env=environment, stderr=log)
    store = open_store(folder)
    wait_for(
        lambda: sum(row.epoch > 0 for row in StoreRunner(store).find(plan_of(400)).values()) >= count,
        90,
        "runs under way",
    )
    return process, store


def test_a_killed_sweep_goes_on(tmp_path):
    process, store = started(tmp_path, 2)
    try:
        before = {row.id for row in StoreRunner(store).find(plan_of(400)).values()}
        process.kill()
        process.wait()
        working = {row.run_id: row.number for row in run_attempts.list_running_attempts(store)}
        assert working, "workers outlive the sweep that started them"
        for row in StoreRunner(store).find(plan_of(400)).values():
            if row.status == "queued":
                run_actions.request_pause(store, row.id)
        process, again = started(tmp_path, 2)
        again.close()
        wait_for(lambda: "paused" not in states(store, plan_of(400)).values(), 60, "what was held back is queued again")
        after = {row.id for row in StoreRunner(store).find(plan_of(400)).values()}
        assert after == before, "no run is made twice"
        assert {row.run_id: row.number for row in run_attempts.list_running_attempts(store)} == working, (
            "and are adopted by the next"
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(90) == 130
        assert "the same command goes on" in (tmp_path / "sweep.log").read_text()
        found = set(states(store, plan_of(400)).values())
        assert found <= {"paused", "finished"}
        assert "paused" in found
    finally:
        process.kill()
        process.wait()
        end_workers(store)
        store.close()


def test_times_are_not_compared_beside_a_server(tmp_path):
    study = small_study()
    alone = Study("small", study.title, study.question, study.claims, study.settings, exclusive=True)
    store = open_store(tmp_path)
    with (
        data_directory.hold_server_lock(tmp_path, "http://127.0.0.1:1"),
        pytest.raises(Unusable, match="small compares times"),
    ):
        StoreRunner(store).execute(alone, plan_of())
    assert query.list_runs(store, limit=10).rows == []
    assert sum(choose_capacity(alone).values()) == 1
    store.close()


def test_studies_from_a_terminal(tmp_path):
    listed = collapse(tmp_path, "reproduce").stdout
    assert re.search(r"^convergence +30 runs +Convergence of the nearest ETF", listed, re.M)
    assert len(listed.splitlines()) == 9
    planned = collapse(tmp_path, "reproduce", "ufm", "--plan").stderr
    assert "ufm: 45 runs, 0 of them done" in planned
    assert json.loads(collapse(tmp_path, "runs", "--json").stdout) == []
    assert "must be all or one of convergence" in collapse(tmp_path, "reproduce", "nothing", expect=2).stderr
    assert (
        "--size must be one of laptop, paper" in collapse(tmp_path, "reproduce", "ufm", "--size", "x", expect=2).stderr
    )
