"""Figures: what is drawn is what was measured; true vectors, embedded fonts, readable type, the same bytes again."""

from __future__ import annotations

import base64
import csv
import io
import re
import shutil
import subprocess
from dataclasses import replace
from itertools import combinations
from typing import get_args

import numpy as np
import pytest
from fontTools.ttLib import TTFont
from PIL import Image
from pypdf import PdfReader

from backend.api import views, wire
from backend.figures.collect import collect, figure_errors
from backend.figures.process import FigureJob, FigureProcess, StoreLocation
from backend.store import artifacts, event_log, run_attempts, runs
from backend.store.errors import Invalid, NotFound
from backend.store.event_log import NewEvent
from ncfigures import palette
from ncfigures.catalogue import FIGURES, OPTIONS, VENUES, Format
from ncfigures.errors import FigureError
from ncfigures.figure_spec import Camera, ChartSpec, HeatmapSpec, SceneSpec, parse_camera
from ncfigures.figures import build_figure_spec
from ncfigures.latex import escape_latex, format_latex_snippet
from ncfigures.matplotlib_renderer import draw_figure
from ncfigures.matplotlib_style import apply_rc_params
from ncfigures.options import FigureOptions, format_export_command, parse_options
from ncfigures.palette import rgb_from_hex, simulate
from ncfigures.render import render_figure
from tests.harness import tiny
from tests.repetitions import exhaustive_except

KINDS = ("geometry", "angles", "curves", "finals", "composed")
"""One figure of each kind: a scene, a heat map, lines, a table, and several panels."""
SEVERAL = [name for name in FIGURES if name not in ("implicit", "layers")]
SERIF_AND_SANS = [*((figure, True) for figure in FIGURES), ("composed", False)]
VECTORS = ("pdf", "svg", "eps", "pgf")


def ids_of(kept, figure, several=False):
    if figure == "implicit":
        return [kept.run, kept.cut]
    if figure == "layers":
        return [kept.layered]
    return kept.heads if several else [kept.run]


@figure_errors()
def asked(kept, figure, format_="pdf", ids=None, **options):
    return collect(kept.store, ids or ids_of(kept, figure), figure, format_, parse_options(options))


@figure_errors()
def made(kept, figure, format_="pdf", ids=None, **options):
    return render_figure(asked(kept, figure, format_, ids, **options))


def drawn(request):
    """Return the matplotlib figure of a request, laid out."""
    with apply_rc_params(request.options):
        figure = draw_figure(build_figure_spec(request), request.options, request.format)
        figure.draw_without_rendering()
    return figure


def table_of(text):
    return list(csv.DictReader(io.StringIO(text)))


# ── files ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def fonts_of(reader):
    found = {}
    for page in reader.pages:
        for font in page["/Resources"]["/Font"].values():
            inner = font.get_object()
            descendants = inner.get("/DescendantFonts")
            found[str(inner["/BaseFont"])] = descendants[0].get_object() if descendants else inner
    return found


@pytest.mark.parametrize(("figure", "serif"), SERIF_AND_SANS)
def test_pdf_is_vectors_with_truetype_fonts_inside(kept, figure, serif):
    content = made(kept, figure, serif=serif)
    reader = PdfReader(io.BytesIO(content))
    assert not list(reader.pages[0].images), "nothing is rasterised"
    assert b"/Subtype /Image" not in content
    fonts = fonts_of(reader)
    assert fonts
    for name, font in fonts.items():
        assert font["/Subtype"] == "/CIDFontType2", f"{name} must be TrueType, never Type 3"
        assert "/FontFile2" in font["/FontDescriptor"].get_object()
    assert f"{figure} of" in reader.metadata["/Title"]
    assert len(content) < 150_000
    width_pt = float(reader.pages[0].mediabox.width)
    assert width_pt == pytest.approx(72 * VENUES["icml"].width_in, abs=0.1), "exactly as wide as the column"


