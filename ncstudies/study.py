"""What a study is: settings, each with arms that differ in one thing; claims about them; what is read of a run.

A *setting* is data, network and training; an *arm* is one way of doing it, such as a head; a *claim* says that a number
read of one arm is lower (higher, steadier) than of another, in runs that share their seed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from ncengine.config import RunConfig
from ncengine.metrics import METRICS
from ncengine.milestones import time_to_collapse
from ncfigures.catalogue import FigureName
from ncfigures.figure_request import Costs
from ncfigures.figure_spec import F64
from ncfigures.figures.seed_statistics import numbers

Size = Literal["laptop", "paper"]
Relation = Literal["lower", "higher", "steadier"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a finished run left: metrics over its measured epochs, by split and key, and what its steps took."""

    epochs: Sequence[int]
    values: Mapping[str, Mapping[str, Sequence[Any]]]
    costs: Costs | None = None

    def curve(self, split: str, key: str) -> F64:
        """Return a metric over the epochs, NaN where it was not measured or is no finite number."""
        return numbers(self.values.get(split, {}).get(key, [None] * len(self.epochs)))


class Reading(Protocol):
    """One number of a run."""

    def words(self, epochs: int) -> str:
        """Return what is read, of runs of so many epochs."""

    def of(self, outcome: Outcome) -> float:
        """Return the number, NaN where it was not measured."""

    def written(self, value: float) -> str:
        """Return a number of this kind as a person reads it."""


def _written(key: str, value: float) -> str:
    return f"{100 * value:.2f}\N{NO-BREAK SPACE}%" if METRICS[key].share else f"{value:.3g}"


@dataclass(frozen=True, slots=True)
class Level:
    """A metric at a share of the epochs: at the newest measured epoch by then."""

    key: str
    split: str = "train"
    at: float = 1.0

    def words(self, epochs: int) -> str:
        return f"{METRICS[self.key].label}, {self.split}, epoch {round(self.at * epochs)}"

    def of(self, outcome: Outcome) -> float:
        before = np.asarray(outcome.epochs) <= round(self.at * outcome.epochs[-1])
        return float(outcome.curve(self.split, self.key)[before][-1]) if before.any() else math.nan

    def written(self, value: float) -> str:
        return _written(self.key, value)


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the classifier is behind the class means: nc3_distance beyond what the nearest ETF itself is away.

    Both are squared distances of unit-norm matrices to the class means; they are equal where the classifier is the
    simplex ETF nearest to the class means of the whole training split. The mean over the epochs after `since`, a share.
    """

    since: float = 0.5

    def words(self, epochs: int) -> str:
        return f"lag of the classifier, mean over epochs {round(self.since * epochs) + 1} to {epochs}"

    def of(self, outcome: Outcome) -> float:
        lag = outcome.curve("train", "nc3_distance") - outcome.curve("train", "etf_distance_means")
        late = lag[np.asarray(outcome.epochs) > self.since * outcome.epochs[-1]]
        return float(np.mean(late)) if len(late) else math.nan

    def written(self, value: float) -> str:
        return f"{value:.3g}"


@dataclass(frozen=True, slots=True)
class TimeTo:
    """The first epoch from which on a metric stays at or beyond a threshold; an epoch more than there are if never."""

    key: str
    threshold: float
    split: str = "train"

    def words(self, epochs: int) -> str:
        spec = METRICS[self.key]
        value = f"{100 * self.threshold:g} %" if spec.share else f"{self.threshold:g}"
        return f"epochs until {spec.label} {'≤' if spec.direction == 'low' else '≥'} {value}, {self.split}"

    def of(self, outcome: Outcome) -> float:
        curve = outcome.curve(self.split, self.key)
        if np.isnan(curve).all():
            return math.nan
        found = time_to_collapse(outcome.epochs, curve.tolist(), self.threshold, METRICS[self.key].direction)
        return float(outcome.epochs[-1] + 1 if found is None else found)

    def written(self, value: float) -> str:
        return f"{value:g}"


@dataclass(frozen=True, slots=True)
class StepTime:
    """Milliseconds of a training step, or of some of its phases: the median of the run's reports."""

    phases: tuple[str, ...] = ()

    def words(self, epochs: int) -> str:
        return f"ms a step{', ' + ' and '.join(self.phases) if self.phases else ''}"

    def of(self, outcome: Outcome) -> float:
        if outcome.costs is None:
            return math.nan
        return 1e3 * sum(s for phase, s in outcome.costs.seconds.items() if not self.phases or phase in self.phases)

    def written(self, value: float) -> str:
        return f"{value:.3g}"


@dataclass(frozen=True, slots=True)
class Memory:
    """MiB: the most that a phase allocated on a GPU, or that the whole process took on a CPU."""

    def words(self, epochs: int) -> str:
        return "most memory, MiB"

    def of(self, outcome: Outcome) -> float:
        most = max(outcome.costs.memory_bytes.values(), default=0) if outcome.costs is not None else 0
        return most / 2**20 if most else math.nan

    def written(self, value: float) -> str:
        return f"{value:.4g}"


@dataclass(frozen=True, slots=True)
class Claim:
    """`reading` of the arm `of` is in the relation to that of the arm `than`, in each setting."""

    text: str
    source: str
    reading: Reading
    relation: Relation
    of: str
    than: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure of the catalogue with its options, of all arms."""

    figure: FigureName
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Setting:
    """Data, network and training that the arms share. `arms` are configs whose seed is 0, by their names."""

    name: str
    title: str
    arms: Mapping[str, RunConfig]
    drawings: tuple[Drawing, ...]

    @property
    def shared(self) -> RunConfig:
        """A config whose data, network and training are those of all arms."""
        return next(iter(self.arms.values()))


@dataclass(frozen=True, slots=True)
class Study:
    """A question, and the sweep that answers it."""

    name: str
    title: str
    question: str
    claims: tuple[Claim, ...]
    settings: tuple[Setting, ...]
    alone: bool = False
    """Whether runs may not share the machine, because their times are compared."""
    remarks: tuple[str, ...] = ()
    """What differs from the paper, and what else a reader must know."""
