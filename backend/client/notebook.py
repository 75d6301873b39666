"""Runs in a notebook: `nc.load("run-id").figure("geometry", epoch=50)` shows and saves; `.metrics()` is a DataFrame.

What is shown is what the pages and the terminal make: the same figures, options and numbers, from a data directory or
through a server.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from backend.api import views, wire
from backend.client import Client, calls
from backend.figures import export
from backend.settings import resolve_store
from backend.store import runs as run_store
from backend.store.database import open_store
from backend.store.errors import Invalid
from ncengine.files import atomic_write
from ncfigures.catalogue import MEDIA_TYPES

if TYPE_CHECKING:
    import pandas as pd

Reader = Callable[["export.FigureOrder"], bytes]


class ShownFigure:
    """A figure of runs, drawn when it is looked at: as true vectors beside its interactive twin, or saved."""

    def __init__(self, read: Reader, runs: str, figure: str, options: dict[str, Any]) -> None:
        self._read, self._runs, self._figure, self._options = read, runs, figure, options
        self._json = self._bytes("json")  # what cannot be drawn is said now, not when the notebook shows it

    def _bytes(self, format_: str) -> bytes:
        return self._read(export.FigureOrder(self._runs, self._figure, format_, self._options))

    @cached_property
    def plotly(self) -> dict[str, Any]:
        """The interactive twin, as Plotly reads it."""
        found: dict[str, Any] = orjson.loads(self._json)
        return found

    @property
    def caption(self) -> str:
        """What is drawn, with the definitions of the metrics."""
        return str(self.plotly["layout"]["meta"]["caption"])

    @property
    def notices(self) -> list[str]:
        """What could not be shown as asked."""
        return list(self.plotly["layout"]["meta"]["notices"])

    def save(self, path: str | Path) -> Path:
        """Write the figure in the format of the path's name, whole or not at all; return the path."""
        target = Path(path)
        format_ = target.suffix.removeprefix(".").lower()
        if format_ not in MEDIA_TYPES:
            raise Invalid(f"the file's name must end in one of {', '.join(MEDIA_TYPES)}, got {target.name!r}")
        atomic_write.write_atomically(target, self._bytes(format_))
        return target

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """Return what a notebook shows: the twin where it can, the printed figure elsewhere."""
        return {
            "application/vnd.plotly.v1+json": self.plotly,
            "image/svg+xml": self._bytes("svg").decode(),
            "text/plain": f"{self._figure} of {self._runs}: {self.caption}",
        }


class Loaded:
    """One or more runs: `runs` as they stand, their metrics, and their figures."""

    def __init__(self, names: str, runs: list[wire.RunWire], series: list[wire.Series], read: Reader) -> None:
        self._names, self._series, self._read = names, series, read
        self.runs = runs

    def __repr__(self) -> str:
        words = [f"{run.id} ({run.name}, {run.status}, epoch {run.epoch})" for run in self.runs]
        return f"<{len(self.runs)} run{'s' * (len(self.runs) != 1)}: {', '.join(words)}>"

    def metrics(self) -> pd.DataFrame:
        """Return every metric of every split over epochs: rows by run and epoch, columns by split and key.

        Raises Invalid where pandas is not installed.
        """
        try:
            import pandas as pd
        except ModuleNotFoundError:
            raise Invalid("metrics() needs pandas; pip install 'collapse-lab[notebook]'") from None
        frames = [
            pd.DataFrame(
                {(split, key): numbers for split, known in series.values.items() for key, numbers in known.items()},
                index=pd.MultiIndex.from_product([[series.run], series.epochs], names=["run", "epoch"]),
                dtype=float,
            )
            for series in self._series
        ]
        table = pd.concat(frames)
        table.columns = pd.MultiIndex.from_tuples(table.columns, names=["split", "metric"])
        return table

    def figure(self, figure: str, **options: Any) -> ShownFigure:
        """Return a figure of the runs; `options` are those of `collapse export`, such as `epoch=50, venue="icml"`.

        Raises Invalid or NotFound, with the remedy, where it cannot be drawn.
        """
        return ShownFigure(self._read, ",".join(run.id for run in self.runs), figure, options)


def load(
    runs: str,
    *,
    data: str | Path | None = None,
    database_url: str | None = None,
    server: str | None = None,
    token: str | None = None,
) -> Loaded:
    """Return runs to look at: an id, several with commas between them, or a filter such as `group:rates`.

    They are read from the data directory `data` and its database `database_url`, which are found as the commands find
    them (COLLAPSE_DATA, COLLAPSE_DATABASE_URL, the platform's directory), or through the server at the URL `server`.
    Raises NotFound where there is no such run, Unusable where there is no store or the two do not belong together.
    """
    if server is not None:
        with Client(server, token) as client:
            ids = export.ids_on_server(client, runs)
            found = [client(calls.run(run_id)) for run_id in ids]
            series = [client(calls.metrics_of(run_id)) for run_id in ids]

        def from_server(wanted: export.FigureOrder) -> bytes:
            with Client(server, token) as client:
                return export.from_server(client, wanted)

        return Loaded(runs, found, series, from_server)

    location = resolve_store(Path(data) if data is not None else None, database_url)
    with closing(open_store(*location, create=False)) as store:
        ids = export.ids_in_store(store, runs)
        found = [views.run_wire(run_store.get(store, run_id)) for run_id in ids]
        series = [views.series(store, run_id) for run_id in ids]

    def from_store(wanted: export.FigureOrder) -> bytes:
        with closing(open_store(*location, create=False)) as store:
            return export.from_store(store, wanted)

    return Loaded(runs, found, series, from_store)
