"""Figures and films for the command line and notebooks, from a store or a server, or again from a figure's own file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.figures.collect import MAX_RUNS, SOFTWARE, collect_film, figure_errors
from backend.store.errors import Invalid, NotFound
from ncfigures.options import FigureOptions, check_figure, format_film_command, parse_options, split_list
from ncfigures.provenance import read_provenance_file

if TYPE_CHECKING:
    from rich.progress import Progress

    from backend.client import Client
    from backend.store.database import Store


@dataclass(frozen=True, slots=True)
class FigureOrder:
    """A requested figure: `runs` are comma-separated ids, or a filter."""

    runs: str
    figure: Any
    format: Any
    options: dict[str, Any]


def read_order(path: Path) -> FigureOrder:
    """Return the order that repeats a figure's file; raises Invalid if the file has no provenance."""
    with figure_errors():
        provenance = read_provenance_file(path)
    return FigureOrder(
        ",".join(run.id for run in provenance.runs), provenance.figure, provenance.format, dict(provenance.options)
    )


@figure_errors()
def parse_order_options(order: FigureOrder) -> FigureOptions:
    """Return the options of an order; raises Invalid for an unknown figure, format or option."""
    options = parse_options(order.options)
    check_figure(order.figure, order.format, options)
    return options


def find_runs_in_store(store: Store, runs: str) -> list[str]:
    """Return the ids that are named, or that match a filter; raises NotFound if there are none."""
    from backend.store import query

    return (
        _required(sorted(query.list_matching_ids(store, runs, MAX_RUNS + 1)), runs) if ":" in runs else split_list(runs)
    )


def find_runs_on_server(client: Client, runs: str) -> list[str]:
    """Return the ids that are named, or that match a filter, on a server."""
    from backend.client import calls

    if ":" not in runs:
        return split_list(runs)
    return _required(sorted(run.id for run in client(calls.runs(q=runs, limit=MAX_RUNS + 1)).items), runs)


def export_from_store(store: Store, order: FigureOrder) -> bytes:
    """Return the file, drawn in this process."""
    from backend.figures.files import make_figure_file

    options = parse_order_options(order)
    return make_figure_file(store, find_runs_in_store(store, order.runs), order.figure, order.format, options).content


def export_from_server(client: Client, order: FigureOrder) -> bytes:
    """Return the file, drawn by a server."""
    from backend.client import calls

    options = parse_order_options(order)
    ids = ",".join(find_runs_on_server(client, order.runs))
    return client(calls.figure(ids, order.figure, order.format, **options.non_default()))


def _required(ids: list[str], text: str) -> list[str]:
    if not ids:
        raise NotFound(f"no run is meant by {text!r}; `collapse runs --filter` shows what a filter means")
    if len(ids) > MAX_RUNS:
        raise Invalid(f"{text!r} means more than {MAX_RUNS} runs; narrow it down")
    return ids


@dataclass(frozen=True, slots=True)
class FilmOrder:
    """A requested film: `runs` are comma-separated ids, or a filter."""

    runs: str
    format: str
    seconds: float
    fps: int
    turn_deg: float
    pixels: int
    options: dict[str, Any]

    def command(self, ids: list[str], options: FigureOptions) -> str:
        """Return the command that makes the film again."""
        timing = f"--seconds {self.seconds:g} --fps {self.fps} --turn {self.turn_deg:g} --pixels {self.pixels}"
        return f"{format_film_command(ids, options, f'film.{self.format}')} {timing}"


@figure_errors()
def film_from_store(store: Store, order: FilmOrder, progress: Progress) -> bytes:
    """Return the film, showing how many frames are drawn; raises Invalid, NotFound, Unusable with the remedy."""
    from ncfigures.film import FORMATS, FilmTiming, make_screen_options, render_film

    if order.format not in FORMATS:
        raise Invalid(f"the file must end in {' or '.join('.' + each for each in FORMATS)}, got {order.format!r}")
    timing = FilmTiming(order.seconds, order.fps, order.turn_deg, order.pixels).checked()
    options = parse_options(order.options)
    ids = find_runs_in_store(store, order.runs)
    task = progress.add_task("reading captures", total=timing.frames, facts="")
    request = collect_film(store, ids, options)
    request = replace(request, options=make_screen_options(request.options, len(request.groups)))
    first_runs = [group.runs[0] for group in request.groups]
    hashes = ", ".join(f"{run.id} (config {run.config_hash[:12]})" for run in first_runs)
    about = f"{SOFTWARE}: run {hashes}; {order.command(ids, options)}"
    progress.update(task, description="drawing")
    return render_film(request, order.format, timing, about, lambda done: progress.update(task, completed=done))
