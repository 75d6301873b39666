"""Named statistics of one split, from which every metric is computed.

Symbols as in the papers: μ_c class means, μ_G their mean (or that of all samples), m_c = μ_c − μ_G, H = [m_c] (D×K),
W (K×D), b (K), Σ_W = (1/N) Σ_i (h_i − μ_{y_i})(h_i − μ_{y_i})ᵀ, Σ_B = (1/K) Σ_c m_c m_cᵀ. Classes without samples are
left out of every mean, and K then is K', the number of classes with samples. Tensors are float64 on the meter's device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from ncengine.lazy_torch import torch
from ncengine.metrics.vectors import CentredVectors

if TYPE_CHECKING:
    from torch import Tensor

    from ncengine.metrics.moments import ClassMoments

    Covariance: TypeAlias = "Tensor | WithinCovariance"

Center = Literal["classes", "samples"]
VectorSet = Literal["means", "weights"]
"""The centred class means, or the centred classifier rows."""
LONG_TAIL_RATIO = 2.0
"""A training set has a head and a tail if its largest class has at least so many times the samples of the smallest."""


class SampleEstimate(NamedTuple):
    """A metric computed from samples: its value, its error (None if it is exact) and the number of samples used."""

    value: float
    error: float | None
    size: int


@dataclass(frozen=True, eq=False)
class TrainingClasses:
    """Class means (K, D) and counts (K) of the training split, which the metrics of another split refer to.

    Its class means classify the samples in NC4, and its counts tell head from tail. Rows of classes without samples are
    not read.
    """

    means_KD: Tensor
    counts_K: Tensor


@dataclass(frozen=True, eq=False)
class OodFeatures:
    """Features of an out-of-distribution set, and what its samples are compared with.

    `mean_D` is their mean, `features_ND` those in the buffer; `principal_DR` and `center_D` are the principal
    directions and μ_G of the training features, which the NECO score uses.
    """

    mean_D: Tensor
    features_ND: Tensor
    principal_DR: Tensor
    center_D: Tensor


class ClassCenters(NamedTuple):
    """Points (C, D) that samples are assigned to, half their squared norms (C,), and their classes (C,)."""

    points_CD: Tensor
    half_squares_C: Tensor
    classes_C: Tensor

    def nearest(self, samples_BD: Tensor) -> Tensor | None:
        """Return the class of the nearest point (B,), as the argmax of x·p − ‖p‖²/2; None without points."""
        if not len(self.classes_C):
            return None
        return self.classes_C[(samples_BD @ self.points_CD.mT - self.half_squares_C).argmax(1)]


class WithinCovariance:
    """Σ_W = scatter/count (D, D), with the scatter in float64."""

    def __init__(self, scatter_DD: Tensor, count: int) -> None:
        self.scatter_DD, self.count = scatter_DD, max(1, count)
        self._last: tuple[Tensor, Tensor] | None = None

    @classmethod
    def of(cls, covariance: Covariance) -> WithinCovariance:
        """Wrap a matrix Σ_W (D, D)."""
        return covariance if isinstance(covariance, WithinCovariance) else cls(covariance.double(), 1)

    @property
    def matrix_DD(self) -> Tensor:
        """Σ_W. Computed at each access, since D×D may be large."""
        return self.scatter_DD / self.count

    def quadratic_form(self, vectors_DR: Tensor) -> Tensor:
        """Return vᵀ Σ_W v (R,) for each column v. The last result is stored, since several metrics use it."""
        if self._last is None or self._last[0] is not vectors_DR:
            self._last = vectors_DR, ((self.scatter_DD @ vectors_DR) * vectors_DR).sum(0) / self.count
        return self._last[1]


@dataclass(frozen=True, eq=False)
class SplitStatistics:
    """Moments of one split over all K classes, the classifier that evaluation uses, and the buffered samples.

    `frame_distance` is ‖R_t − R_{t−1}‖_F between the nearest ETF's frames of this measurement and of the one before, if
    both are known.
    """

    moments: ClassMoments
    features_ND: Tensor
    labels_N: Tensor
    weight_KD: Tensor | None = None
    bias_K: Tensor | None = None
    training: TrainingClasses | None = None
    ood: OodFeatures | None = None
    frame_distance: float | None = None
    center: Center = "classes"

    @property
    def device(self) -> torch.device:
        return self.moments.device

    @property
    def counts_K(self) -> Tensor:
        """n_c of all K classes, float64."""
        return self.moments.counts_K

    @property
    def means_KD(self) -> Tensor:
        """Uncentred class means of all K classes, zero rows for classes without samples.

        Computed at each access, since K×D may be large.
        """
        return self.moments.means_KD

    @cached_property
    def squares_K(self) -> Tensor:
        """Σ_{i∈c} ‖h_i − μ_c‖²."""
        return self.moments.central_squares_K

    @cached_property
    def within(self) -> WithinCovariance:
        """Σ_W."""
        return WithinCovariance(self.moments.central_scatter_DD, self.count)

    @cached_property
    def feature_norms(self) -> tuple[float, float]:
        """Mean and standard deviation of ‖h‖ over samples."""
        return self.moments.norm_mean_and_std

    @cached_property
    def present(self) -> Tensor:
        """Indices of the classes that have samples."""
        return (self.counts_K > 0).nonzero()[:, 0]

    @property
    def classes(self) -> int:
        """K', the number of classes that have samples."""
        return len(self.present)

    @property
    def features(self) -> int:
        """D, the dimension of the features."""
        return self.moments.shift_KD.shape[1]

    @cached_property
    def count(self) -> int:
        """N, the number of samples seen."""
        return int(self.counts_K.sum())

    def of_present(self, values_K: Tensor) -> Tensor:
        """Return the rows of the classes that have samples, without a copy if all have."""
        return values_K if self.classes == len(values_K) else values_K[self.present]

    @cached_property
    def global_mean_D(self) -> Tensor:
        """μ_G: the mean of the class means, or of all samples; zero without samples."""
        if not self.classes:
            return self.moments.shift_KD.new_zeros(self.features)
        means = self.of_present(self.means_KD)
        if self.center == "classes":
            return means.mean(0)
        shares_K = self.of_present(self.counts_K) / self.count
        return shares_K @ means

    @cached_property
    def centred_means(self) -> CentredVectors:
        """m_c = μ_c − μ_G of the classes that have samples, as rows."""
        return CentredVectors.centred(self.of_present(self.means_KD), self.global_mean_D)

    @cached_property
    def centred_weights(self) -> CentredVectors | None:
        """w_c − w̄ of the classes that have samples; None without a classifier."""
        if self.weight_KD is None or not self.classes:
            return None
        rows = self.of_present(self.weight_KD)
        return CentredVectors.centred(rows, rows.mean(0))

    def vectors(self, which: VectorSet) -> CentredVectors | None:
        """Return the centred class means or classifier rows; None without any, or if all of them coincide."""
        vectors = self.centred_means if which == "means" else self.centred_weights
        return None if vectors is None or vectors.coincide else vectors

    @cached_property
    def variances_K(self) -> Tensor:
        """σ_c² = mean over the class of ‖h − μ_c‖², of the classes that have samples."""
        return self.of_present(self.squares_K) / self.of_present(self.counts_K)

    @cached_property
    def within_trace(self) -> float:
        """tr(Σ_W)."""
        return float(self.squares_K.sum()) / max(1, self.count)

    @cached_property
    def between_trace(self) -> float:
        """tr(Σ_B)."""
        return self.centred_means.norm**2 / max(1, self.classes)

    @cached_property
    def center_logits_K(self) -> Tensor | None:
        """W μ_G + b (K) of all classes; None without a classifier."""
        if self.weight_KD is None:
            return None
        logits_K = self.weight_KD @ self.global_mean_D
        return logits_K if self.bias_K is None else logits_K + self.bias_K

    @cached_property
    def training_means(self) -> ClassCenters:
        """The training split's class means, around this split's μ_G."""
        if self.training is None:
            offsets_KD, classes = self.centred_means.rows_KD, self.present
        else:
            classes = (self.training.counts_K > 0).nonzero()[:, 0]
            offsets_KD = self.training.means_KD[classes] - self.global_mean_D
        return ClassCenters(offsets_KD, 0.5 * torch.linalg.vector_norm(offsets_KD, dim=1) ** 2, classes)

    @cached_property
    def head_and_tail(self) -> tuple[Tensor, Tensor] | None:
        """Positions, among the classes that have samples, of the head's and the tail's classes, by training counts."""
        counts_K = self.of_present(self.counts_K if self.training is None else self.training.counts_K)
        return split_head_and_tail(counts_K)


def split_head_and_tail(counts_K: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return the positions of the classes with many and with few samples; None on balanced data.

    The border is the geometric mean of the largest and the smallest class, which halves an exponential tail and
    separates the two sizes of a step.
    """
    if len(counts_K) < 2 or not bool((counts_K > 0).all()):
        return None
    largest, smallest = float(counts_K.max()), float(counts_K.min())
    if largest < LONG_TAIL_RATIO * smallest:
        return None
    in_head = counts_K >= math.sqrt(largest * smallest)
    return in_head.nonzero()[:, 0], (~in_head).nonzero()[:, 0]
