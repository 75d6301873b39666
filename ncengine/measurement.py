"""Measure the geometry of features in one streaming pass: `Meter` accumulates, `measure` is the one-call form.

Moments accumulate exactly (`moments`); metrics that need a second pass (loss, accuracy, nc4, margins, numerical rank,
AUROC) read the samples that the meter kept (`kept`): all within `keep_bytes`, a thinned set beyond, which the flag
`sampled`, `Measurement.samples` of `Measurement.of`, and the standard errors say.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ncengine.geometry.views import block_size
from ncengine.kept import KeptSamples
from ncengine.metrics import METRICS, MetricSpec
from ncengine.metrics.evaluation import EvaluationResult, evaluate
from ncengine.metrics.pair_summary import (
    PairSummary,
    angle_matrix,
    block_cosines,
    cosine_matrix,
    summarise_pairs,
)
from ncengine.metrics.spectra import principal_directions, within_spectrum
from ncengine.metrics.statistics import Center, OodFeatures, SplitStatistics, TrainingClasses, VectorSet
from ncengine.moments import ClassMoments

KEEP_BYTES = 256 * 2**20
LARGEST = torch.finfo(torch.float32).max
Array = npt.NDArray[Any]


class LazyArrays(Mapping[str, Array]):
    """Arrays by name, each made when it is first asked for: K×K matrices cost nothing until somebody looks."""

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
    """What one measurement found.

    `scalars` by metric key; `flags` name what was degenerate or bounded:

    - `no-samples`, `empty-class`, `one-sample-class`: classes that have none or one; empty ones are left out;
    - `means-equal`: all class means coincide, and metrics of their directions are absent; `means-coincide`: some pairs
      do, and are left out of means over pairs; `weights-equal`: the same of all classifier rows;
    - `features-below-rank`: D < K' − 1, so that no simplex ETF fits; `rank-deficient`: Σ_B has a smaller rank than
      min(D, K' − 1), see `rank`;
    - `overflow`: a value does not fit into a float64, and is absent;
    - `sampled`: second-pass metrics are of `samples` of the `of` samples seen; `numerical-rank-sampled`: that one is of
      some samples of each class. `sizes` says of each metric that is not exact of how many samples it is, `errors` has
      the standard errors of those that are not of all (of numerical_rank, the difference from half as many).

    `arrays`, made on demand: `means` (D, K), `global_mean` (D), `counts` (K), `weight` (K, D), `bias` (K); of the
    classes present, K': `within_variance` σ_c² (K'), `cosines_means`, `cosines_weights`, `cosines_between` (rows:
    weights) and `angles_…` in degrees (K', K'), `block_cosines_…`, their means over at most 64 blocks of neighbouring
    classes, `spectrum_within` (D) and `spectrum_between` (r), eigenvalues descending; `margins` (sorted), `accuracy`
    (K, NaN without samples) and `confusion` (K, K, true class by row); with a frame, `coordinates_means` and
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
        """Return a bounded summary of the K'² cosines: quantiles, the `worst` pairs, block means; by tiles."""
        if self._statistics is None:
            raise ValueError("this measurement has no statistics to summarise; take it from Meter.compute or measure")
        return summarise_pairs(self._statistics, which, worst)


