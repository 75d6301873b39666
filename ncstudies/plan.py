"""The runs of a study: which configs, in which order, and how a run is recognised.

A run belongs to a study by its group (the size and the setting), its name (the arm) and its config. So studies share
runs, and a sweep that was stopped goes on with what is missing.
"""

from __future__ import annotations

from dataclasses import dataclass

from ncengine.config import RunConfig, with_overrides
from ncengine.data import resolve_config
from ncstudies.study import Setting, Size, Study

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
