"""Films from a terminal: which runs, how long, and how far the drawing is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backend.figures.collect import film_request
from backend.figures.export import ids_in_store
from backend.store.errors import Invalid
from ncengine import __version__
from ncfigures.film import FORMATS, FilmTiming, render_film, screen_options
from ncfigures.options import FigureOptions, film_command, parse_options

if TYPE_CHECKING:
    from rich.progress import Progress

    from backend.store.database import Store


@dataclass(frozen=True, slots=True)
class FilmOrder:
    """A film as it is asked for: `runs` are ids with commas between them, or a filter."""

    runs: str
    format: str
    seconds: float
    fps: int
    turn_deg: float
    pixels: int
    options: dict[str, str | None]

    def command(self, ids: list[str], options: FigureOptions) -> str:
        """Return the command that makes the film again."""
        timing = f"--seconds {self.seconds:g} --fps {self.fps} --turn {self.turn_deg:g} --pixels {self.pixels}"
        return f"{film_command(ids, options, f'film.{self.format}')} {timing}"


def film_from_store(store: Store, wanted: FilmOrder, progress: Progress) -> bytes:
    """Return the film, showing how many frames are drawn; raises Invalid, NotFound, Unusable with the remedy."""
    if wanted.format not in FORMATS:
        raise Invalid(f"the file must end in {' or '.join('.' + each for each in FORMATS)}, got {wanted.format!r}")
    timing = FilmTiming(wanted.seconds, wanted.fps, wanted.turn_deg, wanted.pixels).checked()
    options = parse_options({name: value for name, value in wanted.options.items() if value is not None})
    ids = ids_in_store(store, wanted.runs)
    task = progress.add_task("reading captures", total=timing.frames, facts="")
    request = film_request(store, ids, options)
    request = request.model_copy(update={"options": screen_options(request.options, len(request.entries))})
    hashes = ", ".join(f"{m.run.id} (config {m.config_hash[:12]})" for e in request.entries for m in e.members[:1])
    about = f"Collapse Lab {__version__}: run {hashes}; {wanted.command(ids, options)}"
    progress.update(task, description="drawing")
    return render_film(request, wanted.format, timing, about, lambda done: progress.update(task, completed=done))
