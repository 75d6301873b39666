"""Films of the geometry: the captures of runs one after another, with a rotating camera.

Between two captures nothing was measured. Frames there are interpolated in the coordinates of the ETF's own frame, and
say so: in words, and by a hollow mark on the time line, whose ticks are the captures. GIF through Pillow; MP4 (H.264)
through PyAV, of the extra `video`. The same runs and options give the same GIF to the byte.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ncfigures import palette
from ncfigures.errors import FigureError, MissingPackageError, requires_extra
from ncfigures.figure_data import CaptureData, FigureRequest
from ncfigures.figure_spec import Camera, parse_camera
from ncfigures.figures.geometry import build_geometry
from ncfigures.options import FigureOptions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("gif", "mp4")
MAX_FRAMES = 2000
PALETTE_COLOURS = 255
"""Colours of a GIF's palette; the whole film has one, so that nothing flickers."""
PALETTE_FRAMES = 8
"""Frames from which the palette is computed."""
INTERPOLATED = ("means", "weights", "features")


@dataclass(frozen=True, slots=True)
class FilmTiming:
    """Duration, frames per second, rotation of the camera, and width of a film."""

    seconds: float = 8.0
    fps: int = 20
    turn_deg: float = 90.0
    width_px: int = 720

    def checked(self) -> FilmTiming:
        """Return itself; raises FigureError if a number is out of range."""
        for name, value, low, high in (
            ("seconds", self.seconds, 0.5, 120.0),
            ("fps", self.fps, 1, 60),
            ("turn", self.turn_deg, -3600.0, 3600.0),
            ("pixels", self.width_px, 200, 1920),
        ):
            if not low <= value <= high:
                raise FigureError(f"{name} must be {low:g} to {high:g}, got {value:g}")
        if self.frames > MAX_FRAMES:
            raise FigureError(
                f"a film has {MAX_FRAMES} frames at most, and this one {self.frames}; lower seconds or fps"
            )
        return self

    @property
    def frames(self) -> int:
        return max(2, round(self.seconds * self.fps))


@dataclass(frozen=True, slots=True)
class FilmFrame:
    """A frame: the captures before and after it, the fraction of the way between them, and its progress in the film."""

    first: int
    second: int
    share: float
    progress: float

    @property
    def measured(self) -> bool:
        return self.share == 0.0


def plan_frames(captures: int, frames: int) -> list[FilmFrame]:
    """Return the frames of a film. A capture that has a frame of its own is shown exactly as it was measured.

    With more captures than frames some are left out, evenly, the first and the last among those that are not.
    """
    last = max(0, captures - 1)
    if frames <= captures:
        kept = [round(frame * last / (frames - 1)) for frame in range(frames)]
        return [FilmFrame(place, place, 0.0, frame / (frames - 1)) for frame, place in enumerate(kept)]
    apart = (frames - 1) / max(1, last)
    measured = {math.floor(place * apart + 0.5): place for place in range(captures)}
    planned = []
    for frame in range(frames):
        # With one capture only the camera moves.
        place = min(frame / apart, float(last))
        first = measured.get(frame, math.floor(place))
        share = 0.0 if frame in measured or not last else place - first
        planned.append(FilmFrame(first, first + 1 if share else first, share, frame / (frames - 1)))
    return planned


def interpolate_captures(first: CaptureData, second: CaptureData, share: float) -> CaptureData:
    """Interpolate linearly between two captures in the frame of the nearest ETF; `share` is in [0, 1]."""
    arrays = dict(first.arrays)
    for name in INTERPOLATED:
        one, other = (each.arrays[name].astype(np.float64) for each in (first, second))
        if one.shape == other.shape:
            arrays[name] = ((1 - share) * one + share * other).astype(np.float32)
    matrix = (1 - share) * first.view_matrix + share * second.view_matrix
    epoch = (1 - share) * first.epoch + share * second.epoch
    return replace(first, arrays=arrays, view_matrix=matrix, epoch=epoch)


