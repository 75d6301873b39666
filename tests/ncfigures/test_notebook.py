"""Runs in a notebook: the same numbers and figures as everywhere, from a data directory or through a server."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import ncengine as nc
from backend.api import views
from backend.client import Client, calls
from backend.store.errors import Invalid, NotFound
from ncfigures.provenance import read_provenance
from tests.harness import tiny, wait_for
from tests.ncfigures.test_figures import made


def test_a_run_is_loaded_with_its_metrics(kept):
    loaded = nc.load(kept.run, data=kept.store.data_dir)
    assert repr(loaded) == f"<1 run: {kept.run} (for paper, finished, epoch 3)>"
    table = loaded.metrics()
    series = views.read_series(kept.store, kept.run)
    assert list(table.loc[kept.run].index) == series.epochs
    for split in ("train", "test"):
        for key, values in series.values[split].items():
            np.testing.assert_array_equal(table[split, key].to_numpy(), np.array(values, dtype=float))


def test_runs_are_found_by_a_filter(kept):
    loaded = nc.load("head:linear data:digits", data=kept.store.data_dir)
    assert {run.config.head.name for run in loaded.runs} == {"linear"}
    table = loaded.metrics()
    assert set(table.index.get_level_values("run")) == {run.id for run in loaded.runs}
    assert table["train", "nc1"].groupby("epoch").median().index.to_list() == [1, 2, 3]


def test_a_figure_is_shown_and_saved_as_everywhere(kept, tmp_path):
    figure = nc.load(kept.run, data=kept.store.data_dir).figure("geometry", epoch=1, venue="neurips")
    shown = figure._repr_mimebundle_()
    assert shown["image/svg+xml"].encode() == made(kept, "geometry", "svg", epoch=1, venue="neurips")
    assert shown["application/vnd.plotly.v1+json"]["data"]
    assert "at epoch 1 in the frame of the nearest simplex ETF" in figure.caption
    path = figure.save(tmp_path / "figure.pdf")
    assert path.read_bytes() == made(kept, "geometry", "pdf", epoch=1, venue="neurips")
    assert read_provenance(path.read_bytes()).epochs == [1.0]
    with pytest.raises(Invalid, match="must end in one of pdf"):
        figure.save(tmp_path / "figure.docx")
    assert [each.name for each in tmp_path.iterdir()] == ["figure.pdf"]


def test_what_cannot_be_drawn_is_said_at_once(kept, monkeypatch):
    loaded = nc.load(kept.run, data=kept.store.data_dir)
    with pytest.raises(NotFound, match=r"measure\.layers"):
        loaded.figure("layers")
    with pytest.raises(Invalid, match="there is no option 'epoc'"):
        loaded.figure("geometry", epoc=1)
    with pytest.raises(NotFound, match="there is no run 'nosuchrun0'"):
        nc.load("nosuchrun0", data=kept.store.data_dir)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(Invalid, match=r"collapse-lab\[notebook\]"):
        loaded.metrics()


def test_a_server_is_read_the_same_way(quiet_server):
    with Client(quiet_server.url, quiet_server.token) as client:
        run = client(calls.launch(tiny(epochs=1).model_dump(mode="json"), name="read from afar")).id
        wait_for(lambda: client(calls.run(run)).status == "finished", 60, "the run")
        summary = client(calls.run(run)).summary
    loaded = nc.load(run, server=quiet_server.url, token=quiet_server.token)
    assert loaded.metrics().loc[(run, 1), ("train", "nc1")] == summary["train"]["nc1"]
    assert read_provenance(loaded.figure("curves", keys="nc1")._render("pdf")).runs[0].name == "read from afar"