@pytest.mark.skipif(shutil.which("pdffonts") is None, reason="no poppler-utils on this machine")
@pytest.mark.parametrize("figure", exhaustive_except(FIGURES, KINDS))
def test_pdffonts_and_pdfimages_find_nothing_to_complain_of(kept, figure, tmp_path):
    path = tmp_path / "figure.pdf"
    path.write_bytes(made(kept, figure))
    said = lambda *command: subprocess.run([*command, path], check=True, capture_output=True, text=True).stdout
    fonts = said("pdffonts").splitlines()[2:]
    assert fonts
    for line in fonts:
        assert re.search(r" CID TrueType +Identity-H +yes yes yes ", line), f"embedded, a subset, with Unicode: {line}"
    assert said("pdfimages", "-list").splitlines()[2:] == [], "no raster"


WORDS = {
    "geometry": "nearest ETF",
    "angles": "9",
    "histogram": "angle, degrees",
    "curves": "NC1 variability",
    "training": "Cross-entropy",
    "margin": "Cosine margin",
    "margins": "cosine margin",
    "equinorm": "equal norms",
    "test": "Top-1 accuracy",
    "finals": "NC3 self-duality, test",
    "times": "0.1, train",
    "costs": "backward",
    "implicit": "gradient cut",
    "spectra": "eigenvalue",
    "layers": "penultimate",
    "composed": "Cosines of class means",
}


@pytest.mark.parametrize("figure", exhaustive_except(FIGURES, KINDS))
def test_text_stays_text(kept, figure):
    found = PdfReader(io.BytesIO(made(kept, figure, venue="neurips"))).pages[0].extract_text()
    assert WORDS[figure] in " ".join(found.split())


@pytest.mark.parametrize(
    ("figure", "serif"),
    exhaustive_except(SERIF_AND_SANS, [("composed", False), *((figure, True) for figure in KINDS)]),
)
def test_svg_is_vectors_with_its_glyphs_inside(kept, figure, serif):
    text = made(kept, figure, "svg", serif=serif).decode()
    assert "<image" not in text
    assert "<text" in text, "text stays text"
    glyphs = set()
    for encoded in re.findall(r"base64,([^)]+)\) format\('truetype'\)", text):
        glyphs |= set(TTFont(io.BytesIO(base64.b64decode(encoded))).getBestCmap())
    used = {c for part in re.findall(r">([^<>]*)</text>", text) for c in part} - {"\n"}
    assert used
    assert {ord(character) for character in used} <= glyphs


@pytest.mark.parametrize("figure", exhaustive_except(FIGURES, KINDS))
def test_eps_has_truetype_fonts_and_no_pictures(kept, figure):
    text = made(kept, figure, "eps").decode("latin-1")
    assert text.startswith("%!PS-Adobe-3.0 EPSF")
    assert "/FontType 42 def" in text
    assert "/FontType 3 def" not in text
    assert not re.search(r"\b(color)?image(mask)?$", text, re.MULTILINE), "nothing is rasterised"


@pytest.mark.parametrize("figure", exhaustive_except(FIGURES, KINDS))
def test_pgf_is_made_without_latex_and_leaves_text_to_it(kept, figure):
    text = made(kept, figure, "pgf").decode()
    assert text.count(r"\begin{pgfpicture}") == text.count(r"\end{pgfpicture}") == 1
    assert text.count(r"\begin{pgfscope}") == text.count(r"\end{pgfscope}") > 10
    assert r"\pgftext[" in text
    assert r"\pgfimage" not in text
    assert r"\includegraphics" not in text


@pytest.mark.parametrize("figure", exhaustive_except(["geometry", "angles", "finals", "composed"], ["geometry"]))
@pytest.mark.parametrize("format_", get_args(Format))
def test_the_same_request_gives_the_same_bytes(kept, figure, format_):
    first, second = (made(kept, figure, format_) for _ in range(2))
    assert first == second


