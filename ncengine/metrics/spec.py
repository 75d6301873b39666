"""What a metric says about itself, and the four ways in which its number comes about.

Labels, formulas, ideals and explanations on every page come from here. No torch is loaded: the catalogue is read by
processes that never measure. A metric's own code uses the tensors that it is handed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

    from ncengine.metrics.pairs import Tile
    from ncengine.metrics.rows import Rows
    from ncengine.metrics.samples import Block
    from ncengine.metrics.snapshot import Snapshot

Direction = Literal["low", "high"]
Family = Literal["NC1", "NC2", "NC3", "NC4", "NC5", "Margin", "Long tail", "Norms", "Accuracy"]
Which = Literal["means", "weights"]


@dataclass(frozen=True, slots=True)
class Moments:
    """Read off the accumulated moments: exact, whatever the number of samples."""

    value: Callable[[Snapshot], float | None]


@dataclass(frozen=True, slots=True)
class Pairs:
    """A mean over pairs of classes i ≠ j (with i = j where `diagonal`), summed tile by tile, finished by `finish`.

    `term` gives the tile's values (b, K'); what is NaN there is left out. `finish` maps the mean (the sum where
    `diagonal`) and K' to the value.
    """

    reads: tuple[Which, ...]
    term: Callable[[Tile], Tensor]
    finish: Callable[[float, int], float] = lambda mean, _classes: mean
    diagonal: bool = False


@dataclass(frozen=True, slots=True)
class Samples:
    """A mean over samples, in a second pass over those that were kept; what is NaN is left out."""

    value: Callable[[Block], Tensor | None]


@dataclass(frozen=True, slots=True)
class Classwise:
    """Read off the samples that were kept, all together: the value, its observed error or None, and of how many."""

    value: Callable[[Snapshot], tuple[float, float | None, int] | None]


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric: where its number comes from (`how`), and what a reader needs to read it.

    `ideal` maps K to the value at perfect collapse, or is None where there is none; `share` says that the value is one
    of 0 … 1. The value is absent where the metric is not defined: without a classifier, without samples, where class
    means coincide.
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
    how: Moments | Pairs | Samples | Classwise
    share: bool = False

    @property
    def exact(self) -> bool:
        """Whether every sample counts, however many there are; otherwise those that were kept do."""
        return isinstance(self.how, Moments | Pairs)


def zero(_classes: int) -> float:
    """The ideal of every distance."""
    return 0.0


def one(_classes: int) -> float:
    """The ideal of shares and alignments."""
    return 1.0


def simplex_cosine(classes: int) -> float:
    """The cosine between any two vertices of the simplex ETF, −1/(K−1)."""
    return -1 / (classes - 1)


def rows_of(snapshot: Snapshot, which: Which) -> Rows | None:
    """Return the centred class means or classifier rows, or None where there are none or all of them coincide."""
    rows = snapshot.means if which == "means" else snapshot.weights
    return None if rows is None or rows.degenerate else rows


def of_rows(which: Which, value: Callable[[Rows], float | None]) -> Moments:
    """Return how a number is read off the class means, or off the classifier's rows."""

    def read(snapshot: Snapshot) -> float | None:
        rows = rows_of(snapshot, which)
        return None if rows is None else value(rows)

    return Moments(read)


def for_both(build: Callable[[Which, str], MetricSpec]) -> tuple[MetricSpec, MetricSpec]:
    """Return a metric of the class means and the same one of the classifier's rows; `build` gets the label's end."""
    return build("means", ""), build("weights", ", classifier")


def by_key(specs: Sequence[MetricSpec]) -> dict[str, MetricSpec]:
    """Return specs by key; raises ValueError where two have the same."""
    found = {spec.key: spec for spec in specs}
    if len(found) != len(specs):
        raise ValueError("two metrics have the same key")
    return found
