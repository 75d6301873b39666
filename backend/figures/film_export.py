"""Films for the command line, with a progress bar."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from backend.figures.collect import SOFTWARE, film_request
from backend.figures.errors import figure_errors
from backend.figures.export import ids_in_store
from backend.store.errors import Invalid
from ncfigures.film import FORMATS, FilmTiming, render_film, screen_options
from ncfigures.options import FigureOptions, film_command, parse_options

if TYPE_CHECKING:
    from rich.progress import Progress

    from backend.store.database import Store


@dataclass(frozen=True, slots=True)
class FilmOrder:
    """A requested film: `runs` are comma-separated ids, or a filter."""

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


@figure_errors()
def film_from_store(store: Store, order: FilmOrder, progress: Progress) -> bytes:
    """Return the film, showing how many frames are drawn; raises Invalid, NotFound, Unusable with the remedy."""
    if order.format not in FORMATS:
        raise Invalid(f"the file must end in {' or '.join('.' + each for each in FORMATS)}, got {order.format!r}")
    timing = FilmTiming(order.seconds, order.fps, order.turn_deg, order.pixels).checked()
    options = parse_options({name: value for name, value in order.options.items() if value is not None})
    ids = ids_in_store(store, order.runs)
    task = progress.add_task("reading captures", total=timing.frames, facts="")
    request = film_request(store, ids, options)
    request = replace(request, options=screen_options(request.options, len(request.groups)))
    first_runs = [group.runs[0] for group in request.groups]
    hashes = ", ".join(f"{run.id} (config {run.config_hash[:12]})" for run in first_runs)
    about = f"{SOFTWARE}: run {hashes}; {order.command(ids, options)}"
    progress.update(task, description="drawing")
    return render_film(request, order.format, timing, about, lambda done: progress.update(task, completed=done))