def test_a_thousand_points_are_half_a_megabyte_at_most(kept):
    request = asked(kept, "geometry")
    (group,) = request.groups
    capture = group.runs[0].captures[0]
    rng = np.random.default_rng(0)
    arrays = {
        **capture.arrays,
        "features": rng.normal(0, 0.5, (1000, 9)).astype(np.float32),
        "labels": (np.arange(1000) % 10).astype(np.int32),
    }
    run = replace(group.runs[0], captures=[replace(capture, arrays=arrays)])
    request = replace(request, groups=[replace(group, runs=[run])])
    for format_ in VECTORS:
        content = render_figure(replace(request, format=format_))
        assert len(content) <= 500_000, format_


def test_a_png_has_the_dots_asked_for(kept):
    with Image.open(io.BytesIO(made(kept, "margins", "png", dpi=100, venue="neurips"))) as image:
        assert image.width == 550


# ── type and layout ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize("several", exhaustive_except([False, True], [True]))
@pytest.mark.parametrize("venue", exhaustive_except(["neurips-half", "jmlr"], ["neurips-half"]))
def test_words_are_large_enough_and_lie_on_no_other(kept, figure, several, venue):
    request = asked(kept, figure, ids=ids_of(kept, figure, several), venue=venue)
    figure_ = drawn(request)
    renderer = figure_.canvas.get_renderer()
    shown = []
    renderer.draw_text = lambda *given, mtext=None, **_: shown.append(mtext)
    figure_.draw(renderer)
    shown = [text for text in shown if text is not None and text.get_text().strip()]
    assert len(shown) > 4
    assert min(text.get_fontsize() for text in shown) >= 6
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in shown]
    for (one, a), (other, b) in combinations(boxes, 2):
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        up = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert across <= 1 or up <= 1.5, f"{one!r} lies on {other!r}"
    for words, box in boxes:
        assert box.x0 >= figure_.bbox.x0 - 1, f"{words!r} sticks out at the left"
        assert box.x1 <= figure_.bbox.x1 + 1, f"{words!r} sticks out at the right"


def test_options_change_what_they_say(kept):
    plain, boxed = (drawn(asked(kept, "margin", axes=axes)).axes[0] for axes in ("open", "boxed"))
    assert [plain.spines["top"].get_visible(), boxed.spines["top"].get_visible()] == [False, True]
    assert not drawn(asked(kept, "margin", legend=False)).legends
    assert drawn(asked(kept, "margin")).legends
    assert drawn(asked(kept, "margin", width=2)).get_size_inches()[0] == 2
    assert drawn(asked(kept, "curves", scale="log", keys="cosine_margin,nc1")).axes[1].get_yscale() == "log"
    assert drawn(asked(kept, "curves", scale="linear", keys="nc1")).axes[0].get_yscale() == "linear"


def test_every_option_has_a_description():
    assert list(OPTIONS) == list(FigureOptions.model_fields)


def test_grey_has_the_same_luminance_and_no_hue():
    for colour in palette.CLASSES_10:
        grey = rgb_from_hex(simulate(colour, "grey"))
        assert grey[0] == grey[1] == grey[2]
    # Machado et al. 2009: red and green of one luminance come close for deuteranopia, and not for tritanopia.
    red, green = "#d04040", "#409040"
    visions = ("colour", "deuteranopia", "tritanopia")
    apart = {
        each: np.abs(rgb_from_hex(simulate(red, each)) - rgb_from_hex(simulate(green, each))).sum() for each in visions
    }
    assert apart["deuteranopia"] < 0.5 * apart["colour"] < apart["tritanopia"]
    assert simulate("#ffffff", "protanopia") == "#ffffff"


def test_the_whole_figure_is_seen_in_grey(kept):
    with Image.open(io.BytesIO(made(kept, "curves", "png", ids=kept.heads, sight="grey", dpi=100))) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    ink = np.ptp(pixels, axis=2)
    assert ink.max() <= 30, "axes and type are nearly grey, lines wholly"


