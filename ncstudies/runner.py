"""The interface through which studies use the service: find and execute runs, read their results, draw figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ncstudies.plan import PlannedRun, RunKey
from ncstudies.study import RunOutcome, Study, StudyFigure


@dataclass(frozen=True, slots=True)
class RunState:
    """A run of a plan as it is in the store."""

    id: str
    status: str
    epoch: int

    @property
    def is_finished(self) -> bool:
        return self.status == "finished"


@dataclass(frozen=True, slots=True)
class RunOrigin:
    """What a run was trained with, and for how long."""

    versions: Mapping[str, str]
    device: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ReportFigure:
    """A figure of runs: its file, its caption in plain text, and its numbers as a Markdown table."""

    svg: bytes
    caption: str
    table: str


class Runner(Protocol):
    """Finds, executes and reads the runs of studies. The backend implements it on its store."""

    def find(self, plan: Sequence[PlannedRun]) -> Mapping[RunKey, RunState]:
        """Return the runs of a plan that exist; of several alike, a finished one."""

    def execute(self, study: Study, plan: Sequence[PlannedRun]) -> None:
        """Bring every run of a plan to its end."""

    def outcome(self, run_id: str, *, with_costs: bool) -> RunOutcome:
        """Return the results of a finished run, with the time and memory of its steps if asked for."""

    def origin(self, run_id: str) -> RunOrigin:
        """Return what a run was trained with."""

    def figure_title(self, figure: StudyFigure) -> str:
        """Return the title of a figure."""

    def draw(self, run_ids: Sequence[str], figure: StudyFigure) -> ReportFigure:
        """Return a figure of runs; raises an error with the remedy where it cannot be drawn."""
