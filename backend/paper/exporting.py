"""Figures from a terminal: which runs are meant, from a store or a server, and a file made again from itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.errors import Invalid, NotFound
from backend.paper.gather import MOST_RUNS, check, gather, listed, parse_options
from backend.paper.provenance import read

if TYPE_CHECKING:
    from backend.client import Client
    from backend.store.database import Store


@dataclass(frozen=True, slots=True)
class Wanted:
    """A figure as it is asked for: `runs` are ids with commas between them, or a filter."""

    runs: str
    figure: Any
    format: Any
    options: dict[str, Any]


def again(path: Path) -> Wanted:
    """Return what a figure's file was asked for with; raises Invalid where it does not say."""
    found = read(path.read_bytes())
    return Wanted(",".join(run.id for run in found.runs), found.figure, found.format, dict(found.options))


def from_store(store: Store, wanted: Wanted) -> bytes:
    """Return the file, drawn here."""
    from backend.paper.figures import render
    from backend.store import query

    options = parse_options(wanted.options)
    check(wanted.figure, wanted.format, options)
    ids = listed(wanted.runs)
    if ":" in wanted.runs:
        ids = sorted(query.matching_ids(store, wanted.runs, MOST_RUNS))
        _require(ids, wanted.runs)
    return render(gather(store, ids, wanted.figure, wanted.format, options))


def from_server(client: Client, wanted: Wanted) -> bytes:
    """Return the file, drawn by a server."""
    from backend.client import calls

    options = parse_options(wanted.options)
    check(wanted.figure, wanted.format, options)
    ids = wanted.runs
    if ":" in ids:
        found = sorted(run.id for run in client(calls.runs(q=ids, limit=MOST_RUNS)).items)
        _require(found, wanted.runs)
        ids = ",".join(found)
    return client(calls.figure(ids, wanted.figure, wanted.format, **options.given()))


def _require(ids: list[str], text: str) -> None:
    if not ids:
        raise NotFound(f"no run is meant by {text!r}; `collapse runs --filter` shows what a filter means")
    if len(ids) > MOST_RUNS:
        raise Invalid(f"{text!r} means more than {MOST_RUNS} runs; narrow it down")