# ── what is drawn ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_scene_draws_the_captures_coordinates_sorted_by_depth(kept):
    request = asked(kept, "geometry", camera="0,0,2,0,1,0,1")
    axes = drawn(request).axes[0]
    geometry = views.read_geometry(kept.store, kept.run, None)
    view = np.asarray(geometry.view_matrix)
    found: dict[str, list[np.ndarray]] = {}
    for collection in sorted(axes.collections, key=lambda each: each.get_zorder()):
        if collection.get_gid():
            found.setdefault(collection.get_gid(), []).append(np.asarray(collection.get_offsets()))
    for kind, name in (("class mean", "means"), ("classifier", "weights"), ("feature", "features")):
        at = wire.from_typed(geometry.arrays[name]) @ view
        # Looking down the z axis with y up, the screen is the (x, y) plane, and nearer is a larger z.
        np.testing.assert_allclose(
            np.concatenate(found[kind]), at[np.argsort(at[:, 2], kind="stable")][:, :2], atol=1e-6
        )
    assert len(np.concatenate(found["vertex"])) == 10


def test_far_marks_are_paler(kept):
    axes = drawn(asked(kept, "geometry", camera="0,0,2,0,1,0,1", layers="")).axes[0]
    dots = [each for each in axes.collections if each.get_gid() == "class mean"]
    dots.sort(key=lambda each: each.get_zorder())
    geometry = views.read_geometry(kept.store, kept.run, None)
    depth = (wire.from_typed(geometry.arrays["means"]) @ np.asarray(geometry.view_matrix))[:, 2]
    whole = [rgb_from_hex(colour) for colour in np.asarray(palette.class_colours(10))[np.argsort(depth)]]
    drawn_ = [colour[:3] for each in dots for colour in each.get_facecolor()]
    paleness = [float((1 - shown).sum() / (1 - own).sum()) for shown, own in zip(drawn_, whole, strict=True)]
    assert paleness == sorted(paleness)
    assert 0.45 < paleness[0] < paleness[-1] <= 1


def test_the_scene_is_drawn_along_principal_directions(kept):
    geometry = views.read_geometry(kept.store, kept.run, None, view="pca")
    rows = table_of(made(kept, "geometry", "csv", view="pca").decode())
    shown = np.array([[float(row[axis]) for axis in "xyz"] for row in rows if row["kind"] == "class mean"])
    means = wire.from_typed(geometry.arrays["means"]) @ np.asarray(geometry.view_matrix)
    np.testing.assert_allclose(shown, means, atol=1e-5)
    # Uncorrelated, as principal components are.
    np.testing.assert_allclose((shown.T @ shown)[~np.eye(3, dtype=bool)], 0, atol=0.05 * np.square(shown).sum())


def test_four_classes_are_drawn_alone_at_the_corners_of_their_tetrahedron(kept):
    request = asked(kept, "geometry", "csv", view="tetrahedron", classes="7, 2,9,0")
    rows = table_of(render_figure(request).decode())
    assert {row["class"] for row in rows} == set("7290")
    corners = np.array([[float(row[axis]) for axis in "xyz"] for row in rows if row["kind"] == "vertex"])
    cosines = corners @ corners.T / np.square(corners[0]).sum()
    np.testing.assert_allclose(cosines, (4 * np.eye(4) - 1) / 3, atol=1e-5)
    labels = request.first_run().captures[0].arrays["labels"]
    assert sum(row["kind"] == "feature" for row in rows) == np.isin(labels, [7, 2, 9, 0]).sum()


def test_the_geometry_table_is_what_is_drawn(kept):
    rows = table_of(made(kept, "geometry", "csv").decode())
    kinds = [row["kind"] for row in rows]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "vertex": 10,
        "class mean": 10,
        "classifier": 10,
        "feature": 100,
    }
    vertex = np.array([[float(row[axis]) for axis in "xyz"] for row in rows if row["kind"] == "vertex"])
    np.testing.assert_allclose(np.linalg.norm(vertex, axis=1), 1, atol=5e-3)


