"""Measure the geometry of features in one streaming pass: `Meter` accumulates, `measure` is the one-call form.

Moments accumulate exactly (`metrics.moments`). Metrics over samples (loss, accuracy, nc4, margins, numerical rank,
AUROC) are computed from the samples that the meter stores (`feature_buffer`): all within `keep_bytes`, beyond that a
thinned set, as the flag `sampled`, `Measurement.samples` of `Measurement.of` and the standard errors report.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from ncengine.measurement.feature_buffer import FeatureBuffer
from ncengine.measurement.result import Measurement, make_measurement
from ncengine.metrics import METRICS, MetricSpec
from ncengine.metrics.evaluation import evaluate
from ncengine.metrics.moments import ClassMoments
from ncengine.metrics.spectra import principal_directions
from ncengine.metrics.statistics import Center, OodFeatures, SplitStatistics, TrainingClasses

KEEP_BYTES = 256 * 2**20
LARGEST = torch.finfo(torch.float32).max
"""Largest absolute value of a feature: its fourth power fits into a float64."""


class Meter:
    """Accumulates features batch by batch; `compute` may be called at any time and does not change the state.

    Works on the device of the features, with `update`, `compute` and `reset` as in TorchMetrics. If `torch.distributed`
    is initialised, `compute` is a collective operation and gives every process the measurement of all of them together
    (`sync=False` that of its own). Raises ValueError for labels outside 0 … K−1, for shapes that do not fit and for
    features that are not finite.
    """

    def __init__(self, classes: int, features: int, *, keep_bytes: int = KEEP_BYTES) -> None:
        if classes < 1 or features < 1:
            raise ValueError(f"a meter needs classes >= 1 and features >= 1, got {classes} and {features}")
        self.classes, self.features, self.keep_bytes = classes, features, keep_bytes
        self.reset()

    def reset(self) -> None:
        """Clear the accumulated state."""
        self._moments = ClassMoments(self.classes, self.features)
        self._moments_shared = False  # with a measurement, which must not change any more
        self._buffer = FeatureBuffer(self.classes, self.features, self.keep_bytes)

    @torch.no_grad()
    def update(self, features_BD: Tensor, labels_B: Tensor) -> None:
        """Add a batch: features (B, D) of any floating dtype, labels (B,) integers in 0 … K−1."""
        self._check_batch(features_BD, labels_B)
        if not len(features_BD):
            return
        features_BD = features_BD.detach()
        labels_B = labels_B.detach().to(device=features_BD.device, dtype=torch.int64)
        self._copy_shared_moments()
        if self._moments.device != features_BD.device:
            self._moments.to(features_BD.device)
        lowest, highest, finite, has_new_classes = self._inspect_batch(features_BD, labels_B)
        if lowest < 0 or highest >= self.classes:
            raise ValueError(f"labels must lie in 0 … {self.classes - 1}, got {lowest if lowest < 0 else highest}")
        if not finite:
            raise ValueError(
                f"features must be finite and within ±{LARGEST:.1e}, got NaN, infinity or more: the training has "
                "diverged; lower optimiser.lr"
            )
        self._moments.update(features_BD, labels_B, has_new_classes=has_new_classes)
        self._buffer.append(features_BD, labels_B)

    def merge(self, other: Meter) -> None:
        """Add everything that `other` has seen; the result is that of one meter fed both streams."""
        if (other.classes, other.features) != (self.classes, self.features):
            raise ValueError(
                f"meters must agree in (classes, features), got {(self.classes, self.features)} "
                f"and {(other.classes, other.features)}"
            )
        self._copy_shared_moments()
        self._moments.merge(other._moments)
        self._buffer.merge(other._buffer)

    def _copy_shared_moments(self) -> None:
        if self._moments_shared:
            self._moments, self._moments_shared = self._moments.clone(), False

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
        ood: Meter | None = None,
        center: Center = "classes",
        keys: Collection[str] | None = None,
        sync: bool = True,
    ) -> Measurement:
        """Return the measurement of what was seen so far.

        Args:
            weight_KD: the classifier's rows that evaluation uses.
            bias_K: the classifier's bias.
            training: the meter of the training split, if this one is of another split: its class means classify in
                nc4, its counts tell head from tail, its features give the directions of NECO. Default: this meter.
            frame_DR: adds coordinates in this frame (D, R) to the arrays.
            previous_frame_DR: the frame of the measurement before, for `frame_drift`.
            ood: a meter fed with out-of-distribution features, whose labels do not matter, for NC5.
            center: μ_G is the mean of the class means (`classes`) or of all samples (`samples`).
            keys: the metrics to compute, by default all; without a metric over samples there is no pass over them, nor
                its arrays.
            sync: combine all processes of `torch.distributed`.

        Raises ValueError for shapes that do not fit and for keys that are not metrics.
        """
        metrics = METRICS if keys is None else _metrics_of(keys)
        self._check_classifier(weight_KD, bias_K)
        self._check_frames(frame_DR, previous_frame_DR)
        self._check_meters(training, ood)
        own = self._synced(sync)
        training = training if training is None else training._synced(sync)
        ood = ood if ood is None else ood._synced(sync)
        frame_distance = None
        if frame_DR is not None and previous_frame_DR is not None:
            previous_frame_DR = previous_frame_DR.to(frame_DR.device)
            frame_distance = float(torch.linalg.vector_norm(frame_DR.double() - previous_frame_DR.double()))
        device = own._moments.device
        statistics = own._statistics(
            weight_KD=_float64(weight_KD, device),
            bias_K=_float64(bias_K, device),
            training=None if training is None else training._training_classes(device),
            ood=None if ood is None else ood._ood_features(training or own, center, device),
            frame_distance=frame_distance,
            center=center,
        )
        own._moments_shared = True
        return make_measurement(statistics, evaluate(statistics, metrics), frame_DR)

    def _synced(self, sync: bool) -> Meter:
        """Return a meter of what all processes have seen, or this one if there is only one process."""
        from torch import distributed

        if not (sync and distributed.is_available() and distributed.is_initialized()):
            return self
        if distributed.get_world_size() == 1:
            return self
        # A process that has seen nothing yet does not know the device; the communication backend does.
        on_gpu = distributed.get_backend() == "nccl"
        device = torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")
        combined = Meter(self.classes, self.features, keep_bytes=self.keep_bytes)
        combined._moments = self._moments.clone().to(device).all_reduce()
        combined._buffer = self._buffer.all_gather(device)
        return combined

    def _statistics(
        self,
        *,
        center: Center,
        weight_KD: Tensor | None = None,
        bias_K: Tensor | None = None,
        training: TrainingClasses | None = None,
        ood: OodFeatures | None = None,
        frame_distance: float | None = None,
    ) -> SplitStatistics:
        features_ND, labels_N = self._buffer.concatenated()
        return SplitStatistics(
            moments=self._moments,
            features_ND=features_ND.to(self._moments.device),
            labels_N=labels_N.to(self._moments.device),
            weight_KD=weight_KD,
            bias_K=bias_K,
            training=training,
            ood=ood,
            frame_distance=frame_distance,
            center=center,
        )

    def _training_classes(self, device: torch.device) -> TrainingClasses:
        return TrainingClasses(self._moments.means_KD.to(device), self.counts_K.to(device))

    def _ood_features(self, training: Meter, center: Center, device: torch.device) -> OodFeatures | None:
        """Return this meter's features as out-of-distribution ones; None without any."""
        count = float(self.counts_K.sum())
        if not count:
            return None
        reference = training._statistics(center=center)
        return OodFeatures(
            mean_D=(self.counts_K @ self._moments.means_KD / count).to(device),
            features_ND=self._buffer.concatenated()[0].to(device),
            principal_DR=principal_directions(reference).to(device),
            center_D=reference.global_mean_D.to(device),
        )

    def _check_batch(self, features_BD: Tensor, labels_B: Tensor) -> None:
        if features_BD.ndim != 2 or features_BD.shape[1] != self.features:
            raise ValueError(f"features must be (N, {self.features}), got {tuple(features_BD.shape)}")
        if labels_B.shape != features_BD.shape[:1]:
            raise ValueError(f"labels must be ({len(features_BD)},), got {tuple(labels_B.shape)}")
        if labels_B.is_floating_point() or labels_B.is_complex() or labels_B.dtype == torch.bool:
            raise ValueError(f"labels must be integers, got {labels_B.dtype}")
        if not features_BD.is_floating_point():
            raise ValueError(f"features must be floating point, got {features_BD.dtype}")

    def _inspect_batch(self, features_BD: Tensor, labels_B: Tensor) -> tuple[int, int, bool, bool]:
        """Return the lowest and highest label, whether all is finite, whether classes have no samples so far.

        All four are read together, so that a GPU is waited for once.
        """
        lowest, highest = labels_B.aminmax()
        finite = is_within_range(features_BD)
        empty = (self._moments.counts_K == 0).any()
        values = torch.stack([lowest, highest, finite.long(), empty.long()]).tolist()
        return int(values[0]), int(values[1]), bool(values[2]), bool(values[3])

    def _check_classifier(self, weight_KD: Tensor | None, bias_K: Tensor | None) -> None:
        if weight_KD is not None and tuple(weight_KD.shape) != (self.classes, self.features):
            raise ValueError(f"weight must be {(self.classes, self.features)}, got {tuple(weight_KD.shape)}")
        if bias_K is not None and tuple(bias_K.shape) != (self.classes,):
            raise ValueError(f"bias must be {(self.classes,)}, got {tuple(bias_K.shape)}")
        _require_finite("weight", weight_KD)
        _require_finite("bias", bias_K)

    def _check_frames(self, frame_DR: Tensor | None, previous_DR: Tensor | None) -> None:
        for name, frame in (("frame", frame_DR), ("previous frame", previous_DR)):
            if frame is not None and (frame.ndim != 2 or len(frame) != self.features):
                raise ValueError(f"{name} must be ({self.features}, R), got {tuple(frame.shape)}")
        _require_finite("frame", frame_DR)

    def _check_meters(self, training: Meter | None, ood: Meter | None) -> None:
        if training is not None and (training.classes, training.features) != (self.classes, self.features):
            raise ValueError(
                f"the training meter must have (classes, features) {(self.classes, self.features)}, "
                f"got {(training.classes, training.features)}"
            )
        if ood is not None and ood.features != self.features:
            raise ValueError(f"the ood meter must have {self.features} features, got {ood.features}")


