"""Geometry captures: the picture's data, in the frame of the nearest ETF, in which the vertices never move.

c = Rᵀ(h − μ_G)/m̄,   R = the frame of the ETF nearest to the measured class means,   m̄ = mean_c ‖μ_c − μ_G‖
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ncengine.events import GeometryCaptured, smallest_angle
from ncengine.geometry.nearest import nearest_etf
from ncengine.geometry.views import blocks, travelling_frame
from ncengine.measurement import Meter
from ncengine.metrics.snapshot import off_diagonal

CAPTURE_BYTES = 64 * 1024
COSINES = ("cosines_means", "cosines_weights")
HOLD = 1e-6
"""Proximal weight between captures: it chooses among equals where class means are rank-deficient, and no more."""


def sample_budget(classes: int, wanted: int) -> int:
    """Return how many features a capture holds: `wanted`, or what 64 KiB leave beside means, rows and cosines."""
    dimensions = classes - 1 if travelling_frame(classes) is None else 3
    fixed = 4 * (2 * classes * dimensions + 2 * math.ceil(classes / blocks(classes)) ** 2)
    return max(classes, min(wanted, (CAPTURE_BYTES - fixed) // (4 * (dimensions + 1))))


def measured_frame(meter: Meter, previous_DR: Tensor | None) -> Tensor:
    """Return the frame R (d, K−1), float64 on the CPU, of the ETF nearest to the meter's class means.

    Needs d ≥ K − 1; with fewer features the frame spans what there is, padded with zero columns.
    """
    means_DK = torch.from_numpy(np.nan_to_num(meter.means_DK))
    present_K = torch.from_numpy(~np.isnan(meter.means_DK[0]))
    centred_DK = (means_DK - means_DK[:, present_K].mean(1, keepdim=True)) * present_K
    missing = meter.classes - 1 - meter.features
    if missing > 0:
        padded = torch.nn.functional.pad(centred_DK, (0, 0, 0, missing))
        return nearest_etf(padded, None)[: meter.features]
    return nearest_etf(centred_DK, previous_DR, delta=HOLD)


def block_means(cosines_KK: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.float64]:
    """Return the mean cosine between different classes of each pair of blocks of `size` neighbouring classes."""
    starts = np.arange(0, len(cosines_KK), size)
    different = 1.0 - np.eye(len(cosines_KK))
    sums, counts = (
        np.add.reduceat(np.add.reduceat(matrix, starts, axis=0), starts, axis=1)
        for matrix in (cosines_KK * different, different)
    )
    found: npt.NDArray[np.float64] = sums / np.maximum(counts, 1)
    return found


def capture(
    *,
    epoch: float,
    step: int,
    meter: Meter,
    frame_DR: Tensor,
    weight_KD: Tensor,
    bias_K: Tensor | None,
    features_ND: Tensor,
    labels_N: Tensor,
) -> GeometryCaptured:
    """Return the capture of a measured split: class means and cosines from `meter`, a cloud from `features_ND`."""
    found = meter.compute(weight_KD, bias_K, frame_DR=frame_DR).arrays
    frame = frame_DR.numpy()
    centred_ND = features_ND.cpu().to(torch.float64).numpy() - found["global_mean"]
    inside_NR = centred_ND @ frame
    outside = math.sqrt(max(0.0, float((centred_ND**2).sum() - (inside_NR**2).sum())) / max(1, len(centred_ND)))
    mean_norm = float(np.linalg.norm(found["means"] - found["global_mean"][:, None], axis=0).mean())
    weight = weight_KD.detach().cpu().to(torch.float64).numpy()
    weight_norm = float(np.linalg.norm(weight - weight.mean(axis=0), axis=1).mean())
    cosines = found["cosines_means"]
    angle, pair = smallest_angle(cosines)
    target = math.degrees(math.acos(-1 / (len(cosines) - 1)))
    angles = np.degrees(np.arccos(np.clip(off_diagonal(cosines), -1, 1)))
    arrays = {
        "means": found["coordinates_means"] / (mean_norm or 1.0),
        "weights": found["coordinates_weights"] / (weight_norm or 1.0),
        "features": inside_NR / (mean_norm or 1.0),
        "cosines_means": cosines,
        "cosines_weights": found["cosines_weights"],
        "frame": frame,
    }
    reduced = travelling_frame(meter.classes)
    if reduced is not None:
        arrays |= {f"{name}_whole": arrays[name] for name in ("means", "weights")}
        arrays |= {name: arrays[name] @ reduced for name in ("means", "weights", "features")}
        arrays |= {name: block_means(arrays[name], blocks(meter.classes)) for name in COSINES}
    return GeometryCaptured(
        epoch=epoch,
        step=step,
        samples=int(found["counts"].sum()),
        mean_norm=mean_norm,
        weight_norm=weight_norm,
        residual=outside / (mean_norm or 1.0),
        smallest_angle_deg=angle,
        smallest_pair=pair,
        mean_angle_error_deg=float(np.abs(angles - target).mean()),
        arrays={
            **{name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()},
            "labels": labels_N.cpu().numpy().astype(np.int32),
        },
    )