class Meter:
    """Accumulates features batch by batch; `compute` may be called at any time and leaves the state alone.

    Works on the device of the features that it is given, with `update`, `compute` and `reset` as TorchMetrics has them.
    Where `torch.distributed` is initialised, `compute` is a collective and gives every process the measurement of all
    of them together (`sync=False` that of its own). Raises ValueError for labels outside 0 … K−1, for shapes that do
    not fit and for features that are not finite.
    """

    def __init__(self, classes: int, features: int, *, keep_bytes: int = KEEP_BYTES) -> None:
        if classes < 1 or features < 1:
            raise ValueError(f"a meter needs classes >= 1 and features >= 1, got {classes} and {features}")
        self.classes, self.features, self.keep_bytes = classes, features, keep_bytes
        self.reset()

    def reset(self) -> None:
        """Forget everything that was seen."""
        self._moments = ClassMoments(self.classes, self.features)
        self._lent = False  # to a measurement, which must not change any more
        self._kept = KeptSamples(self.classes, self.features, self.keep_bytes)

    @torch.no_grad()
    def update(self, features_BD: Tensor, labels_B: Tensor) -> None:
        """Take a batch in: features (B, D) of any floating dtype, labels (B,) integers in 0 … K−1."""
        self._check_types(features_BD, labels_B)
        if not len(features_BD):
            return
        features_BD = features_BD.detach()
        labels_B = labels_B.detach().to(device=features_BD.device, dtype=torch.int64)
        self._take_back()
        if self._moments.device != features_BD.device:
            self._moments.to(features_BD.device)
        low, high, finite, fresh = self._looked_at(features_BD, labels_B)
        if low < 0 or high >= self.classes:
            raise ValueError(f"labels must lie in 0 … {self.classes - 1}, got {low if low < 0 else high}")
        if not finite:
            raise ValueError(
                f"features must be finite and within ±{LARGEST:.1e}, got NaN, infinity or more: the training has "
                "diverged; lower optimiser.lr"
            )
        self._moments.add(features_BD, labels_B, fresh=fresh)
        self._kept.add(features_BD, labels_B)

    def merge(self, other: Meter) -> None:
        """Take everything that `other` has seen in; the result is that of one meter fed both streams."""
        if (other.classes, other.features) != (self.classes, self.features):
            raise ValueError(
                f"meters must agree in (classes, features), got {(self.classes, self.features)} "
                f"and {(other.classes, other.features)}"
            )
        self._take_back()
        self._moments.merge(other._moments)
        self._kept.merge(other._kept)

    def _take_back(self) -> None:
        if self._lent:
            self._moments, self._lent = self._moments.clone(), False

    @property
    def means_DK(self) -> Tensor:
        """Class means (D, K) in float64 on the meter's device; NaN columns for classes without samples."""
        return self._moments.means_KD.mT.masked_fill(self._moments.counts_K == 0, torch.nan)

    @property
    def counts_K(self) -> Tensor:
        """Samples of each class (K), float64."""
        return self._moments.counts_K

    @torch.no_grad()
    def compute(
        self,
        weight_KD: Tensor | None = None,
        bias_K: Tensor | None = None,
        *,
        training: Meter | None = None,
        frame_DR: Tensor | None = None,
        previous_frame_DR: Tensor | None = None,
        outside: Meter | None = None,
        center: Center = "classes",
        keys: Collection[str] | None = None,
        sync: bool = True,
    ) -> Measurement:
        """Return the measurement of what was seen so far.

        `weight_KD` and `bias_K` are the classifier of evaluation. `training` is the meter of the training split, where
        this one is of another: its class means classify in nc4, its counts tell head from tail, its features give the
        directions of NECO; by default this meter itself. `frame_DR` (D, R) asks for coordinates, and with
        `previous_frame_DR` for `frame_drift`. `outside` is a meter fed with out-of-distribution features (labels do not
        matter), for NC5. `center` chooses μ_G. `keys` names the metrics that are wanted, by default all; where none of
        them needs a second pass there is none, nor its arrays. Raises ValueError for shapes that do not fit, and for
        keys that are no metrics.
        """
        wanted = METRICS if keys is None else _chosen(keys)
        self._check_computed(weight_KD, bias_K, frame_DR, previous_frame_DR, training, outside)
        own = self._synced(sync)
        reference = training if training is None else training._synced(sync)
        other = outside if outside is None else outside._synced(sync)
        statistics = own._compute_statistics(weight_KD, bias_K, reference, other, center, frame_DR, previous_frame_DR)
        own._lent = True
        result = evaluate(statistics, wanted)
        return Measurement(
            scalars=result.scalars,
            flags=self._flags(statistics, result),
            arrays=LazyArrays(_makers(statistics, result, frame_DR)),
            rank=len(statistics.centred_means.spectrum.eigenvalues_R),
            samples=len(statistics.labels_N),
            of=statistics.count,
            errors=result.errors,
            sizes=result.sizes,
            center=center,
            _statistics=statistics,
        )

    def _synced(self, sync: bool) -> Meter:
        """Return a meter of what all processes have seen, or this one where there is only one process."""
        from torch import distributed

        if not (sync and distributed.is_available() and distributed.is_initialized()):
            return self
        if distributed.get_world_size() == 1:
            return self
        # A process that saw nothing yet does not know the device; the backend does.
        on_gpu = distributed.get_backend() == "nccl"
        device = torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")
        found = Meter(self.classes, self.features, keep_bytes=self.keep_bytes)
        found._moments = self._moments.clone().to(device).reduced()
        found._kept = self._kept.reduced(device)
        return found

    def _compute_statistics(
        self,
        weight_KD: Tensor | None,
        bias_K: Tensor | None,
        training: Meter | None,
        outside: Meter | None,
        center: Center,
        frame_DR: Tensor | None,
        previous_DR: Tensor | None,
    ) -> SplitStatistics:
        device = self._moments.device
        features_ND, labels_N = self._kept.whole()
        frame_distance = None
        if frame_DR is not None and previous_DR is not None:
            frame_distance = float(
                torch.linalg.vector_norm(frame_DR.double() - previous_DR.to(frame_DR.device).double())
            )
        return SplitStatistics(
            moments=self._moments,
            features_ND=features_ND.to(device),
            labels_N=labels_N.to(device),
            weight_KD=_float64(weight_KD, device),
            bias_K=_float64(bias_K, device),
            training=None
            if training is None
            else TrainingClasses(training._moments.means_KD.to(device), training.counts_K.to(device)),
            ood=None if outside is None else self._outside(outside, training or self, center),
            frame_distance=frame_distance,
            center=center,
        )

    def _outside(self, outside: Meter, training: Meter, center: Center) -> OodFeatures | None:
        device, count = self._moments.device, float(outside.counts_K.sum())
        if not count:
            return None
        split = training._compute_statistics(None, None, None, None, center, None, None)
        return OodFeatures(
            mean_D=(outside.counts_K @ outside._moments.means_KD / count).to(device),
            features_ND=outside._kept.whole()[0].to(device),
            principal_DR=principal_directions(split).to(device),
            center_D=split.global_mean_D.to(device),
        )

    def _flags(self, statistics: SplitStatistics, result: EvaluationResult) -> frozenset[str]:
        largest_rank = min(self.features, max(0, statistics.classes - 1))
        named = {
            "no-samples": statistics.classes == 0,
            "empty-class": 0 < statistics.classes < self.classes,
            "one-sample-class": bool((statistics.counts_K == 1).any()),
            "means-equal": statistics.classes > 0 and statistics.centred_means.coincide,
            "means-coincide": result.means_coincide,
            "weights-equal": statistics.centred_weights is not None and statistics.centred_weights.coincide,
            "features-below-rank": self.features < statistics.classes - 1,
            "rank-deficient": 0 < len(statistics.centred_means.spectrum.eigenvalues_R) < largest_rank,
            "overflow": result.overflowed,
            "sampled": len(statistics.labels_N) < statistics.count,
            "numerical-rank-sampled": "numerical_rank" in result.errors,
        }
        return frozenset(name for name, holds in named.items() if holds)

    def _check_types(self, features_BD: Tensor, labels_B: Tensor) -> None:
        if features_BD.ndim != 2 or features_BD.shape[1] != self.features:
            raise ValueError(f"features must be (N, {self.features}), got {tuple(features_BD.shape)}")
        if labels_B.shape != features_BD.shape[:1]:
            raise ValueError(f"labels must be ({len(features_BD)},), got {tuple(labels_B.shape)}")
        if labels_B.is_floating_point() or labels_B.is_complex() or labels_B.dtype == torch.bool:
            raise ValueError(f"labels must be integers, got {labels_B.dtype}")
        if not features_BD.is_floating_point():
            raise ValueError(f"features must be floating point, got {features_BD.dtype}")

    def _looked_at(self, features_BD: Tensor, labels_B: Tensor) -> tuple[int, int, bool, bool]:
        """Smallest and largest label, whether all is finite, whether classes are unseen: one wait for a GPU."""
        low, high = labels_B.aminmax()
        finite = within_range(features_BD)
        unseen = (self._moments.counts_K == 0).any()
        found = torch.stack([low, high, finite.long(), unseen.long()]).tolist()
        return int(found[0]), int(found[1]), bool(found[2]), bool(found[3])

    def _check_computed(
        self,
        weight_KD: Tensor | None,
        bias_K: Tensor | None,
        frame_DR: Tensor | None,
        previous_DR: Tensor | None,
        training: Meter | None,
        outside: Meter | None,
    ) -> None:
        if weight_KD is not None and tuple(weight_KD.shape) != (self.classes, self.features):
            raise ValueError(f"weight must be {(self.classes, self.features)}, got {tuple(weight_KD.shape)}")
        if bias_K is not None and tuple(bias_K.shape) != (self.classes,):
            raise ValueError(f"bias must be {(self.classes,)}, got {tuple(bias_K.shape)}")
        for name, frame in (("frame", frame_DR), ("previous frame", previous_DR)):
            if frame is not None and (frame.ndim != 2 or len(frame) != self.features):
                raise ValueError(f"{name} must be ({self.features}, R), got {tuple(frame.shape)}")
        for name, tensor in (("weight", weight_KD), ("bias", bias_K), ("frame", frame_DR)):
            if tensor is not None and not bool(within_range(tensor)):
                raise ValueError(f"{name} must be finite and within ±{LARGEST:.1e}, got NaN, infinity or more")
        if training is not None and (training.classes, training.features) != (self.classes, self.features):
            raise ValueError(
                f"the training meter must have (classes, features) {(self.classes, self.features)}, "
                f"got {(training.classes, training.features)}"
            )
        if outside is not None and outside.features != self.features:
            raise ValueError(f"the outside meter must have {self.features} features, got {outside.features}")


