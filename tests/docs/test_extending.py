"""The examples of docs/extending: added to a copy of the project, with a line in a registry each, they work there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs/extending"
BLOCK = re.compile(r'```(?:python|text) title="([^"]+)"\n(.+?)```', re.S)
END_OF_LIST = {
    "ncengine/metrics/registry.py": '\n    ),\n    attrgetter("key"),',
    **{f"ncengine/{kind}/registry.py": '\n)\n"""All ' for kind in ("data", "backbones", "heads", "losses")},
}
"""What follows the last line of each registry's list."""
MOST_FILES = {"head": 2}
"""Files of a component, where it is not one."""

USE = """
import sys
import ncengine as nc
from ncengine.config import with_overrides
from dashboard.components import form
from backend.store.validation import setting_names

assert "torch" not in sys.modules, "reading configs loads torch"
settings = {
    "data.name": "spirals", "data.per_class": 100, "backbone.name": "mlp", "backbone.width": 32, "backbone.depth": 3,
    "backbone.features": 8, "head.name": "cosine", "loss.name": "focal", "loss.gamma": 1.5,
    "epochs": 12, "batch_size": 40, "measure.every": 12, "measure.first_epoch_captures": 0,
}
config = with_overrides(nc.RunConfig(), settings)
assert {"loss.gamma", "head.scale", "data.noise"} <= setting_names()
schema = nc.RunConfig.model_json_schema()
tree = config.model_dump(mode="json")
fields = {field.path for part in ("data", "head", "loss") for field in form.list_fields(schema, tree, part)}
assert {"data.noise", "head.scale", "loss.gamma"} <= fields, fields
assert "torch" not in sys.modules

train = [event.scalars for event in nc.run(config) if event.type == "EpochMeasured"][-1]["train"]
assert train["top1"] > 0.9, train
assert 0 < train["nc2_participation_means"] <= 1
images = with_overrides(nc.presets["digits-linear"](), {"backbone.name": "lenet", "epochs": 2, "measure.every": 2})
test = [event.scalars for event in nc.run(images) if event.type == "EpochMeasured"][-1]["test"]
assert test["top1"] > 0.8, test
print("trained")
"""


def examples() -> dict[str, list[tuple[str, str]]]:
    """Return the files and the registry's line of each page, as (path, text)."""
    pages = {page.stem: BLOCK.findall(page.read_text()) for page in sorted(PAGES.glob("*.md"))}
    return {name: blocks for name, blocks in pages.items() if blocks}


def add_example(tree: Path, blocks: list[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """Write a page's files into a tree, and its lines into the registries; return both lists of paths."""
    added, changed = [], []
    for path, text in blocks:
        target = tree / path
        if path in END_OF_LIST:
            content = target.read_text()
            assert content.count(END_OF_LIST[path]) == 1, f"{path}: the end of the list was not found"
            target.write_text(content.replace(END_OF_LIST[path], "\n" + text.rstrip() + END_OF_LIST[path]))
            changed.append(path)
        else:
            assert not target.exists(), f"{path} exists already"
            target.write_text(text)
            added.append(path)
    return added, changed


@pytest.fixture(scope="module")
def extended(tmp_path_factory) -> Path:
    """A copy of the project to which every example was added."""
    tree = tmp_path_factory.mktemp("extended")
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for path in tracked.splitlines():
        if (ROOT / path).is_file() and not path.startswith(("docs/", "benchmarks/")):
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, tree / path)
    for blocks in examples().values():
        add_example(tree, blocks)
    return tree


def run_in(tree: Path, *arguments: str) -> str:
    """Run Python on the copy and return its output."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def test_each_kind_of_component_has_an_example_of_one_file_and_one_line(tmp_path):
    assert set(examples()) == {"dataset", "backbone", "head", "loss", "metric"}
    for name, blocks in examples().items():
        files = [path for path, _ in blocks if path not in END_OF_LIST]
        lines = [text for path, text in blocks if path in END_OF_LIST]
        assert len(files) <= MOST_FILES.get(name, 1), name
        assert [len(text.strip().splitlines()) for text in lines] == [1], name


def test_the_examples_are_trained_with_and_have_fields_settings_and_metrics(extended):
    assert run_in(extended, "-W", "ignore", "-c", USE).splitlines()[-1] == "trained"


def test_the_tests_of_components_and_forms_pass_with_the_examples(extended):
    names = "focal or cosine or spirals or lenet or participation or torch"
    files = [
        f"tests/{name}.py" for name in ("ncengine/test_components", "ncengine/test_backbones", "dashboard/test_form")
    ]
    out = run_in(extended, "-m", "pytest", "-p", "no:cacheprovider", "-vv", "-k", names, *files)
    for kind in ("head", "loss", "data_set", "metric"):
        assert re.search(rf"test_a_{kind}_.* PASSED", out), out
    assert "test_images_become_features[lenet" in out
    for part in ("head-cosine", "loss-focal", "data-spirals", "backbone-lenet"):
        assert f"test_every_setting_of_every_kind_has_a_field_and_no_other[{part}] PASSED" in out, out


def test_the_examples_are_in_the_projects_style(extended):
    paths = [path for blocks in examples().values() for path, _ in blocks]
    run_in(extended, "-m", "ruff", "check", *paths)
    run_in(extended, "-m", "ruff", "format", "--check", *paths)