def test_a_strip_shows_several_epochs(kept):
    request = asked(kept, "geometry", epochs="0,1,3", venue="neurips")
    assert [panel.title for panel in build_figure_spec(request).panels] == ["epoch 0", "epoch 1", "epoch 3"]
    assert [axes.get_title(loc="left") for axes in drawn(request).axes] == ["epoch 0", "epoch 1", "epoch 3"]
    for panel, epoch in zip(build_figure_spec(request).panels, (0, 1, 3), strict=True):
        arrays = views.read_geometry(kept.store, kept.run, epoch).arrays
        means = next(points for points in panel.points if points.kind == "class mean")
        np.testing.assert_allclose(panel.coordinates["class mean"], wire.from_typed(arrays["means"]), atol=1e-6)
        assert len(means.positions_N3) == 10


def test_curves_and_tables_hold_the_measured_numbers(kept):
    series = views.read_series(kept.store, kept.run, ["nc1", "top1"])
    figure = drawn(asked(kept, "curves", keys="nc1,top1"))
    train_line, test_line = figure.axes[0].lines[:2]
    assert list(train_line.get_ydata()) == series.values["train"]["nc1"]
    assert list(test_line.get_ydata()) == series.values["test"]["nc1"]
    assert [line.get_ydata()[0] for line in figure.axes[1].lines][2] == 1, "the ideal of accuracy is drawn at 1"
    rows = table_of(made(kept, "curves", "csv", keys="nc1,top1").decode())
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    np.testing.assert_allclose([float(row["train/nc1"]) for row in rows], series.values["train"]["nc1"], rtol=1e-6)


def test_seeds_are_their_median_and_their_range(kept):
    held = np.array([views.read_series(kept.store, run, ["nc1"]).values["train"]["nc1"] for run in kept.heads[:3]])
    line = build_figure_spec(asked(kept, "curves", ids=kept.heads, keys="nc1")).panels[0].lines[0]
    np.testing.assert_allclose(line.y, np.median(held, axis=0))
    np.testing.assert_allclose(line.low, held.min(axis=0))
    np.testing.assert_allclose(line.high, held.max(axis=0))
    assert [line.colour, line.label] == [palette.HEAD_COLOURS["light"]["nearest-etf"], "for paper, 3 seeds"]
    rows = table_of(made(kept, "curves", "csv", ids=kept.heads, keys="nc1").decode())
    name = "for paper, 3 seeds train/nc1"
    np.testing.assert_allclose([float(row[f"{name} largest"]) for row in rows], held.max(axis=0), rtol=1e-6)


def test_a_table_has_median_range_and_the_best_in_bold(kept):
    finals = {
        name: [views.read_series(kept.store, run, ["nc1"]).values["train"]["nc1"][-1] for run in ids]
        for name, ids in (("for paper", kept.heads[:3]), ("linear", kept.heads[3:]))
    }
    better = min(finals, key=lambda name: np.median(finals[name]))
    text = made(kept, "finals", "md", ids=kept.heads, keys="nc1", split="train").decode()
    for name, values in finals.items():
        middle, low, high = (f"{part(values):.3g}" for part in (np.median, np.min, np.max))
        shown = f"**{middle}**" if name == better else middle
        row = next(line for line in text.splitlines() if line.startswith(f"| {name}"))
        assert row.endswith(f"| {shown} [{low}, {high}] |")
    tex = made(kept, "finals", "tex", ids=kept.heads, keys="nc1", split="train").decode()
    assert r"\toprule" in tex
    assert rf"\textbf{{{np.median(finals[better]):.3g}}} [" in tex
    assert "3 seeds" in tex


def test_the_histogram_counts_every_pair(kept):
    cosines = wire.from_typed(views.read_geometry(kept.store, kept.run, None).arrays["cosines_means"])
    angles = np.degrees(np.arccos(cosines[np.triu_indices(10, 1)]))
    (chart,) = build_figure_spec(asked(kept, "histogram")).panels
    assert isinstance(chart, ChartSpec)
    counts, edges = chart.histograms[0].counts, chart.histograms[0].edges
    assert counts.sum() == 45
    np.testing.assert_array_equal(np.histogram(angles, edges)[0], counts)
    assert chart.reference_lines[0].value == pytest.approx(np.degrees(np.arccos(-1 / 9)))


