"""Compute metrics of a split: from its statistics, then over pairs of classes, then over the buffered samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ncengine.metrics.margins import batch_margins
from ncengine.metrics.metric_spec import FromSamples, FromStatistics, MetricSpec
from ncengine.metrics.pairs import OverPairs, PairStatistics, PairValues, reduce_pairs
from ncengine.metrics.samples import OverSamples, SampleBatch, sample_batches
from ncengine.metrics.statistics import SplitStatistics

CONFUSION_CLASSES = 2048
"""Above this many classes the K×K confusion matrix is not computed."""


@dataclass(frozen=True, eq=False)
class SampleResults:
    """Results of the pass over the buffered samples: metrics by key with standard errors and sizes, and arrays.

    `margins` are sorted, ascending. `accuracy` is the share of each class's samples (K) that was classified right, NaN
    for classes without samples. `confusion` counts samples by true class (row) and predicted class (K, K), up to
    `CONFUSION_CLASSES` classes.
    """

    values: dict[str, float]
    errors: dict[str, float]
    sizes: dict[str, int]
    margins: npt.NDArray[np.float32] | None = None
    accuracy: npt.NDArray[np.float64] | None = None
    confusion: npt.NDArray[np.int64] | None = None


@dataclass(frozen=True, eq=False)
class EvaluationResult:
    """Metrics by key; errors and sizes of those that are not exact; and the results of the pass over samples.

    `overflowed` says that a value did not fit into a float64 and was left out.
    """

    scalars: dict[str, float]
    errors: dict[str, float]
    sizes: dict[str, int]
    samples: SampleResults
    means_coincide: bool
    overflowed: bool


def evaluate(statistics: SplitStatistics, metrics: Mapping[str, MetricSpec]) -> EvaluationResult:
    """Compute all metrics that are defined for the statistics, in the order of `metrics`."""
    values: dict[str, float | None] = {}
    samples = _over_samples(statistics, metrics)
    errors, sizes = dict(samples.errors), dict(samples.sizes)
    for key, spec in metrics.items():
        if isinstance(spec.computation, FromStatistics):
            values[key] = spec.computation.function(statistics)
        elif isinstance(spec.computation, FromSamples):
            estimate = spec.computation.function(statistics)
            if estimate is None:
                continue
            values[key], sizes[key] = estimate.value, estimate.size
            if estimate.error is not None:
                errors[key] = estimate.error
    pairs = _over_pairs(statistics, metrics)
    values |= pairs.values | samples.values
    defined = {key: value for key in metrics if (value := values.get(key)) is not None}
    scalars = {key: value for key, value in defined.items() if math.isfinite(value)}
    return EvaluationResult(
        scalars,
        errors={key: error for key, error in errors.items() if key in scalars and math.isfinite(error)},
        sizes={key: size for key, size in sizes.items() if key in scalars},
        samples=samples,
        means_coincide=pairs.means_coincide,
        overflowed=len(scalars) < len(defined),
    )


def _over_pairs(statistics: SplitStatistics, metrics: Mapping[str, MetricSpec]) -> PairValues:
    """Compute the metrics over pairs whose vectors are there and do not all coincide."""
    wanted = {
        key: spec.computation
        for key, spec in metrics.items()
        if isinstance(spec.computation, OverPairs)
        and all(statistics.vectors(which) is not None for which in spec.computation.reads)
    }
    if not wanted:
        return PairValues({}, means_coincide=False)
    return reduce_pairs(
        PairStatistics(statistics.centred_means, statistics.centred_weights, statistics.variances_K), wanted
    )


class _SampleSums:
    """Count, sum and sum of squares of each metric over samples."""

    def __init__(self, metrics: Mapping[str, OverSamples], device: torch.device) -> None:
        self._metrics = metrics
        self._sums = {key: torch.zeros(3, dtype=torch.float64, device=device) for key in metrics}

    def add(self, batch: SampleBatch) -> dict[str, Tensor | None]:
        """Add a batch and return its values by metric."""
        values = {key: metric.term(batch) for key, metric in self._metrics.items()}
        for key, values_B in values.items():
            if values_B is not None:
                known = values_B.double()
                known = known[~torch.isnan(known)]
                self._sums[key] += torch.stack([known.new_tensor(float(len(known))), known.sum(), (known**2).sum()])
        return values

    def results(self, buffered: int, seen: int) -> tuple[dict[str, float], dict[str, float], dict[str, int]]:
        """Return means, standard errors and sizes; errors are those of `buffered` samples drawn from `seen`."""
        values, errors, sizes = {}, {}, {}
        for key, sums in self._sums.items():
            count, total, squares = sums.tolist()
            if count:
                values[key], sizes[key] = total / count, int(count)
                if buffered < seen and count > 1:
                    variance = max(0.0, squares / count - values[key] ** 2) * count / (count - 1)
                    errors[key] = math.sqrt(variance / count * (1 - buffered / seen))
        return values, errors, sizes


def _over_samples(statistics: SplitStatistics, metrics: Mapping[str, MetricSpec]) -> SampleResults:
    """Compute the metrics over samples and the arrays that come from the same pass; nothing if no metric needs one."""
    wanted = {key: spec.computation for key, spec in metrics.items() if isinstance(spec.computation, OverSamples)}
    if not wanted:
        return SampleResults({}, {}, {})
    sums = _SampleSums(wanted, statistics.device)
    labels_N, classes = statistics.labels_N, len(statistics.counts_K)
    # Allocated once: small results between large temporary matrices would keep the heap from returning memory.
    margins_N = torch.empty(len(labels_N), dtype=torch.float32, device=labels_N.device)
    with_margins = 0
    correct_K = torch.zeros(classes, dtype=torch.int64, device=labels_N.device)
    confusion_KK = correct_K.new_zeros(classes * classes) if classes <= CONFUSION_CLASSES else None
    for batch in sample_batches(statistics):
        labels_B = batch.labels_B
        per_sample = sums.add(batch)
        margins_B = per_sample["cosine_margin"] if "cosine_margin" in per_sample else batch_margins(batch)
        if margins_B is not None:
            margins_N[with_margins : with_margins + len(labels_B)] = margins_B
            with_margins += len(labels_B)
        if batch.predictions_B is not None:
            correct_K += torch.bincount(labels_B[batch.predictions_B == labels_B], minlength=classes)
            if confusion_KK is not None:
                confusion_KK += torch.bincount(labels_B * classes + batch.predictions_B, minlength=classes**2)
    classified = statistics.weight_KD is not None and len(labels_N) > 0
    seen_K = torch.bincount(labels_N, minlength=classes)
    values, errors, sizes = sums.results(len(labels_N), statistics.count)
    return SampleResults(
        values,
        errors,
        sizes,
        margins=np.sort(margins_N.cpu().numpy()) if with_margins else None,
        accuracy=(correct_K.double() / seen_K).cpu().numpy() if classified else None,
        confusion=confusion_KK.view(classes, classes).cpu().numpy()
        if classified and confusion_KK is not None
        else None,
    )
