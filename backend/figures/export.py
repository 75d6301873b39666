"""Figures from a terminal: which runs are meant, from a store or a server, and a file made again from itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.figures.collect import MAX_RUNS, check_figure, collect, listed
from backend.store.errors import Invalid, NotFound
from ncfigures.options import parse_options
from ncfigures.provenance import read_provenance_file

if TYPE_CHECKING:
    from backend.client import Client
    from backend.store.database import Store


@dataclass(frozen=True, slots=True)
class FigureOrder:
    """A figure as it is asked for: `runs` are ids with commas between them, or a filter."""

    runs: str
    figure: Any
    format: Any
    options: dict[str, Any]


def order_from_file(path: Path) -> FigureOrder:
    """Return what a figure's file was asked for with; raises Invalid where it does not say."""
    found = read_provenance_file(path)
    return FigureOrder(",".join(run.id for run in found.runs), found.figure, found.format, dict(found.options))


def ids_in_store(store: Store, runs: str) -> list[str]:
    """Return the ids that are named, or that a filter means; raises NotFound where that is none."""
    from backend.store import query

    return _required(sorted(query.matching_ids(store, runs, MAX_RUNS + 1)), runs) if ":" in runs else listed(runs)


def ids_on_server(client: Client, runs: str) -> list[str]:
    """Return the same of a server."""
    from backend.client import calls

    if ":" not in runs:
        return listed(runs)
    return _required(sorted(run.id for run in client(calls.runs(q=runs, limit=MAX_RUNS + 1)).items), runs)


def from_store(store: Store, order: FigureOrder) -> bytes:
    """Return the file, drawn here."""
    from ncfigures.render import render_figure

    options = parse_options(order.options)
    check_figure(order.figure, order.format, options)
    return render_figure(collect(store, ids_in_store(store, order.runs), order.figure, order.format, options))


def from_server(client: Client, order: FigureOrder) -> bytes:
    """Return the file, drawn by a server."""
    from backend.client import calls

    options = parse_options(order.options)
    check_figure(order.figure, order.format, options)
    ids = ",".join(ids_on_server(client, order.runs))
    return client(calls.figure(ids, order.figure, order.format, **options.non_default()))


def _required(ids: list[str], text: str) -> list[str]:
    if not ids:
        raise NotFound(f"no run is meant by {text!r}; `collapse runs --filter` shows what a filter means")
    if len(ids) > MAX_RUNS:
        raise Invalid(f"{text!r} means more than {MAX_RUNS} runs; narrow it down")
    return ids
