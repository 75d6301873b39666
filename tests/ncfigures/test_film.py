"""Films: every capture as it was measured, what is between them marked, a camera that turns smoothly."""

from __future__ import annotations

import io
import itertools
from dataclasses import replace

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from backend.figures.collect import collect_film
from backend.store.errors import Invalid
from ncfigures.errors import FigureError
from ncfigures.figure_spec import Camera, parse_camera
from ncfigures.film import (
    FilmTiming,
    draw_frames,
    ease_in_out,
    format_frame_label,
    interpolate_captures,
    make_screen_options,
    plan_frames,
    render_film,
    rotate_camera,
    select_common_captures,
)
from ncfigures.options import parse_options
from tests.cli.test_cli import collapse

SHORT = FilmTiming(seconds=1.0, fps=14, turn_deg=40, width_px=301)


@given(st.integers(1, 60), st.integers(2, 200))
def test_every_frame_shows_a_capture_or_says_that_it_is_between_two(captures, frames):
    found = plan_frames(captures, frames)
    assert len(found) == frames
    assert (found[0].first, found[0].measured) == (0, True)
    assert (found[-1].first, found[-1].measured) == (captures - 1, True)
    places = [frame_.first + frame_.share for frame_ in found]
    assert places == sorted(places)
    for frame_ in found:
        assert frame_.second == frame_.first if frame_.measured else frame_.second == frame_.first + 1
        assert 0 <= frame_.share < 1
    shown = {frame_.first for frame_ in found if frame_.measured}
    if frames >= captures:
        assert shown == set(range(captures)), "no capture is left out where there is room for all"
    else:
        assert len(shown) == frames
        assert all(frame_.measured for frame_ in found), "nothing is made up where captures are left out"


@pytest.fixture(scope="module")
def request_of(kept):
    held = collect_film(kept.store, [kept.run], parse_options({"layers": "features,classifier"}))
    return replace(held, options=make_screen_options(held.options, 1))


def test_between_two_captures_coordinates_move_in_a_straight_line(request_of):
    first, second = request_of.first_run().captures[2:4]
    middle = interpolate_captures(first, second, 0.25)
    for name in ("means", "weights", "features"):
        one, other, found = (each.arrays[name] for each in (first, second, middle))
        np.testing.assert_allclose(found, 0.75 * one + 0.25 * other, atol=1e-6)
    assert (middle.vertices == first.vertices).all()
    assert middle.epoch == pytest.approx(0.75 * first.epoch + 0.25 * second.epoch)


def test_a_moment_is_named(request_of):
    captures = request_of.first_run().captures
    said = [format_frame_label(captures, frame_) for frame_ in plan_frames(len(captures), 3 * len(captures))]
    assert said[0] == f"epoch {captures[0].epoch:.4g}"
    assert f"between epochs {captures[-2].epoch:.4g} and {captures[-1].epoch:.4g}, interpolated" in said


@given(st.floats(-720, 720))
def test_the_camera_turns_about_its_own_up(degrees):
    start = Camera((1.0, 0.5, 0.7), (0.1, 0.0, 1.0), 1.2)
    found = parse_camera(rotate_camera(start, degrees))
    up = np.asarray(start.up) / np.linalg.norm(start.up)
    assert np.linalg.norm(found.eye) == pytest.approx(np.linalg.norm(start.eye), rel=1e-4)
    assert np.asarray(found.eye) @ up == pytest.approx(np.asarray(start.eye) @ up, abs=1e-4)
    flat = [np.asarray(eye) - (np.asarray(eye) @ up) * up for eye in (start.eye, found.eye)]
    angle = np.arctan2(np.cross(flat[0], flat[1]) @ up, flat[0] @ flat[1])
    assert np.cos(angle) == pytest.approx(np.cos(np.radians(degrees)), abs=1e-4)
    assert np.sin(angle) == pytest.approx(np.sin(np.radians(degrees)), abs=1e-4)


