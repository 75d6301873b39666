"""Figures: coordinates drawn, true vectors, embedded fonts, the same bytes again, errors that name the remedy."""

from __future__ import annotations

import base64
import csv
import io
import re
from types import SimpleNamespace

import numpy as np
import pytest
from fontTools.ttLib import TTFont
from pypdf import PdfReader

from backend import palette, views, wire
from backend.errors import Invalid, NotFound
from backend.jobs.pulse import Pulse
from backend.paper import figures
from backend.paper.camera import Camera, parse_camera
from backend.paper.gather import gather
from backend.paper.process import PaperProcess
from backend.store import artifacts, event_log, runs
from backend.store.database import open_store
from backend.store.event_log import Entry
from backend.worker import Recorder
from ncengine.events import RunFinished
from ncengine.train import run as train
from tests.harness import tiny

FIGURES = ("geometry", "angles", "curves", "margins")


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A finished run in a store, written as the worker writes it."""
    store = open_store(tmp_path_factory.mktemp("paper"))
    run_id, _ = runs.create(store, tiny(), name="for paper")
    number = runs.claim(store, run_id, "cpu")
    recorder = Recorder(store, run_id, number, Pulse(store, run_id, number, ran_before_s=0.0))
    for event in train(tiny()):
        if isinstance(event, RunFinished):
            recorder.end("finished", Entry(event.type, event.payload()))
        else:
            recorder.record(event)
    yield SimpleNamespace(store=store, run=run_id)
    store.close()


def fonts_of(reader):
    found = {}
    for page in reader.pages:
        for font in page["/Resources"]["/Font"].values():
            inner = font.get_object()
            descendants = inner.get("/DescendantFonts")
            found[str(inner["/BaseFont"])] = descendants[0].get_object() if descendants else inner
    return found


@pytest.mark.parametrize("figure", FIGURES)
def test_pdf_is_vectors_with_truetype_fonts_inside(kept, figure):
    content = figures.render(gather(kept.store, kept.run, figure, "pdf"))
    reader = PdfReader(io.BytesIO(content))
    assert not list(reader.pages[0].images), "nothing is rasterised"
    assert b"/Subtype /Image" not in content
    fonts = fonts_of(reader)
    assert fonts
    for name, font in fonts.items():
        assert font["/Subtype"] == "/CIDFontType2", f"{name} must be TrueType, never Type 3"
        assert "/FontFile2" in font["/FontDescriptor"].get_object()
    assert reader.metadata["/Title"] == f"{figure} of run {kept.run} (for paper)"
    words = {"geometry": "nearest ETF", "angles": "9", "curves": "NC1 variability", "margins": "cosine margin"}[figure]
    assert words in reader.pages[0].extract_text()
    assert len(content) < 100_000


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize("serif", [True, False])
def test_svg_is_vectors_with_its_glyphs_inside(kept, figure, serif):
    text = figures.render(gather(kept.store, kept.run, figure, "svg", serif=serif)).decode()
    assert "<image" not in text
    assert "<text" in text, "text stays text"
    encoded = re.search(r"base64,([^)]+)\) format\('truetype'\)", text).group(1)
    glyphs = TTFont(io.BytesIO(base64.b64decode(encoded))).getBestCmap()
    used = {c for part in re.findall(r">([^<>]*)</(?:text|tspan)>", text) for c in part} - {"\n"}
    assert used <= {chr(code) for code in glyphs}


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize("format_", ["pdf", "svg", "png", "csv"])
def test_the_same_request_gives_the_same_bytes(kept, figure, format_):
    first, second = (figures.render(gather(kept.store, kept.run, figure, format_)) for _ in range(2))
    assert first == second


def test_the_scene_draws_the_captures_coordinates(kept):
    request = gather(kept.store, kept.run, "geometry", "pdf", camera="0,0,2,0,1,0,1")
    axes = figures.draw_geometry(request).axes[0]
    geometry = views.geometry(kept.store, kept.run, None)
    means = wire.from_typed(geometry.arrays["means"]) @ np.asarray(geometry.view_matrix)
    drawn = [np.asarray(collection.get_offsets()) for collection in axes.collections]
    features, vertices, weights, dots = drawn
    # Looking down the z axis with y up, the screen is the (x, y) plane.
    np.testing.assert_allclose(dots, means[np.argsort(means[:, 2])][:, :2], atol=1e-6)
    assert (len(features), len(vertices), len(weights)) == (100, 10, 10)
    colours = axes.collections[3].get_facecolor()
    order = np.argsort(means[:, 2])
    expected = [palette.class_colours(10)[index] for index in order]
    assert ["#" + "".join(f"{round(255 * c):02x}" for c in row[:3]) for row in colours] == expected


def test_the_scene_is_drawn_along_principal_directions(kept):
    request = gather(kept.store, kept.run, "geometry", "csv", view="pca")
    geometry = views.geometry(kept.store, kept.run, None, view="pca")
    rows = [line.split(",") for line in figures.render(request).decode().splitlines()]
    drawn = np.array([row[-3:] for row in rows if row[0] == "class mean"], dtype=float)
    means = wire.from_typed(geometry.arrays["means"]) @ np.asarray(geometry.view_matrix)
    np.testing.assert_allclose(drawn, means, atol=1e-5)
    # Uncorrelated, as principal components are.
    np.testing.assert_allclose((drawn.T @ drawn)[~np.eye(3, dtype=bool)], 0, atol=0.05 * np.square(drawn).sum())


def test_four_classes_are_drawn_alone_at_the_corners_of_their_tetrahedron(kept):
    request = gather(kept.store, kept.run, "geometry", "csv", view="tetrahedron", classes="7, 2,9,0")
    rows = list(csv.DictReader(io.StringIO(figures.render(request).decode())))
    names = ["7", "2", "9", "0"]
    assert {row["class"] for row in rows} == set(names)
    corners = np.array([[float(row[axis]) for axis in "xyz"] for row in rows if row["kind"] == "vertex"])
    cosines = corners @ corners.T / np.square(corners[0]).sum()
    np.testing.assert_allclose(cosines, (4 * np.eye(4) - 1) / 3, atol=1e-5)
    axes = figures.draw_geometry(request).axes[0]
    features, vertices, weights, means = axes.collections
    assert (len(vertices.get_offsets()), len(weights.get_offsets()), len(means.get_offsets())) == (4, 4, 4)
    labels = wire.from_typed(request.geometry.arrays["labels"])
    assert len(features.get_offsets()) == np.isin(labels, [7, 2, 9, 0]).sum()


def test_curves_and_tables_hold_the_measured_numbers(kept):
    series = views.series(kept.store, kept.run, ["nc1", "top1"])
    figure = figures.draw_curves(gather(kept.store, kept.run, "curves", "pdf", keys="nc1,top1"))
    train_line, test_line = figure.axes[0].lines[:2]
    assert list(train_line.get_ydata()) == series.values["train"]["nc1"]
    assert list(test_line.get_ydata()) == series.values["test"]["nc1"]
    assert [line.get_ydata()[0] for line in figure.axes[1].lines][2] == 1, "the ideal of accuracy is drawn at 1"
    text = figures.render(gather(kept.store, kept.run, "curves", "csv", keys="nc1,top1")).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [float(row["train/nc1"]) for row in rows] == series.values["train"]["nc1"]


def test_the_geometry_table_is_what_is_drawn(kept):
    rows = list(csv.DictReader(io.StringIO(figures.render(gather(kept.store, kept.run, "geometry", "csv")).decode())))
    kinds = [row["kind"] for row in rows]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "vertex": 10,
        "class mean": 10,
        "classifier": 10,
        "feature": 100,
    }
    vertex = np.array([[float(row[axis]) for axis in "xyz"] for row in rows if row["kind"] == "vertex"])
    np.testing.assert_allclose(np.linalg.norm(vertex, axis=1), 1, atol=5e-3)


def test_the_heatmap_shows_angles_too(kept):
    cosines = wire.from_typed(views.geometry(kept.store, kept.run, None).arrays["cosines_means"])
    text = figures.render(gather(kept.store, kept.run, "angles", "csv", unit="angle")).decode()
    rows = list(csv.reader(io.StringIO(text)))
    assert float(rows[1][2]) == pytest.approx(np.degrees(np.arccos(cosines[0, 1])), abs=1e-3)


def test_the_camera_is_orthonormal():
    points = np.random.default_rng(0).normal(size=(20, 3))
    screen, depth = Camera(eye=(0.3, -1.4, 0.9), up=(0, 0, 1)).project(points)
    whole = np.column_stack([screen, depth])
    np.testing.assert_allclose(whole @ whole.T, points @ points.T, atol=1e-12)


@pytest.mark.parametrize("text", ["1,2,3", "a,b,c,d,e,f,g", "1,0,0,1,0,0,1", "1,1,1,0,0,1,0", "nan,0,0,0,0,1,1"])
def test_a_wrong_camera_is_refused(text):
    with pytest.raises(Invalid, match="camera"):
        parse_camera(text)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"venue": "nature"}, Invalid, "neurips"),
        ({"layers": "features,shadows"}, Invalid, "shadows"),
        ({"view": "tetrahedron", "classes": "0,1,2"}, Invalid, "must be 4 different ones"),
        ({"view": "tetrahedron", "classes": "0,1,2,x"}, Invalid, "whole numbers"),
        ({"view": "sideways"}, Invalid, "view must be the run's own or one of pca, tetrahedron"),
    ],
)
def test_wrong_options_name_the_right_ones(kept, options, error, words):
    with pytest.raises(error, match=words):
        gather(kept.store, kept.run, "geometry", "pdf", **options)


def test_a_run_without_geometry_says_so(store):
    run_id, _ = runs.create(store, tiny())
    with pytest.raises(NotFound, match="none yet"):
        gather(store, run_id, "geometry", "pdf")


def test_a_damaged_capture_says_so(store):
    run_id, _ = runs.create(store, tiny())
    runs.claim(store, run_id, "cpu")
    file = artifacts.write(store, run_id, "geometry", 0, 1, {"means": np.zeros((2, 1))})
    started = {"class_names": ["a", "b"], "view": "line", "view_matrix": [[1.0, 0, 0]], "vertices": [[1.0], [-1.0]]}
    captured = Entry("GeometryCaptured", {"epoch": 0.0, "step": 0}, file)
    event_log.append(store, run_id, 1, [Entry("RunStarted", started), captured])
    (store.data_dir / file.path).unlink()
    with pytest.raises(Exception, match="damaged or missing on disk"):
        views.geometry(store, run_id, None)


def test_the_figure_process_survives_errors_and_its_own_death(kept):
    process = PaperProcess()
    try:
        request = gather(kept.store, kept.run, "geometry", "svg")
        assert process.render(request) == figures.render(request)
        bad = request.model_copy(update={"venue": "nowhere"})
        with pytest.raises(Invalid, match="venue must be one of"):
            process.render(bad)
        assert process.render(request) == figures.render(request)
        process._process.kill()
        process._process.wait()
        assert process.render(request) == figures.render(request)
    finally:
        process.close()