def _metrics_of(keys: Collection[str]) -> dict[str, MetricSpec]:
    unknown = [key for key in keys if key not in METRICS]
    if unknown:
        raise ValueError(f"keys must be metrics, {unknown[0]!r} is none; there are {', '.join(METRICS)}")
    return {key: spec for key, spec in METRICS.items() if key in keys}


def is_within_range(tensor: Tensor) -> Tensor:
    """Return whether all values are finite and at most `LARGEST` in absolute value, as a tensor."""
    low, high = tensor.aminmax()  # NaN if there is any, and then both comparisons are false
    return (low >= -LARGEST) & (high <= LARGEST)


def _require_finite(name: str, tensor: Tensor | None) -> None:
    if tensor is not None and not bool(is_within_range(tensor)):
        raise ValueError(f"{name} must be finite and within ±{LARGEST:.1e}, got NaN, infinity or more")


def _float64(tensor: Tensor | None, device: torch.device) -> Tensor | None:
    return None if tensor is None else tensor.detach().to(device=device, dtype=torch.float64)


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
    """Measure features (N, D) with labels (N,) and optionally the classifier W (K, D), b (K).

    K is `classes`, or the number of rows of the weight, or one more than the largest label. Raises ValueError for
    labels out of range, shapes that do not fit and features that are not finite.
    """
    if classes is None:
        classes = len(weight_KD) if weight_KD is not None else int(labels_N.max()) + 1 if labels_N.numel() else 2
    if features_ND.ndim != 2:
        raise ValueError(f"features must be (N, D), got {tuple(features_ND.shape)}")
    meter = Meter(max(classes, 2), features_ND.shape[1], keep_bytes=max(KEEP_BYTES, features_ND.nbytes))
    meter.update(features_ND, labels_N)
    return meter.compute(weight_KD, bias_K, frame_DR=frame_DR, center=center, sync=False)