def test_margins_are_the_captured_order_statistics(kept):
    arrays = views.read_captured_arrays(kept.store, kept.run, views.read_geometry(kept.store, kept.run, None).step)
    train, test = build_figure_spec(asked(kept, "margins")).panels[0].lines
    np.testing.assert_allclose(train.y, arrays["margins"], rtol=1e-6)
    np.testing.assert_allclose(test.y, arrays["margins_test"], rtol=1e-6)
    assert [train.x[0], train.x[-1], train.dash, test.dash] == [0, 1, "solid", "dot"]


def test_spectra_and_layers_are_the_measured_ones(kept):
    arrays = views.read_captured_arrays(kept.store, kept.run, views.read_geometry(kept.store, kept.run, None).step)
    between = build_figure_spec(asked(kept, "spectra")).panels[0].lines[0]
    positive = arrays["spectrum_between"] > 0
    np.testing.assert_allclose(between.y[positive], arrays["spectrum_between"][positive], rtol=1e-6)
    series = views.read_series(kept.store, kept.layered)
    nc1 = build_figure_spec(asked(kept, "layers")).panels[0]
    assert [words for _, words in nc1.x.tick_labels] == ["2", "penultimate"]
    expected = [series.values["layer:2"]["nc1"][-1], series.values["train"]["nc1"][-1]]
    np.testing.assert_allclose(nc1.lines[0].y, expected)


def test_costs_are_medians_of_the_reports(kept):
    reports = [row.payload for row in event_log.list_newest_events(kept.store, kept.run, "StepMeasured", 200)]
    panel = build_figure_spec(asked(kept, "costs")).panels[0]
    heads = next(bars for bars in panel.bars if bars.label == "head")
    assert heads.values[0] == pytest.approx(1e3 * np.median([report["seconds"]["head"] for report in reports]))


def test_time_to_collapse_is_the_milestone(kept):
    found = views.find_milestones(kept.store, kept.run, "top1", "train", 0.95).time_to_collapse
    panel = build_figure_spec(asked(kept, "times", keys="top1", threshold=0.95)).panels[0]
    assert panel.bars[0].values[0] == found
    never = build_figure_spec(asked(kept, "times", keys="nc1", threshold=1e-9))
    assert "not reached" in never.panels[0].row_labels[0]
    assert never.notices


def test_the_heatmap_shows_angles_too(kept):
    cosines = wire.from_typed(views.read_geometry(kept.store, kept.run, None).arrays["cosines_means"])
    rows = list(csv.reader(io.StringIO(made(kept, "angles", "csv", unit="angle").decode())))
    assert float(rows[1][2]) == pytest.approx(np.degrees(np.arccos(cosines[0, 1])), abs=1e-3)


def test_a_composed_figure_has_letters_and_one_legend(kept):
    request = asked(kept, "composed", panels="geometry,curves:nc1+nc3,margins", venue="neurips")
    shown = drawn(request)
    assert [axes.get_title(loc="left") for axes in shown.axes] == ["a", "b", "c", "d"]
    assert len(shown.legends) == 1
    assert "(b–c) Metrics over epochs" in build_figure_spec(request).caption


def test_each_panel_of_a_composed_figure_has_its_own_metrics(kept):
    found = build_figure_spec(asked(kept, "composed", ids=[kept.layered], panels="training,layers,curves", keys="nc3"))
    titles = [panel.title for panel in found.panels]
    wanted = ["Cross-entropy", "Top-1 accuracy", "NC1 variability", "Accuracy of the nearest class mean"]
    assert titles == [*wanted, "NC3 self-duality"]
    assert all(np.isfinite(line.y).all() for panel in found.panels for line in panel.lines)