def rotate_camera(camera: Camera, degrees: float) -> str:
    """Return the camera rotated about its up vector, as text."""
    up = np.asarray(camera.up) / np.linalg.norm(camera.up)
    eye, angle = np.asarray(camera.eye), math.radians(degrees)
    around = eye * math.cos(angle) + np.cross(up, eye) * math.sin(angle) + up * (up @ eye) * (1 - math.cos(angle))
    return ",".join(f"{value:.6g}" for value in (*around, *camera.up, camera.zoom))


def ease_in_out(progress: float) -> float:
    """Return 3p² − 2p³, which starts and ends with zero velocity."""
    return progress * progress * (3 - 2 * progress)


def draw_frames(request: FigureRequest, timing: FilmTiming) -> Iterator[Image.Image]:
    """Draw the frames of a geometry request whose first runs have all their captures."""
    captures = select_common_captures([group.runs[0].captures for group in request.groups])
    for film_frame in plan_frames(len(captures[0]), timing.frames):
        yield _frame(request, captures, film_frame, timing)


def select_common_captures(captures_by_run: Sequence[Sequence[CaptureData]]) -> list[list[CaptureData]]:
    """Return each run's captures at the epochs that all runs captured; raises FigureError if there are none."""
    shared = set.intersection(*({round(capture.epoch, 6) for capture in captures} for captures in captures_by_run))
    if not shared:
        raise FigureError("these runs have no epoch that all of them captured; film them one by one")
    return [[capture for capture in captures if round(capture.epoch, 6) in shared] for captures in captures_by_run]


def _frame(
    request: FigureRequest, captures_by_run: Sequence[Sequence[CaptureData]], film_frame: FilmFrame, timing: FilmTiming
) -> Image.Image:
    shown = []
    for group, captures in zip(request.groups, captures_by_run, strict=True):
        first, second = captures[film_frame.first], captures[film_frame.second]
        capture = first if film_frame.measured else interpolate_captures(first, second, film_frame.share)
        shown.append(replace(group, runs=[replace(group.runs[0], captures=[capture])]))
    camera = rotate_camera(parse_camera(request.options.camera), timing.turn_deg * ease_in_out(film_frame.progress))
    options = request.options.model_copy(update={"camera": camera})
    spec = build_geometry(replace(request, groups=shown, options=options))
    with requires_extra("figures"):
        from ncfigures.matplotlib_renderer import draw_figure
        from ncfigures.matplotlib_style import apply_rc_params
    with apply_rc_params(options):
        figure = draw_figure(spec, options, "png", below_in=STRIP_IN)
        _timeline(figure, captures_by_run[0], film_frame)
        width = timing.width_px + timing.width_px % 2
        figure.set_dpi(width / figure.get_figwidth())
        figure.canvas.draw()
        pixels = np.asarray(figure.canvas.buffer_rgba())  # type: ignore[attr-defined]  # Agg's, as draw_figure sets it
    picture = Image.fromarray(pixels).convert("RGB")
    return picture.crop((0, 0, picture.width - picture.width % 2, picture.height - picture.height % 2))


STRIP_IN = 0.45
"""Height of the time line at the foot."""


def _timeline(figure: Figure, captures: Sequence[CaptureData], film_frame: FilmFrame) -> None:
    """Draw the time line: a tick for each capture, the frame's label, and a marker, hollow if interpolated."""
    ink, quiet = palette.TOKENS["light"]["ink"], palette.TOKENS["light"]["ink-3"]
    axes = figure.add_axes((0.05, 0.0, 0.9, STRIP_IN / figure.get_figheight()))
    count, end = len(captures), max(1, len(captures) - 1)
    axes.set(xlim=(-0.02 * end, 1.02 * end), ylim=(0, 1))
    axes.axis("off")
    axes.plot([0, end], [0.25, 0.25], color=quiet, lw=0.6)
    axes.plot(range(count), [0.25] * count, ls="none", marker="|", ms=4, color=quiet, mew=0.6)
    at = film_frame.first + film_frame.share
    face = ink if film_frame.measured else "white"
    axes.plot([at], [0.25], marker="o", ms=5, mfc=face, mec=ink, mew=0.9, zorder=3)
    axes.text(0, 0.62, format_frame_label(captures, film_frame), color=ink, va="center", ha="left")


