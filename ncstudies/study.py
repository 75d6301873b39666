"""The parts of a study: settings, arms, claims, and the statistics of runs that claims compare.

A *setting* is data, network and training; an *arm* is one variant of it, such as a head; a *claim* says that a
statistic of one arm is lower (higher, steadier) than that of another, in runs that share their seed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from ncengine.config import RunConfig
from ncengine.metrics import METRICS
from ncengine.milestones import time_to_collapse

F64 = npt.NDArray[np.float64]
Size = Literal["laptop", "paper"]
Relation = Literal["lower", "higher", "steadier"]


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """Results of a finished run: metrics over its measured epochs by split and key, time and memory of its steps."""

    epochs: Sequence[int]
    values: Mapping[str, Mapping[str, Sequence[Any]]]
    phase_seconds: Mapping[str, float] = field(default_factory=dict)
    """Seconds of a training step by phase; empty where they were not reported."""
    memory_bytes: Mapping[str, int] = field(default_factory=dict)

    def curve(self, split: str, key: str) -> F64:
        """Return a metric over the epochs; NaN where it is missing or not finite."""
        values = self.values.get(split, {}).get(key, [None] * len(self.epochs))
        numbers = np.array(values, dtype=np.float64)
        return np.where(np.isfinite(numbers), numbers, math.nan)


class RunStatistic(Protocol):
    """A number computed from the results of a run."""

    def describe(self, epochs: int) -> str:
        """Return what the number is, for runs of so many epochs."""

    def value(self, outcome: RunOutcome) -> float:
        """Return the number; NaN if it was not measured."""

    def format(self, value: float) -> str:
        """Return a value as text, with its unit."""


def _format_metric(key: str, value: float) -> str:
    return f"{100 * value:.2f}\N{NO-BREAK SPACE}%" if METRICS[key].share else f"{value:.3g}"


@dataclass(frozen=True, slots=True)
class MetricAt:
    """A metric at a share of the epochs: at the newest measured epoch by then."""

    key: str
    split: str = "train"
    at: float = 1.0

    def describe(self, epochs: int) -> str:
        return f"{METRICS[self.key].label}, {self.split}, epoch {round(self.at * epochs)}"

    def value(self, outcome: RunOutcome) -> float:
        before = np.asarray(outcome.epochs) <= round(self.at * outcome.epochs[-1])
        return float(outcome.curve(self.split, self.key)[before][-1]) if before.any() else math.nan

    def format(self, value: float) -> str:
        return _format_metric(self.key, value)


@dataclass(frozen=True, slots=True)
class ClassifierLag:
    """How far the classifier is behind the class means: nc3_distance beyond what the nearest ETF itself is away.

    Both are squared distances of unit-norm matrices to the class means; they are equal where the classifier is the
    simplex ETF nearest to the class means of the whole training split. The mean over the epochs after `since`, a share.
    """

    since: float = 0.5

    def describe(self, epochs: int) -> str:
        return f"lag of the classifier, mean over epochs {round(self.since * epochs) + 1} to {epochs}"

    def value(self, outcome: RunOutcome) -> float:
        lag = outcome.curve("train", "nc3_distance") - outcome.curve("train", "etf_distance_means")
        late = lag[np.asarray(outcome.epochs) > self.since * outcome.epochs[-1]]
        return float(np.mean(late)) if len(late) else math.nan

    def format(self, value: float) -> str:
        return f"{value:.3g}"


@dataclass(frozen=True, slots=True)
class EpochsToThreshold:
    """The first epoch from which on a metric stays at or beyond a threshold; an epoch more than there are if never."""

    key: str
    threshold: float
    split: str = "train"

    def describe(self, epochs: int) -> str:
        spec = METRICS[self.key]
        value = f"{100 * self.threshold:g} %" if spec.share else f"{self.threshold:g}"
        return f"epochs until {spec.label} {'≤' if spec.direction == 'low' else '≥'} {value}, {self.split}"

    def value(self, outcome: RunOutcome) -> float:
        curve = outcome.curve(self.split, self.key)
        if np.isnan(curve).all():
            return math.nan
        epoch = time_to_collapse(outcome.epochs, curve.tolist(), self.threshold, METRICS[self.key].direction)
        return float(outcome.epochs[-1] + 1 if epoch is None else epoch)

    def format(self, value: float) -> str:
        return f"{value:g}"


@dataclass(frozen=True, slots=True)
class StepTime:
    """Milliseconds of a training step, or of some of its phases: the median of the run's reports."""

    phases: tuple[str, ...] = ()

    def describe(self, epochs: int) -> str:
        return f"ms a step{', ' + ' and '.join(self.phases) if self.phases else ''}"

    def value(self, outcome: RunOutcome) -> float:
        if not outcome.phase_seconds:
            return math.nan
        return 1e3 * sum(s for phase, s in outcome.phase_seconds.items() if not self.phases or phase in self.phases)

    def format(self, value: float) -> str:
        return f"{value:.3g}"


@dataclass(frozen=True, slots=True)
class PeakMemory:
    """MiB: the most that a phase allocated on a GPU, or that the whole process took on a CPU."""

    def describe(self, epochs: int) -> str:
        return "most memory, MiB"

    def value(self, outcome: RunOutcome) -> float:
        most = max(outcome.memory_bytes.values(), default=0)
        return most / 2**20 if most else math.nan

    def format(self, value: float) -> str:
        return f"{value:.4g}"


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim: in each setting, `statistic` of `arm` is in `relation` to that of `baseline`."""

    text: str
    source: str
    statistic: RunStatistic
    relation: Relation
    arm: str
    baseline: str


@dataclass(frozen=True, slots=True)
class StudyFigure:
    """A figure of all arms: its name in the catalogue and its options."""

    figure: str
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Setting:
    """Data, network and training that the arms share. `arms` are configs whose seed is 0, by their names."""

    name: str
    title: str
    arms: Mapping[str, RunConfig]
    figures: tuple[StudyFigure, ...]

    @property
    def shared(self) -> RunConfig:
        """A config whose data, network and training are those of all arms."""
        return next(iter(self.arms.values()))


@dataclass(frozen=True, slots=True)
class Study:
    """A question, and the runs and claims that answer it."""

    name: str
    title: str
    question: str
    claims: tuple[Claim, ...]
    settings: tuple[Setting, ...]
    exclusive: bool = False
    """Whether runs may not share the machine, because their times are compared."""
    remarks: tuple[str, ...] = ()
    """What differs from the paper, and what else a reader must know."""
