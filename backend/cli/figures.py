"""Commands that write figures, replays and films of runs, and reproduce the paper's comparisons."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from backend.cli.options import Data, Database, Mirror, Yes, require_free, with_figure_options
from backend.cli.services import ServiceOptions, open_store_service, with_service
from ncfigures.catalogue import FIGURES, FILM_OPTIONS, MEDIA_TYPES

SideBySide = Annotated[
    str, typer.Argument(metavar="RUN", help="A run id, several comma-separated ids, or a filter: side by side.")
]


@with_service
@with_figure_options
def export(
    options: dict[str, Any],
    service: ServiceOptions,
    runs_of: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="A run id, several comma-separated ids, or a filter such as group:rates."),
    ] = None,
    figure: Annotated[str | None, typer.Argument(help=f"One of {', '.join(FIGURES)}.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="File to write.")] = None,
    format_: Annotated[
        str | None, typer.Option("--format", help=f"One of {', '.join(MEDIA_TYPES)} (default: the file's suffix).")
    ] = None,
    again: Annotated[Path | None, typer.Option(help="Make a figure again from its file's provenance.")] = None,
    yes: Yes = False,
) -> None:
    """Write a figure: vectors (pdf, svg, eps, pgf), an image (png), the data (csv) or a table (tex, md)."""
    from backend.figures.export import FigureOrder, read_order
    from backend.store.errors import Invalid

    if again is not None:
        if runs_of is not None or options:
            raise Invalid("--again takes everything from the file; leave the run, the figure and options out")
        order = read_order(again)
        target = output or again.with_stem(f"{again.stem}-again")
    else:
        if runs_of is None or figure is None or output is None:
            raise Invalid("give a run, a figure, and a file with -o; or --again FIGURE.pdf")
        order = FigureOrder(runs_of, figure, format_ or output.suffix.removeprefix(".").lower(), options)
        target = output
    require_free(target, yes)
    with service.open() as opened:
        _write(target, opened.export_figure(order))


@with_service
def replay(
    runs_of: SideBySide,
    service: ServiceOptions,
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write, such as run.html.")],
    yes: Yes = False,
) -> None:
    """Write an offline replay of runs: one HTML file with scenes, slider, cosines and curves."""
    require_free(output, yes)
    with service.open() as opened:
        _write(output, opened.export_replay(runs_of))


@partial(with_figure_options, names=FILM_OPTIONS)
def film(
    runs_of: SideBySide,
    options: dict[str, Any],
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write: run.gif, or run.mp4.")],
    seconds: Annotated[float, typer.Option(help="Duration.")] = 8.0,
    fps: Annotated[int, typer.Option(help="Frames per second.")] = 20,
    turn: Annotated[float, typer.Option(help="Rotation of the camera in degrees.")] = 90.0,
    pixels: Annotated[int, typer.Option(help="Width in pixels.")] = 720,
    yes: Yes = False,
    data: Data = None,
    database_url: Database = None,
) -> None:
    """Film how a run's geometry evolves: GIF, or MP4 with the extra `video`. Frames between captures are marked."""
    from backend.cli.console import progress_bars
    from backend.figures.export import FilmOrder, film_from_store

    require_free(output, yes)
    order = FilmOrder(runs_of, output.suffix.removeprefix(".").lower(), seconds, fps, turn, pixels, options)
    with open_store_service(data, database_url) as opened:
        store = opened.store
        with progress_bars() as progress:
            content = film_from_store(store, order, progress)
    _write(output, content)


def reproduce(
    name: Annotated[str | None, typer.Argument(help="A study, or all; without it, studies are listed.")] = None,
    size: Annotated[
        str, typer.Option(help="laptop (two cores) or paper (the paper's data and networks, for a GPU).")
    ] = "laptop",
    seeds: Annotated[int, typer.Option(min=3, max=100, help="Seeds of each arm; runs are paired by them.")] = 5,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder of the report (default: reproduction/NAME-SIZE).")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only list the runs and their estimated duration.")] = False,
    download: Annotated[bool, typer.Option("--download", help="Download missing data sets.")] = False,
    data: Data = None,
    database_url: Database = None,
    mirror: Mirror = None,
) -> None:
    """Reproduce the paper's comparisons and more: a sweep over seeds, tests of claims, a report with figures."""
    from backend.studies import command

    if name is None:
        command.list_studies(size)
        return
    with open_store_service(data, database_url, create=True) as opened:
        command.reproduce(opened.store, name, size, seeds, output, plan=plan, download=download, mirror=mirror)


def open_figure(
    figure: Annotated[Path, typer.Argument(metavar="FIGURE", help="A file of `collapse export`.")],
    server: Annotated[
        str, typer.Option("--server", envvar="COLLAPSE_SERVER", help="The server whose pages show it.")
    ] = "http://127.0.0.1:8050",
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
) -> None:
    """Open the page with a figure's view: its runs, epoch, view and camera."""
    import webbrowser

    from backend.figures.collect import figure_errors
    from ncfigures.provenance import read_provenance_file

    with figure_errors():
        provenance = read_provenance_file(figure)
    address = server.rstrip("/") + provenance.address()
    print(f"{provenance.figure} of {', '.join(run.name for run in provenance.runs)}\n{provenance.command}\n{address}")
    if browser:
        webbrowser.open(address)


def _write(target: Path, content: bytes) -> None:
    from backend.cli.console import write_chunks

    write_chunks(target, [content])
    print(f"{target}: {len(content) / 1000:.1f} kB")