def _chosen(keys: Collection[str]) -> dict[str, MetricSpec]:
    unknown = [key for key in keys if key not in METRICS]
    if unknown:
        raise ValueError(f"keys must be metrics, {unknown[0]!r} is none; there are {', '.join(METRICS)}")
    return {key: spec for key, spec in METRICS.items() if key in keys}


def within_range(tensor: Tensor) -> Tensor:
    """Return whether all numbers are finite and in the range in which their fourth powers fit into a float64."""
    low, high = tensor.aminmax()  # NaN where there is any, and then neither comparison holds
    return (low >= -LARGEST) & (high <= LARGEST)


def _float64(tensor: Tensor | None, device: torch.device) -> Tensor | None:
    return None if tensor is None else tensor.detach().to(device=device, dtype=torch.float64)


def _makers(
    statistics: SplitStatistics, result: EvaluationResult, frame_DR: Tensor | None
) -> dict[str, Callable[[], Tensor | Array]]:
    means, weights = statistics.centred_means, statistics.centred_weights
    weight_KD, bias_K = statistics.weight_KD, statistics.bias_K
    makers: dict[str, Callable[[], Tensor | Array]] = {
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


def measure(
    features_ND: Tensor,
    labels_N: Tensor,
    weight_KD: Tensor | None = None,
    bias_K: Tensor | None = None,
    *,
    classes: int | None = None,
    frame_DR: Tensor | None = None,
    center: Center = "classes",
) -> Measurement:
    """Measure features (N, D) with labels (N,) and, where given, the classifier W (K, D), b (K).

    K is `classes`, or the rows of the weight, or one more than the largest label. Raises ValueError for labels out of
    range, shapes that do not fit and features that are not finite.
    """
    if classes is None:
        classes = len(weight_KD) if weight_KD is not None else int(labels_N.max()) + 1 if labels_N.numel() else 2
    if features_ND.ndim != 2:
        raise ValueError(f"features must be (N, D), got {tuple(features_ND.shape)}")
    meter = Meter(max(classes, 2), features_ND.shape[1], keep_bytes=max(KEEP_BYTES, features_ND.nbytes))
    meter.update(features_ND, labels_N)
    return meter.compute(weight_KD, bias_K, frame_DR=frame_DR, center=center, sync=False)
