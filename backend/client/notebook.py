"""Runs in a notebook: `nc.load("run-id").figure("geometry", epoch=50)` shows and saves; `.metrics()` is a DataFrame.

Figures, options and numbers are those of the pages and of the command line, from a data directory or a server.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from backend.api import wire
from backend.client.service import Service, open_service
from backend.figures.export import FigureOrder
from backend.store.errors import Invalid
from backend.store.run_filter import require_metric
from ncengine.files import atomic_write
from ncfigures.catalogue import MEDIA_TYPES

if TYPE_CHECKING:
    import pandas as pd

Connect = Callable[[], AbstractContextManager[Service]]


class NotebookFigure:
    """A figure of runs, rendered when shown or saved: interactive (Plotly) or as vectors (SVG, PDF …)."""

    def __init__(self, connect: Connect, runs: str, figure: str, options: dict[str, Any]) -> None:
        self._connect, self._runs, self._figure, self._options = connect, runs, figure, options
        self._json = self._render("json")  # raises errors now rather than when the notebook shows it

    def _render(self, format_: str) -> bytes:
        with self._connect() as service:
            return service.export_figure(FigureOrder(self._runs, self._figure, format_, self._options))

    @cached_property
    def plotly(self) -> dict[str, Any]:
        """The interactive figure as Plotly's JSON."""
        content: dict[str, Any] = orjson.loads(self._json)
        return content

    @property
    def caption(self) -> str:
        """The caption, with the definitions of the metrics."""
        return str(self.plotly["layout"]["meta"]["caption"])

    @property
    def notices(self) -> list[str]:
        """What could not be shown as requested."""
        return list(self.plotly["layout"]["meta"]["notices"])

    def save(self, path: str | Path) -> Path:
        """Write the figure in the format of the path's suffix, completely or not at all; return the path."""
        target = Path(path)
        format_ = target.suffix.removeprefix(".").lower()
        if format_ not in MEDIA_TYPES:
            raise Invalid(f"the file's name must end in one of {', '.join(MEDIA_TYPES)}, got {target.name!r}")
        atomic_write.write_atomically(target, self._render(format_))
        return target

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """Return what a notebook shows: the interactive figure if it can, else SVG."""
        return {
            "application/vnd.plotly.v1+json": self.plotly,
            "image/svg+xml": self._render("svg").decode(),
            "text/plain": f"{self._figure} of {self._runs}: {self.caption}",
        }


class LoadedRuns:
    """One or more runs as they were when loaded: `runs`, their metrics, and their figures."""

    def __init__(self, runs: list[wire.RunWire], series: list[wire.MetricSeries], connect: Connect) -> None:
        self._series, self._connect = series, connect
        self.runs = runs

    def __repr__(self) -> str:
        descriptions = [f"{run.id} ({run.name}, {run.status}, epoch {run.epoch})" for run in self.runs]
        return f"<{len(self.runs)} run{'s' * (len(self.runs) != 1)}: {', '.join(descriptions)}>"

    def metrics(self, *keys: str) -> pd.DataFrame:
        """Return metrics over epochs, all or those of `keys`: rows by run and epoch, columns by split and key.

        Raises Invalid for an unknown key, or if pandas is not installed.
        """
        for key in keys:
            require_metric(key)
        try:
            import pandas as pd
        except ModuleNotFoundError:
            raise Invalid("metrics() needs pandas; pip install 'collapse-lab[notebook]'") from None
        frames = [
            pd.DataFrame(
                {
                    (split, key): numbers
                    for split, known in series.values.items()
                    for key, numbers in known.items()
                    if not keys or key in keys
                },
                index=pd.MultiIndex.from_product([[series.run], series.epochs], names=["run", "epoch"]),
                dtype=float,
            )
            for series in self._series
        ]
        table = pd.concat(frames)
        table.columns = pd.MultiIndex.from_tuples(table.columns, names=["split", "metric"])
        return table

    def figure(self, figure: str, **options: Any) -> NotebookFigure:
        """Return a figure of the runs; `options` are those of `collapse export`, such as `epoch=50, venue="icml"`.

        Raises Invalid or NotFound, with the remedy, if it cannot be rendered.
        """
        return NotebookFigure(self._connect, ",".join(run.id for run in self.runs), figure, options)


def load(
    runs: str,
    *,
    data: str | Path | None = None,
    database_url: str | None = None,
    server: str | None = None,
    token: str | None = None,
) -> LoadedRuns:
    """Load runs: an id, several comma-separated ids, or a filter such as `group:rates`.

    Args:
        data: data directory; default: COLLAPSE_DATA, else the platform's user data directory.
        database_url: its database; default: COLLAPSE_DATABASE_URL, else SQLite in the data directory.
        server: URL of a server to use instead of a data directory, with its `token`.

    Raises NotFound if there is no such run, Unusable if there is no store or the two do not belong together.
    """
    connect = partial(
        open_service,
        server=server,
        token=token,
        data=Path(data) if data is not None else None,
        database_url=database_url,
    )
    with connect() as service:
        ids = service.resolve_runs(runs)
        loaded = [service.run(run_id) for run_id in ids]
        series = [service.metrics(run_id) for run_id in ids]
    return LoadedRuns(loaded, series, connect)