def test_two_hundred_classes_have_a_designed_figure_and_a_notice(kept):
    scene = build_figure_spec(asked(kept, "geometry", ids=[kept.many]))
    first, second = scene.panels[0].class_names[0], scene.notices[0]
    assert "200 classes are too many" in second
    assert len(scene.panels[0].labelled_classes) == 2, f"the worst pair alone is named, not {first}"
    heat = build_figure_spec(asked(kept, "angles", ids=[kept.many]))
    assert isinstance(heat.panels[0], HeatmapSpec)
    assert "blocks of" in heat.notices[0]
    assert "quantiles" in build_figure_spec(asked(kept, "histogram", ids=[kept.many])).notices[0]
    for figure in ("geometry", "angles", "histogram"):
        assert len(made(kept, figure, ids=[kept.many])) < 300_000


# ── the interactive twin ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("figure", exhaustive_except(SEVERAL, KINDS))
def test_the_twin_shows_the_same_numbers(kept, figure):
    import orjson

    request = asked(kept, figure, "json", ids=kept.heads)
    printed, twin = build_figure_spec(request), orjson.loads(render_figure(request))
    assert twin["layout"]["meta"]["caption"] == printed.caption
    traces = iter(trace for trace in twin["data"] if trace.get("hoverinfo") != "skip")
    for panel in printed.panels:
        if isinstance(panel, SceneSpec):
            for points in panel.points:
                trace = next(traces)
                np.testing.assert_allclose(np.array([trace[axis] for axis in "xyz"]).T, points.positions_N3)
                assert trace["marker"]["color"] == list(points.colours)
        elif isinstance(panel, HeatmapSpec):
            shown = np.array(next(traces)["z"], dtype=float)
            np.testing.assert_allclose(shown, panel.values)
        else:
            for line in panel.lines:
                trace = next(traces)
                np.testing.assert_allclose(np.array(trace["y"], dtype=float), line.y)
                assert trace["line"]["color"] == line.colour
            for steps in panel.histograms:
                np.testing.assert_allclose(next(traces)["y"], steps.counts)
            for bars in panel.bars:
                np.testing.assert_allclose(np.array(next(traces)["x"], dtype=float), bars.values)
            if panel.intervals is not None:
                np.testing.assert_allclose(np.array(next(traces)["x"], dtype=float), panel.intervals.values)
    assert next(traces, None) is None


# ── words ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_latex_is_escaped():
    assert escape_latex("50 % of a_b & ŵ, H̃, w̄") == r"50 \% of a\_b \& $\hat{w}$, $\tilde{H}$, $\bar{w}$"
    text = format_latex_snippet("a.pdf", "100 %", "icml-wide", "a")
    assert text.splitlines()[0] == r"\begin{figure*}"
    assert r"\caption{100 \%}" in text
    assert r"\input{a.pgf}" in format_latex_snippet("a.pgf", "", "icml", "a")


def test_the_command_says_what_is_not_usual():
    options = FigureOptions(epoch=2, serif=False, legend=False, camera="1,1,1,0,0,1,1")
    text = format_export_command(["abc"], "geometry", "pdf", options, "geometry.pdf")
    assert text == "collapse export abc geometry -o geometry.pdf --epoch 2 --camera 1,1,1,0,0,1,1 --sans --no-legend"
    assert format_export_command(["a"], "curves", "csv", FigureOptions(), "x").endswith("-o x --format csv")


# ── what cannot be drawn ────────────────────────────────────────────────────────────────────────────────────────────


def test_the_camera_is_orthonormal():
    points = np.random.default_rng(0).normal(size=(20, 3))
    screen, depth = Camera(eye=(0.3, -1.4, 0.9), up=(0, 0, 1)).project(points)
    whole = np.column_stack([screen, depth])
    np.testing.assert_allclose(whole @ whole.T, points @ points.T, atol=1e-12)


@pytest.mark.parametrize("text", ["1,2,3", "a,b,c,d,e,f,g", "1,0,0,1,0,0,1", "1,1,1,0,0,1,0", "nan,0,0,0,0,1,1"])
def test_a_wrong_camera_is_refused(text):
    with pytest.raises(FigureError, match="camera"):
        parse_camera(text)


