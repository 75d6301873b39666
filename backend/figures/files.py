"""Make the file of a figure or a replay from the store, in this process."""

from __future__ import annotations

from collections.abc import Sequence

from backend.figures.collect import collect
from backend.figures.errors import figure_errors
from backend.figures.process import Job, LabelledFile, ReplayJob
from backend.figures.replay import replay
from backend.store.database import Store
from ncfigures.catalogue import FigureName, Format
from ncfigures.options import FigureOptions
from ncfigures.render import render_figure


@figure_errors()
def figure_file(
    store: Store, run_ids: Sequence[str], figure: FigureName, format_: Format, options: FigureOptions
) -> LabelledFile:
    """Return the file of a figure of runs; raises NotFound and Invalid with the remedy."""
    request = collect(store, run_ids, figure, format_, options)
    return LabelledFile(render_figure(request), request.groups[0].label)


def job_file(store: Store, job: Job) -> LabelledFile:
    """Return the file that a job asks for; raises NotFound and Invalid with the remedy."""
    if isinstance(job, ReplayJob):
        return LabelledFile(replay(store, job.runs), "-".join(job.runs[:4]))
    return figure_file(store, job.runs, job.figure, job.format, job.options)
