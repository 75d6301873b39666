"""The result of a measurement: scalars by metric, flags, and arrays that are computed on first access."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ncengine.geometry.views import block_size
from ncengine.metrics.evaluation import EvaluationResult
from ncengine.metrics.pair_summary import (
    PairSummary,
    angle_matrix,
    block_cosines,
    cosine_matrix,
    summarise_pairs,
)
from ncengine.metrics.spectra import within_spectrum
from ncengine.metrics.statistics import Center, SplitStatistics, VectorSet

Array = npt.NDArray[Any]
ArrayMakers = dict[str, Callable[[], Tensor | Array]]


class LazyArrays(Mapping[str, Array]):
    """Arrays by name, each computed on first access, so that unused K×K matrices cost nothing."""

    def __init__(self, makers: Mapping[str, Callable[[], Tensor | Array]]) -> None:
        self._makers = dict(makers)
        self._made: dict[str, Array] = {}

    def __getitem__(self, name: str) -> Array:
        if name not in self._made:
            made = self._makers[name]()
            self._made[name] = made.cpu().numpy() if isinstance(made, Tensor) else made
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


@dataclass(frozen=True)
class Measurement:
    """Metrics of one split.

    `scalars` by metric key; `flags` name what was degenerate or bounded:

    - `no-samples`, `empty-class`, `one-sample-class`: classes with none or one; empty ones are left out;
    - `means-equal`: all class means coincide, and metrics of their directions are absent; `means-coincide`: some pairs
      do, and are left out of means over pairs; `weights-equal`: all classifier rows coincide;
    - `features-below-rank`: D < K' − 1, so that no simplex ETF fits; `rank-deficient`: Σ_B has a smaller rank than
      min(D, K' − 1), see `rank`;
    - `overflow`: a value does not fit into a float64, and is absent;
    - `sampled`: metrics over samples are of `samples` of the `of` samples seen; `numerical-rank-sampled`: that metric
      is of some samples of each class. `sizes` has the number of samples of each metric that is not exact, `errors` the
      standard errors of those that are not of all (for numerical_rank, the difference from half as many).

    `arrays`, computed on first access: `means` (D, K), `global_mean` (D), `counts` (K), `weight` (K, D), `bias` (K); of
    the K' classes with samples: `within_variance` σ_c² (K'), `cosines_means`, `cosines_weights`, `cosines_between`
    (rows: weights) and `angles_…` in degrees (K', K'), `block_cosines_…`, their means over at most 64 blocks of
    neighbouring classes, `spectrum_within` (D) and `spectrum_between` (r), eigenvalues descending; `margins` (sorted),
    `accuracy` (K, NaN without samples) and `confusion` (K, K, true class by row); with a frame, `coordinates_means` and
    `coordinates_weights` (K', R), Rᵀ of the centred rows.
    """

    scalars: dict[str, float]
    flags: frozenset[str]
    arrays: Mapping[str, Array]
    rank: int
    samples: int
    of: int
    errors: dict[str, float]
    sizes: dict[str, int]
    center: Center = "classes"
    _statistics: SplitStatistics | None = field(default=None, repr=False)

    def pairs(self, which: VectorSet = "means", *, worst: int = 16) -> PairSummary:
        """Return a summary of bounded size of the K'² cosines: quantiles, the `worst` pairs, block means."""
        if self._statistics is None:
            raise ValueError("this measurement has no statistics to summarise; take it from Meter.compute or measure")
        return summarise_pairs(self._statistics, which, worst)


def make_measurement(statistics: SplitStatistics, result: EvaluationResult, frame_DR: Tensor | None) -> Measurement:
    """Return the measurement of evaluated statistics; with a frame (D, R), also coordinates in it."""
    return Measurement(
        scalars=result.scalars,
        flags=_flags(statistics, result),
        arrays=LazyArrays(_array_makers(statistics, result, frame_DR)),
        rank=len(statistics.centred_means.spectrum.eigenvalues_R),
        samples=len(statistics.labels_N),
        of=statistics.count,
        errors=result.errors,
        sizes=result.sizes,
        center=statistics.center,
        _statistics=statistics,
    )


def _flags(statistics: SplitStatistics, result: EvaluationResult) -> frozenset[str]:
    features, weights = statistics.features, statistics.centred_weights
    largest_rank = min(features, max(0, statistics.classes - 1))
    named = {
        "no-samples": statistics.classes == 0,
        "empty-class": 0 < statistics.classes < len(statistics.counts_K),
        "one-sample-class": bool((statistics.counts_K == 1).any()),
        "means-equal": statistics.classes > 0 and statistics.centred_means.coincide,
        "means-coincide": result.means_coincide,
        "weights-equal": weights is not None and weights.coincide,
        "features-below-rank": features < statistics.classes - 1,
        "rank-deficient": 0 < len(statistics.centred_means.spectrum.eigenvalues_R) < largest_rank,
        "overflow": result.overflowed,
        "sampled": len(statistics.labels_N) < statistics.count,
        "numerical-rank-sampled": "numerical_rank" in result.errors,
    }
    return frozenset(name for name, holds in named.items() if holds)


def _array_makers(statistics: SplitStatistics, result: EvaluationResult, frame_DR: Tensor | None) -> ArrayMakers:
    means, weights = statistics.centred_means, statistics.centred_weights
    weight_KD, bias_K = statistics.weight_KD, statistics.bias_K
    makers: ArrayMakers = {
        "means": lambda: statistics.means_KD.mT.masked_fill(statistics.counts_K == 0, torch.nan),
        "global_mean": lambda: statistics.global_mean_D,
        "counts": lambda: statistics.counts_K.long(),
        "within_variance": lambda: statistics.variances_K,
        "spectrum_within": lambda: within_spectrum(statistics.within),
        "spectrum_between": lambda: statistics.centred_means.spectrum.eigenvalues_R,
    }
    matrices = {"means": (means, means)}
    if weight_KD is not None:
        makers["weight"] = lambda: weight_KD
    if bias_K is not None:
        makers["bias"] = lambda: bias_K
    if weights is not None:
        matrices |= {"weights": (weights, weights), "between": (weights, means)}
    for name, (left, right) in matrices.items():
        makers[f"cosines_{name}"] = partial(cosine_matrix, left, right)
        makers[f"angles_{name}"] = partial(angle_matrix, left, right)
        makers[f"block_cosines_{name}"] = partial(block_cosines, left, right, max(1, block_size(statistics.classes)))
    samples = result.samples
    for name, array in (
        ("margins", samples.margins),
        ("accuracy", samples.accuracy),
        ("confusion", samples.confusion),
    ):
        if array is not None:
            makers[name] = partial(np.asarray, array)
    if frame_DR is not None:
        frame = frame_DR.detach().to(device=means.rows_KD.device, dtype=torch.float64)
        makers["coordinates_means"] = lambda: means.rows_KD @ frame
        if weights is not None:
            makers["coordinates_weights"] = lambda: weights.rows_KD @ frame
    return makers