@pytest.mark.parametrize(
    ("figure", "options", "error", "words"),
    [
        ("geometry", {"venue": "nature"}, Invalid, "neurips"),
        ("geometry", {"layers": "features,shadows"}, Invalid, "shadows"),
        ("geometry", {"view": "tetrahedron", "classes": "0,1,2"}, Invalid, "must be 4 different ones"),
        ("geometry", {"view": "tetrahedron", "classes": "0,1,2,x"}, Invalid, "whole numbers"),
        ("geometry", {"view": "sideways"}, Invalid, "view must be the run's own or one of pca, tetrahedron"),
        ("geometry", {"epochs": "1,2,x"}, Invalid, "epochs must be numbers"),
        ("geometry", {"epochs": "0,1,2,3,4,5,6"}, Invalid, "epochs must be 1 to 6"),
        ("geometry", {"shade": "1"}, Invalid, "there is no option 'shade'"),
        ("geometry", {"sight": "owl"}, Invalid, "sight"),
        ("curves", {"keys": "nc9"}, Invalid, "there is no metric 'nc9'"),
        ("curves", {"keys": "nc5_ood"}, NotFound, "has no metric 'nc5_ood'"),
        ("curves", {"until": 0}, NotFound, "its first measured one is 1"),
        ("times", {"keys": "nc2_etf_means"}, Invalid, "say with --threshold"),
        ("layers", {}, NotFound, "measure.layers"),
        ("implicit", {}, Invalid, "head.implicit_gradient=false"),
        ("composed", {"panels": "geometry,portrait"}, Invalid, "portrait"),
    ],
)
def test_wrong_options_name_the_right_ones(kept, figure, options, error, words):
    with pytest.raises(error, match=words):
        made(kept, figure, ids=[kept.run], **options)


def test_an_epoch_without_a_capture_offers_the_nearest(kept):
    found = build_figure_spec(asked(kept, "geometry", epoch=2.7))
    assert "epoch 2" in found.caption
    assert any("nearest" in notice and "2.7" in notice for notice in asked(kept, "geometry", epoch=2.7).notices)


def test_a_run_without_geometry_says_so(store):
    run_id, _ = runs.create(store, tiny())
    with pytest.raises(NotFound, match="none yet"):
        collect(store, [run_id], "geometry", "pdf", FigureOptions())


def test_a_damaged_capture_says_so(store):
    run_id, _ = runs.create(store, tiny())
    run_attempts.claim_run(store, run_id, "cpu")
    file = artifacts.write(store, run_id, "geometry", 0, 1, {"means": np.zeros((2, 1))})
    started = {"class_names": ["a", "b"], "view": "line", "view_matrix": [[1.0, 0, 0]], "vertices": [[1.0], [-1.0]]}
    captured = NewEvent("GeometryCaptured", {"epoch": 0.0, "step": 0}, file)
    event_log.append(store, run_id, 1, [NewEvent("RunStarted", started), captured])
    (store.data_dir / file.path).unlink()
    with pytest.raises(Exception, match="damaged or missing on disk"):
        views.read_geometry(store, run_id, None)


def test_the_figure_process_survives_errors_and_its_own_death(kept):
    process = FigureProcess(StoreLocation(data_dir=kept.store.data_dir, database_url=kept.store.url))
    job = FigureJob(runs=[kept.run], figure="geometry", format="svg", options=FigureOptions())
    expected = made(kept, "geometry", "svg", ids=[kept.run])
    try:
        assert process.make(job) == (expected, "for paper")
        bad = job.model_copy(update={"figure": "times", "options": FigureOptions(keys="gnc2_means")})
        with pytest.raises(Invalid, match="say with --threshold"):
            process.make(bad)
        with pytest.raises(NotFound, match="there is no run 'nosuchrun0'"):
            process.make(job.model_copy(update={"runs": ["nosuchrun0"]}))
        assert process.make(job).content == expected
        process._process.kill()
        process._process.wait()
        assert process.make(job).content == expected
    finally:
        process.close()
