"""A second pass over the samples that were kept, a bounded block at a time: decisions, margins, confusion."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ncengine.metrics.snapshot import Snapshot
from ncengine.metrics.spec import MetricSpec, Samples

BLOCK_BYTES = 4 * 2**20
"""Of one float64 matrix (samples × max(K, D)) of a block."""
CONFUSION_CLASSES = 2048
"""Above this many classes the K×K confusion matrix is not made."""


class Block:
    """Some kept samples, around μ_G; `labels_B` are 0 … K−1."""

    def __init__(self, snapshot: Snapshot, samples_BD: Tensor, labels_B: Tensor) -> None:
        self.snapshot, self.labels_B = snapshot, labels_B
        # Around μ_G, so that a large global mean does not eat the digits that tell classes apart.
        self.centred_BD = samples_BD.to(torch.float64) - snapshot.global_mean_D

    @cached_property
    def _products_BK(self) -> Tensor | None:
        weight_KD = self.snapshot.weight_KD
        return None if weight_KD is None else self.centred_BD @ weight_KD.mT

    @cached_property
    def logits_BK(self) -> Tensor | None:
        """W h + b (B, K), over all K classes."""
        offset_K = self.snapshot.center_logits_K
        return None if offset_K is None or self._products_BK is None else self._products_BK + offset_K

    @cached_property
    def predicted_B(self) -> Tensor | None:
        """argmax of the logits."""
        return None if self.logits_BK is None else self.logits_BK.argmax(1)

    @cached_property
    def nearest_mean_B(self) -> Tensor | None:
        """argmin_c ‖h − μ_c‖ with the training split's class means; classes without one never win."""
        offsets_KD, half_squares_K, known = self.snapshot.deciding_means
        if not len(known):
            return None
        return known[(self.centred_BD @ offsets_KD.mT - half_squares_K).argmax(1)]

    @cached_property
    def margins_B(self) -> Tensor | None:
        """cos(h − μ_G, w_y − w̄) − max_{c≠y} cos(h − μ_G, w_c − w̄), over the classes present."""
        snapshot, products_BK = self.snapshot, self._products_BK
        weights = snapshot.weights
        if weights is None or weights.degenerate or products_BK is None or snapshot.means.degenerate:
            return None
        around_BK = snapshot.of_present(products_BK.mT).mT - (self.centred_BD @ weights.offset_D)[:, None]
        norms_B = torch.linalg.vector_norm(self.centred_BD, dim=1)
        inverse_B = torch.where(norms_B > 0, 1 / norms_B, 0.0)
        cosines_BK = around_BK * weights.inverse_norms_K * inverse_B[:, None]
        own_B1 = torch.searchsorted(snapshot.present, self.labels_B)[:, None]
        own_B = cosines_BK.gather(1, own_B1)[:, 0]
        return own_B - cosines_BK.scatter(1, own_B1, -torch.inf).amax(1)


@dataclass(frozen=True, eq=False)
class Decisions:
    """What the second pass found: values, standard errors and sizes by key, the margins, and who was taken for whom."""

    values: dict[str, float]
    errors: dict[str, float]
    sizes: dict[str, int]
    margins: npt.NDArray[np.float32] | None
    """Sorted, ascending."""
    accuracy: npt.NDArray[np.float64] | None
    """Share of each class's samples (K) that was classified right; NaN of classes without samples."""
    confusion: npt.NDArray[np.int64] | None
    """Samples of each true class (row) by predicted class (K, K), up to `CONFUSION_CLASSES` classes."""


def second_pass(snapshot: Snapshot, metrics: Mapping[str, MetricSpec]) -> Decisions:
    """Return what the kept samples say, with the standard errors of a sample where they are not all that were seen."""
    wanted: dict[str, Any] = {key: spec.how.value for key, spec in metrics.items() if isinstance(spec.how, Samples)}
    if not wanted:
        return Decisions({}, {}, {}, margins=None, accuracy=None, confusion=None)
    sums = {key: torch.zeros(3, dtype=torch.float64, device=snapshot.device) for key in wanted}
    classes, features = len(snapshot.counts_K), len(snapshot.scatter_DD)
    # In one piece from the start: small results between large matrices that come and go would keep the heap from
    # giving their memory back.
    margins_N = torch.empty(len(snapshot.labels_N), dtype=torch.float32, device=snapshot.labels_N.device)
    with_margins = 0
    right_K = torch.zeros(classes, dtype=torch.int64, device=snapshot.labels_N.device)
    confusion_KK = right_K.new_zeros(classes * classes) if classes <= CONFUSION_CLASSES else None
    rows = max(1, BLOCK_BYTES // (8 * max(classes, features)))
    for samples_BD, labels_B in zip(
        torch.split(snapshot.samples_ND, rows), torch.split(snapshot.labels_N, rows), strict=True
    ):
        if not len(labels_B):
            continue
        block = Block(snapshot, samples_BD, labels_B)
        for key, value in wanted.items():
            found = value(block)
            if found is not None:
                known = found.double()
                known = known[~torch.isnan(known)]
                sums[key] += torch.stack([known.new_tensor(float(len(known))), known.sum(), (known**2).sum()])
        if block.margins_B is not None:
            margins_N[with_margins : with_margins + len(labels_B)] = block.margins_B
            with_margins += len(labels_B)
        if block.predicted_B is not None:
            right_K += torch.bincount(labels_B[block.predicted_B == labels_B], minlength=classes)
            if confusion_KK is not None:
                confusion_KK += torch.bincount(labels_B * classes + block.predicted_B, minlength=classes**2)
    kept, whole = len(snapshot.labels_N), snapshot.count
    values, errors, sizes = {}, {}, {}
    for key, three in sums.items():
        count, total, squares = three.tolist()
        if count:
            values[key], sizes[key] = total / count, int(count)
            if kept < whole and count > 1:
                variance = max(0.0, squares / count - values[key] ** 2) * count / (count - 1)
                errors[key] = math.sqrt(variance / count * (1 - kept / whole))
    decided = snapshot.weight_KD is not None and kept > 0
    seen_K = torch.bincount(snapshot.labels_N, minlength=classes)
    return Decisions(
        values=values,
        errors=errors,
        sizes=sizes,
        margins=np.sort(margins_N.cpu().numpy()) if with_margins else None,
        accuracy=(right_K.double() / seen_K).cpu().numpy() if decided else None,
        confusion=confusion_KK.view(classes, classes).cpu().numpy() if decided and confusion_KK is not None else None,
    )
