"""A figure's file says where it comes from, shows its view again, and is made again to the byte."""

from __future__ import annotations

import io

import pytest
from matplotlib.figure import Figure
from PIL import Image

from backend.figures import export
from backend.figures.collect import collect
from backend.store import runs
from ncfigures.errors import FigureError
from ncfigures.options import parse_options
from ncfigures.provenance import read_provenance
from ncfigures.render import render_figure
from tests.ncfigures.test_figures import made
from tests.repetitions import exhaustive_except

SAYING = ("pdf", "svg", "png", "eps", "pgf", "tex", "md")


@pytest.mark.parametrize("format_", SAYING)
def test_a_file_says_where_it_comes_from(kept, format_):
    content = made(kept, "geometry", format_, epoch=1, view="pca", camera="1,1,1,0,0,1,2", serif=False)
    found = read_provenance(content)
    row = runs.get(kept.store, kept.run)
    assert (found.figure, found.format) == ("geometry", format_)
    assert found.runs[0].model_dump() == {
        "id": kept.run,
        "name": "for paper",
        "config_hash": row.config_hash,
        "last_seq": row.last_seq,
        "versions": found.runs[0].versions,
    }
    assert {"collapse-lab", "torch", "numpy"} <= set(found.runs[0].versions)
    assert found.epochs == [1.0]
    assert len(found.view_matrix) == 9
    assert found.command == (
        f"collapse export {kept.run} geometry -o geometry.{format_} --epoch 1 --view pca --camera 1,1,1,0,0,1,2 --sans"
    )
    assert found.address() == f"/runs/{kept.run}?view=pca&camera=1,1,1,0,0,1,2&epoch=1"


@pytest.mark.parametrize("format_", SAYING)
@pytest.mark.parametrize("figure", exhaustive_except(["geometry", "curves", "composed"], ["curves"]))
def test_a_file_is_made_again_to_the_byte(kept, tmp_path, format_, figure):
    ids = kept.heads if figure == "curves" else [kept.run]
    path = tmp_path / f"figure.{format_}"
    path.write_bytes(made(kept, figure, format_, ids=ids, venue="neurips"))
    assert export.export_from_store(kept.store, export.read_order(path)) == path.read_bytes()


def test_several_runs_are_shown_beside_each_other(kept):
    assert (
        read_provenance(made(kept, "curves", "svg", ids=kept.heads)).address()
        == f"/compare?runs={','.join(kept.heads)}"
    )


def test_the_newest_is_said_in_numbers(kept):
    options = collect(kept.store, [kept.run], "composed", "pdf", parse_options({})).options
    assert (options.epoch, options.until) == (3.0, 3)


def foreign(format_):
    target = io.BytesIO()
    Figure().savefig(target, format=format_)
    return target.getvalue()


@pytest.mark.parametrize("format_", ["pdf", "svg", "png", "eps"])
def test_a_file_of_others_is_refused_in_words(format_):
    with pytest.raises(FigureError, match="does not say where it comes from"):
        read_provenance(foreign(format_))


@pytest.mark.parametrize(
    "content", [b"", b"%PDF-1.4 nothing", b"\x89PNG\r\n\x1a\n", b"\xff\xfe\x00", b"% CollapseLab: {}\n"]
)
def test_a_damaged_file_is_refused_in_words(content):
    with pytest.raises(FigureError, match=r"does not say|damaged|cannot be read"):
        read_provenance(content)


def test_a_picture_that_lost_its_facts_is_refused(kept):
    with Image.open(io.BytesIO(made(kept, "margins", "png"))) as image:
        target = io.BytesIO()
        Image.fromarray(__import__("numpy").asarray(image)).save(target, "png")
    with pytest.raises(FigureError, match="does not say where it comes from"):
        read_provenance(target.getvalue())


def test_a_filter_means_its_runs(kept):
    wanted = export.FigureOrder("head:linear", "curves", "csv", {"keys": "nc1"})
    assert export.export_from_store(kept.store, wanted).startswith(b"epoch,train/nc1")
    with pytest.raises(Exception, match="no run is meant"):
        export.export_from_store(kept.store, export.FigureOrder("head:fixed-etf", "curves", "csv", {}))


def test_names_that_no_font_has_are_drawn_all_the_same(kept):
    text = render_figure(collect(kept.store, kept.heads, "curves", "svg", parse_options({}))).decode()
    assert "linear $x$ \ufffd, 3 seeds" in text
