"""Measure the geometry of features in one streaming pass: `Meter` accumulates, `measure` is the one-call form.

Moments are float64 and shifted by the first class means seen, so that nothing cancels when the features have collapsed
or sit far from the origin:

    δ_i = h_i − s_{y_i},   S = Σ δ_i δ_iᵀ,   Σ_W N = S − Σ_c (Σ_{i∈c} δ_i)(Σ_{i∈c} δ_i)ᵀ / n_c

and two meters merge exactly (Chan, Golub, LeVeque 1983). Memory is O(K D + D²) plus the samples kept for the metrics
that need a second pass (loss, top1, nc4, margins): all up to `keep_bytes`, beyond that every 2nd, 4th, … sample,
which the flag `sampled` and `Measurement.samples` say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ncengine.metrics import Snapshot, evaluate
from ncengine.metrics.snapshot import F64

KEEP_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Measurement:
    """What one measurement found.

    `scalars` by metric key; `flags` name what was degenerate or bounded (`empty-class`, `one-sample-class`,
    `means-equal`, `features-below-rank`, `sampled`); `arrays`: `means` (D, K), `global_mean` (D), `counts` (K),
    `cosines_means` (K', K') over the classes present, `cosines_weights`, `margins` (sorted) and, where a frame was
    given, `coordinates_means` and `coordinates_weights` (K', K−1). `rank` is that of Σ_B, `samples` the number kept for
    second-pass metrics, `center` names the global mean used.
    """

    scalars: dict[str, float]
    flags: frozenset[str]
    arrays: dict[str, npt.NDArray[Any]]
    rank: int
    samples: int
    center: str = "classes"


class Meter:
    """Accumulates features batch by batch; `compute` may be called at any time and leaves the state alone.

    Works on the device of the features it is given. Raises ValueError for labels outside 0 … K−1, for shapes that do
    not fit and for features that are not finite.
    """

    def __init__(self, classes: int, features: int, *, keep_bytes: int = KEEP_BYTES) -> None:
        if classes < 2 or features < 1:
            raise ValueError(f"a meter needs classes >= 2 and features >= 1, got {classes} and {features}")
        self.classes, self.features, self.keep_bytes = classes, features, keep_bytes
        self._counts_K = torch.zeros(classes, dtype=torch.float64)
        self._shift_KD = torch.zeros(classes, features, dtype=torch.float64)
        self._delta_KD = torch.zeros(classes, features, dtype=torch.float64)
        self._scatter_DD = torch.zeros(features, features, dtype=torch.float64)
        self._kept: list[tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]] = []
        self._kept_rows, self._seen_rows, self._stride = 0, 0, 1

    @torch.no_grad()
    def update(self, features_BD: Tensor, labels_B: Tensor) -> None:
        """Take a batch in: features (B, D) of any floating dtype, labels (B,) integers in 0 … K−1."""
        self._check(features_BD, labels_B)
        if not len(features_BD):
            return
        if self._counts_K.device != features_BD.device:
            self._move(features_BD.device)
        batch_BD = features_BD.detach().to(torch.float64)
        labels_B = labels_B.detach().to(device=features_BD.device, dtype=torch.int64)
        one_hot_BK = torch.nn.functional.one_hot(labels_B, self.classes).to(torch.float64)
        counts_K = one_hot_BK.sum(0)
        means_KD = (one_hot_BK.mT @ batch_BD) / counts_K.clamp(min=1)[:, None]
        fresh_K = (self._counts_K == 0) & (counts_K > 0)
        self._shift_KD = torch.where(fresh_K[:, None], means_KD, self._shift_KD)
        delta_BD = batch_BD - self._shift_KD[labels_B]
        self._counts_K += counts_K
        self._delta_KD += one_hot_BK.mT @ delta_BD
        self._scatter_DD += delta_BD.mT @ delta_BD
        self._keep(features_BD, labels_B)

    def merge(self, other: Meter) -> None:
        """Take everything that `other` has seen in; the result is that of one meter fed both streams."""
        if (other.classes, other.features) != (self.classes, self.features):
            raise ValueError(
                f"meters must agree in (classes, features), got {(self.classes, self.features)} "
                f"and {(other.classes, other.features)}"
            )
        device = self._counts_K.device
        counts_K, shift_KD, delta_KD, scatter_DD = (
            part.to(device) for part in (other._counts_K, other._shift_KD, other._delta_KD, other._scatter_DD)
        )
        fresh_K = (self._counts_K == 0)[:, None]
        self._shift_KD = torch.where(fresh_K, shift_KD, self._shift_KD)
        # Moving the other's deviations to our shift: δ' = δ + (s_other − s_ours).
        move_KD = shift_KD - self._shift_KD
        cross_DD = delta_KD.mT @ move_KD
        self._scatter_DD += scatter_DD + cross_DD + cross_DD.mT + (counts_K[:, None] * move_KD).mT @ move_KD
        self._delta_KD += delta_KD + counts_K[:, None] * move_KD
        self._counts_K += counts_K
        for samples, labels in other._kept:
            self._append(samples, labels)
        self._seen_rows += other._seen_rows
        self._stride = max(self._stride, other._stride)

    @property
    def means_DK(self) -> F64:
        """Class means (D, K) in float64; NaN columns for classes without samples."""
        means_KD = self._shift_KD + self._delta_KD / self._counts_K.clamp(min=1)[:, None]
        means_KD[self._counts_K == 0] = torch.nan
        return np.asarray(means_KD.cpu().numpy().T)

    def compute(
        self,
        weight_KD: Tensor | None = None,
        bias_K: Tensor | None = None,
        *,
        class_means_DK: F64 | None = None,
        frame_DR: Tensor | None = None,
    ) -> Measurement:
        """Return the measurement of what was seen so far.

        `weight_KD` and `bias_K` are the classifier of evaluation; `class_means_DK` are the class means that classify in
        nc4 (a test split passes the training split's), by default this split's own; `frame_DR` asks for coordinates.
        """
        if weight_KD is not None and tuple(weight_KD.shape) != (self.classes, self.features):
            raise ValueError(f"weight must be {(self.classes, self.features)}, got {tuple(weight_KD.shape)}")
        if bias_K is not None and tuple(bias_K.shape) != (self.classes,):
            raise ValueError(f"bias must be {(self.classes,)}, got {tuple(bias_K.shape)}")
        snapshot = self._snapshot(weight_KD, bias_K, class_means_DK)
        arrays: dict[str, npt.NDArray[Any]] = {
            "means": snapshot.means_DK,
            "global_mean": snapshot.global_mean_D,
            "counts": snapshot.counts_K,
            "cosines_means": snapshot.mean_cosines,
        }
        if snapshot.weight_cosines is not None:
            arrays["cosines_weights"] = snapshot.weight_cosines
        if snapshot.margins_N is not None:
            arrays["margins"] = np.sort(snapshot.margins_N)
        if frame_DR is not None:
            frame = frame_DR.detach().cpu().to(torch.float64).numpy()
            arrays["coordinates_means"] = snapshot.centred_DK.T @ frame
            if snapshot.weight_centred_KD is not None:
                arrays["coordinates_weights"] = snapshot.weight_centred_KD @ frame
        return Measurement(
            scalars=evaluate(snapshot),
            flags=self._flags(snapshot),
            arrays=arrays,
            rank=len(snapshot.between[1]),
            samples=len(snapshot.samples_ND),
        )

    def _snapshot(self, weight_KD: Tensor | None, bias_K: Tensor | None, reference_DK: F64 | None) -> Snapshot:
        counts_K = self._counts_K.clamp(min=1)[:, None]
        scatter_DD = self._scatter_DD - (self._delta_KD / counts_K).mT @ self._delta_KD
        kept = self._kept
        return Snapshot(
            means_DK=np.nan_to_num(self.means_DK),
            counts_K=self._counts_K.cpu().numpy().astype(np.int64),
            scatter_DD=scatter_DD.cpu().numpy(),
            samples_ND=np.concatenate([s for s, _ in kept]) if kept else np.zeros((0, self.features), np.float32),
            labels_N=np.concatenate([y for _, y in kept]) if kept else np.zeros(0, np.int64),
            weight_KD=_float64(weight_KD),
            bias_K=_float64(bias_K),
            reference_DK=reference_DK,
        )

    def _flags(self, snapshot: Snapshot) -> frozenset[str]:
        scale = float(np.abs(snapshot.means_DK).max(initial=0.0))
        found = {
            "empty-class": snapshot.classes < self.classes,
            "one-sample-class": bool((snapshot.counts_K == 1).any()),
            "means-equal": not np.abs(snapshot.centred_DK).max(initial=0.0) > 1e-12 * scale,
            "features-below-rank": self.features < snapshot.classes - 1,
            "sampled": self._stride > 1,
        }
        return frozenset(name for name, holds in found.items() if holds)

    def _check(self, features_BD: Tensor, labels_B: Tensor) -> None:
        if features_BD.ndim != 2 or features_BD.shape[1] != self.features:
            raise ValueError(f"features must be (N, {self.features}), got {tuple(features_BD.shape)}")
        if labels_B.shape != features_BD.shape[:1]:
            raise ValueError(f"labels must be ({len(features_BD)},), got {tuple(labels_B.shape)}")
        if labels_B.is_floating_point() or labels_B.is_complex() or labels_B.dtype == torch.bool:
            raise ValueError(f"labels must be integers, got {labels_B.dtype}")
        if not features_BD.is_floating_point():
            raise ValueError(f"features must be floating point, got {features_BD.dtype}")
        if not len(features_BD):
            return
        low, high = int(labels_B.min()), int(labels_B.max())
        if low < 0 or high >= self.classes:
            raise ValueError(f"labels must lie in 0 … {self.classes - 1}, got {low if low < 0 else high}")
        if not bool(torch.isfinite(features_BD).all()):
            raise ValueError(
                "features must be finite, got NaN or infinity: the training has diverged; lower optimiser.lr"
            )

    def _keep(self, features_BD: Tensor, labels_B: Tensor) -> None:
        start = -self._seen_rows % self._stride
        self._seen_rows += len(features_BD)
        rows = slice(start, None, self._stride)
        self._append(features_BD[rows].to(torch.float32).cpu().numpy(), labels_B[rows].cpu().numpy())

    def _append(self, samples_ND: npt.NDArray[np.float32], labels_N: npt.NDArray[np.int64]) -> None:
        self._kept.append((samples_ND.copy(), labels_N.copy()))
        self._kept_rows += len(samples_ND)
        row_bytes = 4 * self.features
        while self._kept_rows * row_bytes > self.keep_bytes and self._kept_rows > self.classes:
            samples = np.concatenate([s for s, _ in self._kept])[::2]
            labels = np.concatenate([y for _, y in self._kept])[::2]
            self._kept, self._kept_rows = [(samples, labels)], len(samples)
            self._stride *= 2

    def _move(self, device: torch.device) -> None:
        for name in ("_counts_K", "_shift_KD", "_delta_KD", "_scatter_DD"):
            setattr(self, name, getattr(self, name).to(device))


def _float64(tensor: Tensor | None) -> F64 | None:
    return None if tensor is None else tensor.detach().cpu().to(torch.float64).numpy()


def measure(
    features_ND: Tensor,
    labels_N: Tensor,
    weight_KD: Tensor | None = None,
    bias_K: Tensor | None = None,
    *,
    classes: int | None = None,
    frame_DR: Tensor | None = None,
) -> Measurement:
    """Measure features (N, D) with labels (N,) and, where given, the classifier W (K, D), b (K).

    K is `classes`, or the rows of the weight, or one more than the largest label. Raises ValueError for labels out of
    range, shapes that do not fit and features that are not finite.
    """
    if classes is None:
        classes = len(weight_KD) if weight_KD is not None else int(labels_N.max()) + 1 if labels_N.numel() else 2
    if features_ND.ndim != 2:
        raise ValueError(f"features must be (N, D), got {tuple(features_ND.shape)}")
    meter = Meter(max(classes, 2), features_ND.shape[1])
    meter.update(features_ND, labels_N)
    return meter.compute(weight_KD, bias_K, frame_DR=frame_DR)
