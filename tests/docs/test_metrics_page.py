"""docs/metrics.md says what the catalogue says, with numbers and pictures of real runs."""

import importlib
import json
import sys
from pathlib import Path

import pytest
from PIL import Image

import ncengine as nc

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def maker():
    sys.path.insert(0, str(ROOT / "scripts"))
    yield importlib.import_module("make_metric_pages")
    sys.path.remove(str(ROOT / "scripts"))


def test_the_page_has_the_catalogue_s_words_and_the_runs_numbers(maker):
    values = json.loads(maker.VALUES.read_text())
    assert maker.PAGE.read_text() == maker.page(values), "run scripts/make_metric_pages.py again"


def test_every_metric_has_a_drawing_and_a_picture(maker):
    keys = [spec.key for spec in nc.catalogue()]
    assert set(maker.DRAWINGS) == set(keys)
    for key in keys:
        with Image.open(maker.PICTURES / f"{key}.png") as picture:
            assert picture.size[0] > 2 * picture.size[1], key
    assert {path.stem for path in maker.PICTURES.glob("*.png")} == set(keys)


def test_the_runs_got_from_the_start_through_the_terminal_phase_to_collapse(maker):
    for name, three in json.loads(maker.VALUES.read_text())["runs"].items():
        start, phase, collapse = three
        assert start["epoch"] == 1
        assert start["scalars"]["top1"] < 0.999 <= phase["scalars"]["top1"]
        assert start["epoch"] < phase["epoch"] < collapse["epoch"] == maker.EPOCHS
        # A long tail keeps class means off the simplex ETF.
        for key in ("nc1", "cdnv", "nc3_distance", *(("nc2_etf_means",) if name == "balanced" else ())):
            assert collapse["scalars"][key] < phase["scalars"][key] < start["scalars"][key], key