def format_frame_label(captures: Sequence[CaptureData], film_frame: FilmFrame) -> str:
    """Return the label of a frame: its epoch, or the epochs that it interpolates between."""
    first, second = captures[film_frame.first].epoch, captures[film_frame.second].epoch
    if film_frame.measured:
        return f"epoch {first:.4g}"
    return f"between epochs {first:.4g} and {second:.4g}, interpolated"


def make_screen_options(options: FigureOptions, panels: int) -> FigureOptions:
    """Return options for a screen: no serifs, and a width for so many scenes side by side."""
    return options.model_copy(update={"serif": False, "width": 4.0 if panels == 1 else min(12.0, 3.2 * panels)})


def render_film(
    request: FigureRequest, format_: str, timing: FilmTiming, about: str, progress: Callable[[int], None]
) -> bytes:
    """Return the file of a film in a format of FORMATS, with `about` as its comment.

    `progress` is called with the number of frames drawn. Raises MissingPackageError where MP4 lacks its extra.
    """
    writer = _gif if format_ == "gif" else _mp4()

    def counted() -> Iterator[Image.Image]:
        for done, picture in enumerate(draw_frames(request, timing), start=1):
            yield picture
            progress(done)

    return writer(counted(), timing, about)


def _palette(pictures: Sequence[Image.Image]) -> Image.Image:
    """Return one palette for all frames; it contains white."""
    some = pictures[:: max(1, len(pictures) // PALETTE_FRAMES)]
    sheet = Image.fromarray(np.concatenate([np.asarray(picture) for picture in some]))
    colours = sheet.quantize(PALETTE_COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    entries = np.array(colours.getpalette()).reshape(-1, 3)
    entries[entries.sum(axis=1).argmax()] = 255
    colours.putpalette(entries.flatten().tolist())
    return colours


def _gif(pictures: Iterator[Image.Image], timing: FilmTiming, about: str) -> bytes:
    drawn = list(pictures)
    colours = _palette(drawn)
    mapped = [picture.quantize(palette=colours, dither=Image.Dither.NONE) for picture in drawn]
    target = io.BytesIO()
    # Frames last whole hundredths of a second; the last is shown for two seconds.
    lasts = [round(100 / timing.fps) * 10] * (len(mapped) - 1) + [2000]
    more: dict[str, Any] = {"append_images": mapped[1:], "duration": lasts, "loop": 0, "comment": about.encode()}
    mapped[0].save(target, "GIF", save_all=True, optimize=False, **more)
    return target.getvalue()


def _mp4() -> Callable[[Iterator[Image.Image], FilmTiming, str], bytes]:
    """Return the function that writes MP4; raises MissingPackageError if PyAV is not installed."""
    try:
        import av
    except ImportError as error:
        raise MissingPackageError(
            "MP4 needs the extra `video`: pip install 'collapse-lab[video]'; GIF works without"
        ) from error

    def write(pictures: Iterator[Image.Image], timing: FilmTiming, about: str) -> bytes:
        target = io.BytesIO()
        with av.open(target, "w", format="mp4") as container:
            container.metadata["comment"] = about
            stream: Any = None
            for picture in pictures:
                if stream is None:
                    stream = container.add_stream("libx264", rate=timing.fps, options={"crf": "18"})
                    stream.width, stream.height, stream.pix_fmt = picture.width, picture.height, "yuv420p"
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")))
            container.mux(stream.encode(None))
        return target.getvalue()

    return write
