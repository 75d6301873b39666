"""Descriptions of metrics: key, label, symbol, ideal and source, and how the value is computed.

All pages show these labels, formulas, ideals and explanations. Importing this module loads no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ncengine.metrics.pairs import OverPairs
from ncengine.metrics.samples import OverSamples
from ncengine.metrics.statistics import SampleEstimate, SplitStatistics, VectorSet
from ncengine.metrics.vectors import CentredVectors

Direction = Literal["low", "high"]
Family = Literal["NC1", "NC2", "NC3", "NC4", "NC5", "Margin", "Long tail", "Norms", "Accuracy"]


@dataclass(frozen=True, slots=True)
class FromStatistics:
    """A metric computed from the moments and the classifier: exact, whatever the number of samples."""

    function: Callable[[SplitStatistics], float | None]


@dataclass(frozen=True, slots=True)
class FromSamples:
    """A metric computed from all buffered samples together."""

    function: Callable[[SplitStatistics], SampleEstimate | None]


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """A metric: how it is computed, and what a reader needs to know.

    `ideal` maps K to the value at perfect collapse, or is None if there is none; `share` says that the value is a share
    in 0 … 1. The value is absent if the metric is not defined: without a classifier, without samples, or if class means
    coincide.
    """

    key: str
    label: str
    symbol: str
    formula: str
    family: Family
    direction: Direction
    ideal: Callable[[int], float] | None
    source: str
    reading: str
    computation: FromStatistics | OverPairs | OverSamples | FromSamples
    share: bool = False

    @property
    def exact(self) -> bool:
        """Whether the value is of every sample, however many there are; otherwise it is of the buffered ones."""
        return isinstance(self.computation, FromStatistics | OverPairs)


def zero(_classes: int) -> float:
    """Return the ideal of every distance."""
    return 0.0


def one(_classes: int) -> float:
    """Return the ideal of shares and alignments."""
    return 1.0


def from_vectors(which: VectorSet, compute: Callable[[CentredVectors], float | None]) -> FromStatistics:
    """Return a computation from the centred class means, or from the centred classifier rows."""

    def read(statistics: SplitStatistics) -> float | None:
        vectors = statistics.vectors(which)
        return None if vectors is None else compute(vectors)

    return FromStatistics(read)


def from_means_and_weights(compute: Callable[[CentredVectors, CentredVectors], float | None]) -> FromStatistics:
    """Return a computation from the centred class means and the centred classifier rows."""

    def read(statistics: SplitStatistics) -> float | None:
        means, weights = statistics.vectors("means"), statistics.vectors("weights")
        return None if means is None or weights is None else compute(means, weights)

    return FromStatistics(read)


def for_means_and_weights(build: Callable[[VectorSet, str], MetricSpec]) -> tuple[MetricSpec, MetricSpec]:
    """Return a metric of the class means and the same one of the classifier's rows.

    `build` is called with the set of vectors and the end of the label.
    """
    return build("means", ""), build("weights", ", classifier")