def test_it_starts_and_ends_at_rest():
    assert (ease_in_out(0), ease_in_out(0.5), ease_in_out(1)) == (0, 0.5, 1)
    assert ease_in_out(1e-3) < 1e-5
    assert 1 - ease_in_out(1 - 1e-3) < 1e-5


def test_a_gif_shows_all_and_says_where_it_comes_from(request_of):
    done = []
    content = render_film(request_of, "gif", SHORT, "made so", done.append)
    assert done == list(range(1, 15))
    picture = Image.open(io.BytesIO(content))
    assert (picture.n_frames, picture.info["comment"], picture.info["loop"]) == (14, b"made so", 0)
    assert picture.width == 302, "even, as films need it"
    shown, lasts = [], []
    for frame in range(picture.n_frames):
        picture.seek(frame)
        shown.append(np.asarray(picture.convert("RGB")).astype(int))
        lasts.append(picture.info["duration"])
    assert lasts[:-1] == [70] * 13
    assert lasts[-1] == 2000
    assert all((one != other).any() for one, other in itertools.pairwise(shown))
    assert (shown[0][-1, -1] == 255).all(), "white is white"
    assert render_film(request_of, "gif", SHORT, "made so", done.append) == content


def test_nothing_but_the_scene_moves(kept):
    held = collect_film(kept.store, [kept.run], parse_options({"layers": ""}))
    some = replace(held, options=make_screen_options(held.options, 1))
    shown = [np.asarray(picture) for picture in draw_frames(some, SHORT)]
    assert all((picture[:20] == shown[0][:20]).all() for picture in shown), "the legend stands still"
    assert (shown[0][:20] < 128).any()


def test_an_mp4_has_every_frame(request_of):
    content = render_film(request_of, "mp4", FilmTiming(seconds=0.5, fps=10, width_px=300), "made so", lambda _: None)
    with av.open(io.BytesIO(content)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert container.metadata["comment"] == "made so"
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(pictures) == 5
    assert pictures[0].shape[1] == 300
    assert pictures[0].mean() > 200, "a white ground"


def test_several_runs_stand_side_by_side_at_the_epochs_that_all_have(kept):
    held = collect_film(kept.store, [kept.run, kept.cut], parse_options({}))
    captures = [group.runs[0].captures for group in held.groups]
    assert len(captures[0]) > len(captures[1]), "three epochs and two"
    epochs = [[capture.epoch for capture in each] for each in select_common_captures(captures)]
    assert epochs[0] == epochs[1] == [capture.epoch for capture in captures[1]]
    with pytest.raises(FigureError, match="no epoch that all of them captured"):
        select_common_captures([captures[0][:1], captures[1][-1:]])


@pytest.mark.parametrize(
    ("timing", "words_"),
    [
        (FilmTiming(seconds=0.1), "seconds must be 0.5 to 120, got 0.1"),
        (FilmTiming(fps=0), "fps must be 1 to 60, got 0"),
        (FilmTiming(width_px=5000), "pixels must be 200 to 1920, got 5000"),
        (FilmTiming(seconds=120, fps=60), "2000 frames at most, and this one 7200"),
    ],
)
def test_numbers_out_of_range_are_refused(timing, words_):
    with pytest.raises(FigureError, match=words_):
        timing.checked()


def test_from_a_terminal(kept, tmp_path):
    data = kept.store.data_dir
    target = tmp_path / "run.gif"
    short = ("--seconds", "0.5", "--fps", "4", "--pixels", "200")
    done = collapse(data, "film", kept.run, "-o", str(target), *short)
    assert "2/2" in done.stderr, "progress is shown"
    with Image.open(target) as picture:
        assert b"collapse film " + kept.run.encode() in picture.info["comment"]
    refused = collapse(data, "film", kept.run, "-o", str(tmp_path / "run.avi"), expect=2).stderr
    assert "must end in .gif or .mp4, got 'avi'" in refused
    assert not list(tmp_path.glob("*.avi*"))
    with pytest.raises(Invalid, match="a film shows all epochs"):
        collect_film(kept.store, [kept.run], parse_options({"epoch": 1}))
