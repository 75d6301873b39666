"""The runs of a study, and the interface through which studies use the service.

A run belongs to a study by its group (the size and the setting), its name (the arm) and its config. So studies share
runs, and a sweep that was stopped goes on with what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ncengine.config import RunConfig, with_overrides
from ncengine.data import resolve_config
from ncstudies.study import RunOutcome, Setting, Size, Study, StudyFigure


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


RunKey = tuple[str, str, str]
"""A run's group, name, and config hash."""


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One run of a study."""

    setting: Setting
    arm: str
    config: RunConfig
    group: str
    key: RunKey


def plan_runs(study: Study, size: Size, seeds: int, *, download: bool = False) -> list[PlannedRun]:
    """Return the runs of a study, all arms of a seed before the next seed, so that a stopped sweep is balanced."""
    plan = []
    for seed in range(seeds):
        for setting in study.settings:
            group = f"reproduce-{size}-{setting.name}"
            for arm, config in setting.arms.items():
                seeded = _with_seed(config, seed, download)
                plan.append(PlannedRun(setting, arm, seeded, group, (group, arm, seeded.hash())))
    return plan


def _with_seed(config: RunConfig, seed: int, download: bool) -> RunConfig:
    changes: dict[str, object] = {"seed": seed}
    if download and hasattr(config.data, "download"):
        changes["data.download"] = True
    return resolve_config(with_overrides(config, changes))
